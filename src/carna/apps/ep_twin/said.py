"""From circuits to findings: shares with their intervals, where the isthmus lies, what was varied."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from carna import codes
from carna.apps.ep_twin.labels import Model
from carna.findings import (
    Absent,
    Evidence,
    Interval,
    Item,
    Measurement,
    Region,
    Samples,
    Segment,
    Statement,
)
from carna.heart.ensemble import (
    Member,
    Priors,
    Screening,
    Share,
    TwinCircuit,
    inducible,
    unplaced,
)
from carna.heart.recovery import Tissue
from carna.progress import Progress

if TYPE_CHECKING:
    from carna.ep.reentry import Circuit, Outcome
    from carna.heart.isthmus import Passage

__all__ = ["MOST", "Sweep", "absent", "findings"]

MOST = 6  # circuits told one by one
_VARIED = {
    "border_mm": "scar border {0:+g} to {1:+g} mm",
    "along": "velocity along fibres {0:g} to {1:g} m/s",
    "across": "across them {0:g} to {1:g} m/s",
    "grey": "of these in grey zone {0:g} to {1:g}",
    "apd_scale": "recovery times x {0:g} to {1:g}",
}


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Everything one run made."""

    labels: Region
    model: Model
    screening: Screening
    members: tuple[Member, ...]
    outcomes: tuple[tuple[Outcome, ...], ...]
    circuits: tuple[TwinCircuit, ...]
    border: Tissue

    @property
    def seen(self) -> tuple[Evidence, ...]:
        """What the labels were drawn in."""
        return self.labels.evidence

    def runs(self, circuit: TwinCircuit, most: int) -> tuple[tuple[int, Circuit], ...]:
        """Return the members that have a circuit, each with one path of it, at most so many."""
        chosen: dict[int, Circuit] = {}
        for one in circuit.induced:
            for tried in self.outcomes[one.member]:
                same = (tried.site, tried.couplings_ms) == (one.site, one.couplings_ms)
                if same and tried.circuit is not None:
                    chosen.setdefault(one.member, tried.circuit)
        return tuple(chosen.items())[:most]

    def repeated(
        self, spacing_mm: float, most: int, on: Executor | None, progress: Progress
    ) -> tuple[tuple[Passage, ...], ...]:
        """Return for every circuit told whether its isthmus conducts on a fine grid, member by member."""
        from carna.heart.executor import spread
        from carna.heart.isthmus import passage

        told = self.circuits[:MOST] if most else ()
        runs = [
            (n, member, circuit) for n, one in enumerate(told) for member, circuit in self.runs(one, most)
        ]
        tasks = [
            (self.screening.heart, self.members[member], circuit, self.border, spacing_mm)
            for _, member, circuit in runs
        ]
        if on is None:  # here, so that each can be cancelled on its way
            parts = (progress.part(i / len(tasks), (i + 1) / len(tasks)) for i in range(len(tasks)))
            done = tuple(passage(*task, part) for task, part in zip(tasks, parts, strict=True))
        else:
            done = spread(passage, tasks, on, progress, "isthmuses") if tasks else ()
        return tuple(
            tuple(p for p, (m, _, _) in zip(done, runs, strict=True) if m == n) for n in range(len(told))
        )


def absent(why: str, labels: Region) -> tuple[Item, ...]:
    """Return both answers as absent."""
    return tuple(
        Absent(id=id, code=code, why=why, reason=codes.VALUE_UNKNOWN, evidence=labels.evidence)
        for id, code in (("reentry", codes.MODEL_REENTRY), ("ensemble", codes.MODEL_ENSEMBLE))
    )


def findings(sweep: Sweep, fine_mm: float, fine: tuple[tuple[Passage, ...], ...]) -> Iterator[Item]:
    """Yield the findings of a sweep, the share of any re-entry first."""
    yield _share("reentry", codes.MODEL_REENTRY, inducible(sweep.outcomes), sweep, None)
    yield _ensemble(sweep)
    drifting = unplaced(sweep.outcomes)
    if drifting.hits:
        yield _share("unplaced", codes.MODEL_UNPLACED, drifting, sweep, None)
    for n, circuit in enumerate(sweep.circuits[:MOST], 1):
        done = fine[n - 1] if fine else ()
        yield from _circuit(f"circuit{n}", circuit, sweep, _repeat_words(fine_mm, done))
        yield _repeat(f"circuit{n}", circuit, sweep, fine_mm, done)


def _share(
    id: str, code: codes.Concept, share: Share, sweep: Sweep, site: codes.Concept | None
) -> Measurement:
    low, high = share.interval
    return Measurement(
        id=id,
        code=code,
        site=site,
        value=share.value,
        unit="1",
        uncertainty=Interval(low, high, 0.95),
        of=("ensemble",),
        evidence=sweep.seen,
    )


def _ensemble(sweep: Sweep) -> Statement:
    protocol, heart = sweep.screening.protocol, sweep.model.heart
    told = "; ".join(_VARIED[one.name].format(*getattr(Priors(), one.name)) for one in fields(Priors))
    known = inducible(sweep.outcomes)
    return Statement(
        id="ensemble",
        code=codes.MODEL_ENSEMBLE,
        verdict="met",
        rule=f"in this model: re-entry was induced in {known.hits} of {known.of} members, "
        f"{_circuits(len(sweep.circuits))}; every member screened from {len(sweep.screening.sites)} sites, "
        f"S1 {protocol.s1_ms:g} ms, up to {protocol.extras} extrastimuli from {protocol.longest_ms:g} to "
        f"{protocol.shortest_ms:g} ms in steps of {protocol.step_ms:g} ms, sustained from "
        f"{protocol.sustained_ms / 1000:g} s; varied evenly: {told} (Niederer 2011, Mendonca Costa 2018, the "
        f"rest our choice); grey zone recovers as {sweep.border} border zone (ten Tusscher-Panfilov 2006); "
        f"voxels of {min(heart.spacing_mm):g} mm",
        evidence=sweep.seen,
    )


def _circuits(n: int) -> str:
    more = f", the {MOST} most frequent are told" if n > MOST else ""
    return f"{n or 'no'} circuit{'' if n == 1 else 's'} found{more}"


def _circuit(id: str, circuit: TwinCircuit, sweep: Sweep, repeat: str) -> Iterator[Item]:
    site = sweep.model.segment_of(circuit.isthmus)
    yield _share(f"{id}.share", codes.MODEL_CIRCUIT, circuit.share, sweep, site)
    cycles = tuple(round(one.cycle_ms, 3) for one in circuit.induced)
    yield Measurement(
        id=f"{id}.cycle",
        code=codes.MODEL_CYCLE,
        site=site,
        value=round(circuit.cycles_ms[1], 3),
        unit="ms",
        uncertainty=Samples(cycles),
        of=(f"{id}.share",),
        evidence=sweep.seen,
    )
    low, _, high = circuit.cycles_ms
    leaves = sweep.model.segment_of(circuit.exit_site[None]).meaning
    names = [one.site for one in circuit.induced]
    sites = ", ".join(f"{name} ({names.count(name)})" for name in circuit.sites)
    yield Statement(
        id=f"{id}.sites",
        code=codes.MODEL_SITES,
        site=site,
        verdict="met",
        rule=f"in this model: in {circuit.share.hits} of {circuit.share.of} members, paced from {sites}; "
        f"cycle {low:.0f} to {high:.0f} ms; leaves its isthmus at {leaves}; "
        f"isthmuses of the members within {circuit.spread_mm:.0f} mm of their mean{repeat}",
        of=(f"{id}.share",),
        evidence=sweep.seen,
    )
    yield _isthmus(f"{id}.isthmus", circuit, sweep, site)


def _isthmus(id: str, circuit: TwinCircuit, sweep: Sweep, site: codes.Concept) -> Region:
    """Return the voxels of the example's isthmus, on their own planes of the model's grid."""
    low, high = circuit.isthmus.min(axis=0), circuit.isthmus.max(axis=0) + 1
    k0, r0, c0 = (int(v) for v in low)
    k1, r1, c1 = (int(v) for v in high)
    box = sweep.model.grid.crop((k0, r0, c0), (k1, r1, c1))
    mask = np.zeros(box.shape, np.uint8)
    mask[tuple((circuit.isthmus - low).T)] = 1
    return Region(
        id=id,
        code=codes.MODEL_ISTHMUS,
        site=site,
        labels=mask,
        planes=tuple(box.plane(k) for k in range(box.shape[0])),
        segments=(Segment(1, codes.MODEL_ISTHMUS),),
        of=(id.replace("isthmus", "share"),),
        evidence=sweep.seen,
    )


def _repeat_words(fine_mm: float, done: tuple[Passage, ...]) -> str:
    if not done:
        return ""
    open_, known = sum(p.conducts is True for p in done), sum(p.conducts is not None for p in done)
    return (
        f"; repeated at {fine_mm:g} mm with action potentials in {len(done)} of these members, the isthmus "
        f"conducts the second of two beats a cycle apart in {open_}, blocks in {known - open_}"
        + (f", could not be tried in {len(done) - known}" if known < len(done) else "")
    )


def _repeat(id: str, circuit: TwinCircuit, sweep: Sweep, fine_mm: float, done: tuple[Passage, ...]) -> Item:
    site = sweep.model.segment_of(circuit.isthmus)
    if not done:
        return Absent(
            id=f"{id}.open",
            code=codes.MODEL_ISTHMUS_OPEN,
            site=site,
            why=f"its isthmus was not repeated at {fine_mm:g} mm: fine_members is 0",
            of=(f"{id}.isthmus",),
        )
    known = [p for p in done if p.conducts is not None]
    if not known:
        return Absent(
            id=f"{id}.open",
            code=codes.MODEL_ISTHMUS_OPEN,
            site=site,
            why=f"on the grid of {fine_mm:g} mm {done[0].why}",
            reason=codes.CALCULATION_FAILURE,
            of=(f"{id}.isthmus",),
        )
    share = Share(sum(bool(p.conducts) for p in known), len(known))
    return _share(f"{id}.open", codes.MODEL_ISTHMUS_OPEN, share, sweep, site)
