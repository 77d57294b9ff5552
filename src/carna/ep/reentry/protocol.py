"""Programmed stimulation in the model: from which sites, at which couplings, does re-entry last?

S1 beats at a fixed cycle, then up to three extrastimuli. S2 comes at a long coupling first, then step by step
earlier until it no longer captures; the shortest coupling that captured stays, and S3 and S4 follow the same
way. A run is *sustained* if excitations are still on their way ``sustained_ms`` after the last stimulus.
The result says what happens in this model, with these tables and this scar: neither what happens in a person
nor what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.ep.reentry.circuit import Circuit, trace
from carna.ep.reentry.state import State, fresh
from carna.ep.reentry.substrate import Substrate
from carna.errors import InputError
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOG_BEATS = 8
CAPTURE_MS = 50.0
LOOK_MS = 500.0


@dataclass(frozen=True, slots=True)
class Protocol:
    """Programmed stimulation.

    Parameters
    ----------
    s1_ms : float
        Cycle of the drive.
    s1_beats : int
        At least 1; 6 bring APD tables without memory to their steady state.
    longest_ms, shortest_ms, step_ms : float
        Couplings tried for every extrastimulus.
    extras : int
        Up to how many extrastimuli: 1 is S2 only, 3 goes to S4.
    sustained_ms : float
        A run that lasts this long after the last stimulus is sustained.
    """

    s1_ms: float = 600.0
    s1_beats: int = 6
    longest_ms: float = 400.0
    shortest_ms: float = 200.0
    step_ms: float = 10.0
    extras: int = 3
    sustained_ms: float = 2000.0

    def __post_init__(self) -> None:
        if self.s1_beats < 1 or min(self.s1_ms, self.step_ms, self.shortest_ms) <= 0 or self.extras < 0:
            raise InputError(f"{self}", needed="at least one S1 beat, and times above 0 ms")
        if not CAPTURE_MS < self.shortest_ms <= self.longest_ms:
            raise InputError(
                f"couplings from {self.longest_ms} to {self.shortest_ms}",
                needed=f"longest first, all over {CAPTURE_MS:g} ms",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one site did at one sequence of couplings.

    Attributes
    ----------
    site : str
    couplings_ms : tuple of float
        S2, S3, S4; empty for the drive alone.
    captured : bool
        Whether the last stimulus excited more than its own site; not captured is blocked.
    sustained : bool
    lasted_ms : float
        From the last stimulus to the last excitation.
    cycle_ms : float or None
        Median interval of the last two excitations over all voxels that had two in the last second.
    circuit : Circuit or None
        None unless sustained, or if no path closes (drifting or breaking-up re-entry).
    """

    site: str
    couplings_ms: tuple[float, ...]
    captured: bool
    sustained: bool
    lasted_ms: float
    cycle_ms: float | None
    circuit: Circuit | None


def screen(
    substrate: Substrate,
    sites: Mapping[str, npt.ArrayLike],
    protocol: Protocol | None = None,
    *,
    stop_at_first: bool = True,
    progress: Progress = SILENT,
) -> tuple[Outcome, ...]:
    """Run programmed stimulation from every site.

    Parameters
    ----------
    substrate : Substrate
    sites : mapping of str to (m, 3) int
        Voxels that each site's electrode excites; one voxel is enough.
    protocol : Protocol, optional
    stop_at_first : bool
        Leave a site at its first sustained re-entry; else try all couplings of that extrastimulus.
    progress : Progress

    Returns
    -------
    tuple of Outcome
        One for every sequence tried, in the order tried.
    """
    protocol = protocol or Protocol()
    outcomes: list[Outcome] = []
    for site in progress.over(sites, len(sites), "programmed stimulation"):
        outcomes += _site(
            substrate, site, substrate.tissue.number(np.asarray(sites[site])), protocol, stop_at_first
        )
    return tuple(outcomes)


def pace(
    substrate: Substrate,
    voxels: npt.ArrayLike,
    couplings_ms: tuple[float, ...] = (),
    protocol: Protocol | None = None,
    site: str = "",
) -> Outcome:
    """Return what one sequence does: the S1 drive, then extrastimuli at the couplings given."""
    if min(couplings_ms, default=np.inf) <= CAPTURE_MS:
        raise InputError(f"couplings of {couplings_ms} ms", needed=f"more than {CAPTURE_MS:g} ms each")
    protocol = protocol or Protocol()
    numbers = substrate.tissue.number(np.asarray(voxels))
    runner = _Runner(substrate)
    state, last = _drive(runner, numbers, protocol)
    captured = True
    for coupling in couplings_ms:
        last += coupling
        captured = runner.stimulus(state, numbers, last)
    return _outcome(runner, state, site, couplings_ms, captured, last, protocol)


def excitations(
    substrate: Substrate,
    voxels: npt.ArrayLike,
    couplings_ms: tuple[float, ...],
    for_ms: float,
    protocol: Protocol | None = None,
) -> tuple[Floats, Ints]:
    """Return every excitation after one sequence's last stimulus, to draw or to count.

    Parameters
    ----------
    substrate : Substrate
    voxels : (m, 3) int
        The site.
    couplings_ms : tuple of float
        S2, S3, S4; empty for the drive alone.
    for_ms : float
        How long after the last stimulus. At most eight excitations a voxel are kept, the last ones.
    protocol : Protocol, optional

    Returns
    -------
    times_ms : (n,) float
        After the last stimulus, ascending.
    voxels : (n, 3) int
        Which voxel (k, r, c) it was.
    """
    runner = _Runner(substrate)
    numbers = substrate.tissue.number(np.asarray(voxels))
    state, last = _drive(runner, numbers, protocol or Protocol())
    for coupling in couplings_ms:
        last += coupling
        runner.stimulus(state, numbers, last)
    runner.run(state, last + for_ms)
    keep, count = len(state.log_time), int(state.clock[2])
    events = np.arange(max(0, count - keep), count) % keep
    chosen = events[(state.log_time[events] >= last) & (state.log_time[events] <= last + for_ms)]
    chosen = chosen[np.argsort(state.log_time[chosen], kind="stable")]
    place = substrate.tissue.place[state.log_voxel[chosen]].astype(np.int64)
    return state.log_time[chosen] - last, place


@dataclass(frozen=True, slots=True, eq=False)
class _Runner:
    """The kernel's arguments that stay."""

    substrate: Substrate

    def run(self, state: State, until: float) -> int:
        from carna.ep.reentry.automaton import advance

        tissue = self.substrate.tissue
        apd, speed = _tables(self.substrate)
        return advance(
            state, tissue.first, tissue.to, tissue.weight, tissue.kind, _regions(self.substrate),
            apd, speed, self.substrate.linger_ms, tissue.bucket_ms, until,
        )  # fmt: skip

    def stimulus(self, state: State, numbers: Ints, time: float) -> bool:
        """Run up to a stimulus, give it, and tell whether it captured."""
        from carna.ep.reentry.automaton import stimulate

        self.run(state, time - self.substrate.tissue.bucket_ms)
        excited = stimulate(state, numbers, time, self.substrate.tissue.bucket_ms)
        before = int(state.clock[2])
        self.run(state, time + CAPTURE_MS)
        return excited > 0 and int(state.clock[2]) - before > 2 * excited


def _tables(substrate: Substrate) -> tuple[Floats, Floats]:
    made = [table.tables() for table in substrate.tables]
    return np.stack([apd for apd, _ in made]), np.stack([speed for _, speed in made])


def _regions(substrate: Substrate) -> npt.NDArray[np.uint8]:
    return np.asarray(substrate.region[tuple(substrate.tissue.place.T)], np.uint8)


def _copy(state: State) -> State:
    return State(*(part.copy() for part in state))


def _drive(runner: _Runner, numbers: Ints, protocol: Protocol) -> tuple[State, float]:
    """Give the S1 beats; return the state just after the last and its time."""
    voxels = runner.substrate.tissue.voxels
    state = fresh(voxels, LOG_BEATS * voxels)
    for beat in range(protocol.s1_beats):
        if not runner.stimulus(state, numbers, beat * protocol.s1_ms):
            raise InputError(
                f"S1 beat {beat + 1} at {protocol.s1_ms:g} ms does not capture",
                needed="a drive that every voxel of the site follows",
                fix="choose a longer cycle, or a site that is not walled in",
            )
    return state, (protocol.s1_beats - 1) * protocol.s1_ms


def _site(
    substrate: Substrate, site: str, numbers: Ints, protocol: Protocol, stop_at_first: bool
) -> list[Outcome]:
    runner = _Runner(substrate)
    state, last = _drive(runner, numbers, protocol)
    outcomes: list[Outcome] = []
    chosen: tuple[float, ...] = ()
    for _ in range(protocol.extras):
        kept: tuple[State, float] | None = None
        for coupling in np.arange(protocol.longest_ms, protocol.shortest_ms - 1e-9, -protocol.step_ms):
            attempt = _copy(state)
            at = last + float(coupling)
            captured = runner.stimulus(attempt, numbers, at)
            after = _copy(attempt)
            couplings = (*chosen, float(coupling))
            outcomes.append(_outcome(runner, attempt, site, couplings, captured, at, protocol))
            if outcomes[-1].sustained and stop_at_first:
                return outcomes
            if not captured:
                break
            kept = after, float(coupling)
        if kept is None or any(o.sustained for o in outcomes):
            break
        state, chosen = kept[0], (*chosen, kept[1])
        last += kept[1]
    return outcomes


def _outcome(
    runner: _Runner, state: State, site: str, couplings: tuple[float, ...], captured: bool, last: float,
    protocol: Protocol,
) -> Outcome:  # fmt: skip
    end = last + protocol.sustained_ms
    until = last + CAPTURE_MS
    awaited = int(state.clock[1])
    while awaited and until < end:
        until = min(until + LOOK_MS, end)
        awaited = runner.run(state, until)
    latest = float(state.act.max())
    twice = (state.previous > latest - 1000.0) & (state.previous > last)
    cycle = float(np.median(state.act[twice] - state.previous[twice])) if twice.any() and awaited else None
    return Outcome(
        site, couplings, captured, awaited > 0, latest - last, cycle,
        trace(state, runner.substrate, cycle) if cycle else None,
    )  # fmt: skip
