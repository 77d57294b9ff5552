"""March a circuit through its cycles: generalised-alpha in time, Newton inside.

The scheme is that of Jansen, Whiting & Hulbert 2000 (doi:10.1016/S0045-7825(00)00203-6) for first-order
systems. With rho the damping of the fastest waves, alpha_m = (3 - rho) / (2 (1 + rho)), alpha_f =
1 / (1 + rho), gamma = 1/2 + alpha_m - alpha_f: second order for every rho. What depends on time is taken
once a step, at t + alpha_f dt.

A steady start first lets 31 steps of a tenth of a cycle settle the circuit with every series at its mean.
Poor for: waves that travel (a compartment has no length), and on/off valves, whose instant of closing is
known to one step only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.zerod.circuit import Circuit, Equations
from carna.flow.zerod.elements import DONE, LOST, PIVOT
from carna.progress import SILENT, Progress

if TYPE_CHECKING:
    from carna.flow.zerod.kernel import Order, System

Floats = npt.NDArray[np.float64]

STEADY_STEPS: Final = 31
# Between looks at progress so many unknown-steps are marched: about a quarter of a second.
_PIECE: Final = 500_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to march.

    Parameters
    ----------
    cycles : int
        1 or more.
    points : int
        In a cycle, both ends included, 2 or more.
    rho : float, 0 to 1
        1 damps nothing, 0 removes the fastest waves in a step.
    tolerance : float
        Largest absolute residual, in the circuit's own units.
    most : int
        Newton steps in a time step.
    steady_start : bool
    all_cycles : bool
        Keep every cycle instead of the last.
    until : float or None
        Go on until means over a cycle change by no more than this share.
    most_cycles : int
        After which cycles that do not settle are given up.
    """

    cycles: int = 1
    points: int = 101
    rho: float = 0.5
    tolerance: float = 1e-8
    most: int = 30
    steady_start: bool = True
    all_cycles: bool = False
    until: float | None = None
    most_cycles: int = 1000

    def __post_init__(self) -> None:
        if self.cycles < 1 or self.points < 2:
            raise InputError(
                f"{self.cycles} cycles of {self.points} points", needed="1 cycle of 2 points or more"
            )
        if not 0 <= self.rho <= 1:
            raise InputError(f"rho {self.rho:g}", needed="0 to 1")
        if not self.tolerance > 0 or self.most < 1:
            raise InputError(
                f"a tolerance of {self.tolerance:g} in {self.most} Newton steps", needed="both above 0"
            )
        if self.until is not None and not 0 < self.until < 1:
            raise InputError(f"a change between cycles of {self.until:g}", needed="above 0, below 1")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A circuit over time.

    Attributes
    ----------
    names : tuple of str
        The unknowns, such as ``flow:a:b``, ``pressure:a:b``, ``Vc:ventricle``.
    time : (n,) float
    y, rate : (n, unknowns) float
        Each unknown and its derivative.
    cycles : int
        That were marched.
    change : float
        Largest relative change of a mean flow or pressure at the ends of the circuit between the last two
        cycles; infinite after a single one.
    """

    names: tuple[str, ...]
    time: Floats
    y: Floats
    rate: Floats
    cycles: int
    change: float

    def __getitem__(self, name: str) -> Floats:
        """Return an unknown over time."""
        if name not in self.names:
            near = [n for n in self.names if name.rsplit(":", maxsplit=1)[-1] in n]
            raise InputError(
                f"an unknown {name!r}", needed=f"one of {', '.join((near or list(self.names))[:8])}"
            )
        return self.y[:, self.names.index(name)]


@final
@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The unknowns and their derivatives at one instant: (n,) float each."""

    y: Floats
    rate: Floats


def simulate(
    circuit: Circuit,
    settings: Settings,
    start: State | None = None,
    *,
    progress: Progress = SILENT,
) -> Simulation:
    """March a circuit through its cycles.

    Parameters
    ----------
    circuit : Circuit
    settings : Settings
    start : State, optional
        Zero if left out.
    progress : Progress

    Raises
    ------
    InputError
        If the equations cannot be solved: something is fixed twice, or nowhere.
    SolverError
        If Newton's method does not converge in a step, or cycles do not settle when they are asked to.
    """
    count = len(circuit.names)
    state = State(np.zeros(count), np.zeros(count)) if start is None else start
    y, rate = state.y.copy(), state.rate.copy()
    if settings.steady_start:
        step = circuit.period_s / 10
        calm = circuit.equations(y, rate, steady=True, started=False)
        _March(calm, settings, step).go(np.arange(STEADY_STEPS, dtype=float) * step, y, rate)
    step = circuit.period_s / (settings.points - 1)
    marching = _March(circuit.equations(y, rate, steady=False, started=settings.steady_start), settings, step)
    return _cycles(circuit, settings, marching, y, rate, progress)


def _cycles(
    circuit: Circuit,
    settings: Settings,
    marching: _March,
    y: Floats,
    rate: Floats,
    progress: Progress,
) -> Simulation:
    ends = _ends(circuit)
    planned, extend = settings.cycles, settings.until is not None
    steps = settings.points - 1
    kept_t: list[Floats] = [np.zeros(1)]
    kept_y, kept_rate = [y[None].copy()], [rate[None].copy()]
    before, change, done = None, np.inf, 0
    while done < planned or (extend and not change <= (settings.until or 0.0)):
        if extend and done >= max(settings.most_cycles, planned):
            raise SolverError(
                f"cycle means still change by {change:.1%} after {done} cycles",
                needed=f"at most {settings.until:.1%}",
                fix="look for a compartment that only fills or only empties",
            )
        first = kept_y[-1][-1].copy()
        # In cycles beyond the plan the clock starts again at 0, as stored results do.
        offset = done * steps if done < planned else 0
        times = (offset + np.arange(steps, dtype=float)) * marching.step
        part = progress if extend else progress.part(done / planned, (done + 1) / planned)
        now_y, now_rate = marching.go(times, y, rate, part)
        mean = (first[ends] + now_y[:, ends].sum(0)) / settings.points
        if before is not None:
            change = _relative(mean, before, np.abs(now_y[:, ends]).max(0))
        before = mean
        if not settings.all_cycles:
            last = (kept_y[-1][-1:], kept_rate[-1][-1:])
            kept_t, kept_y, kept_rate = [np.zeros(1)], [last[0]], [last[1]]
            offset = 0
        kept_t.append(np.asarray((offset + 1 + np.arange(steps)) * marching.step))
        kept_y.append(now_y)
        kept_rate.append(now_rate)
        done += 1
    return Simulation(
        circuit.names,
        np.concatenate(kept_t),
        np.concatenate(kept_y),
        np.concatenate(kept_rate),
        done,
        change,
    )


def _relative(new: Floats, old: Floats, largest: Floats) -> float:
    """Return the greatest relative change of a mean; one that is 0 but for rounding does not count."""
    size = np.maximum(np.abs(old), 1e-9 * largest)
    return float(
        np.max(np.divide(np.abs(new - old), size, out=np.zeros_like(size), where=size > 0), initial=0.0)
    )


def _ends(circuit: Circuit) -> npt.NDArray[np.intp]:
    """Flows and pressures of the nodes next to a block with a single port; of all nodes in a closed loop."""
    ports = {b.name: (b.inlets, b.outlets) for b in circuit.blocks}
    at = [n for n, (a, b) in enumerate(circuit.nodes) if ports[a] == (0, 1) or ports[b] == (1, 0)]
    at = at or list(range(len(circuit.nodes)))
    return np.array([i for n in at for i in (2 * n, 2 * n + 1)], np.intp)


@final
class _March:
    """Equations that march, with the pivots that their matrix was last factorised by."""

    def __init__(self, equations: Equations, settings: Settings, step: float) -> None:
        from carna.flow.zerod.kernel import Order, Scheme

        self.equations, self.step = equations, step
        self.system: System = equations.system()
        rho = settings.rho
        alpha_m, alpha_f = (3 - rho) / (2 * (1 + rho)), 1 / (1 + rho)
        self.scheme = Scheme(
            alpha_m, alpha_f, 0.5 + alpha_m - alpha_f, step, settings.tolerance, settings.most
        )
        none = np.zeros(0, np.int64)
        self.order = Order(none, none, none, none, none, none)
        self.matrix = np.zeros(len(self.system.row))

    def go(
        self, times: Floats, y: Floats, rate: Floats, progress: Progress = SILENT
    ) -> tuple[Floats, Floats]:
        """Take a step from each of ``times``, in place; return what each ended with."""
        from carna.flow.zerod.kernel import march

        drive = self.equations.drive(times + self.scheme.alpha_f * self.step)
        out, out_rate = np.empty((len(times), len(y))), np.empty((len(times), len(y)))
        piece = max(1, _PIECE // max(len(y), 1))
        at, fresh = 0, -1
        while at < len(times):
            stop = min(len(times), at + piece)
            status, at, residual = march(
                self.system, self.order, self.scheme, drive[:stop], y, rate, at, out, out_rate, self.matrix
            )
            if status == DONE:
                progress(at / len(times))
            elif status != LOST and fresh != at and np.isfinite(self.matrix).all():
                # Pivots chosen for another moment may be poor now; choose them once more before giving up.
                self.order = self._pivots()
                fresh = at
            else:
                self._give_up(status, float(times[at]), residual)
        return out, out_rate

    def _pivots(self) -> Order:
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        from carna.flow.zerod.kernel import Order, fill

        n = self.equations.rows
        jac = csc_array((self.matrix, self.system.row, self.system.start), shape=(n, n))
        try:
            found = splu(jac)
        except RuntimeError as bad:
            raise self._singular(jac.toarray()) from bad
        column = np.argsort(found.perm_c).astype(np.int64)
        place = found.perm_r.astype(np.int64)
        return Order(column, place, *fill(self.system.start, self.system.row, column, place))

    def _singular(self, jac: Floats) -> InputError:
        names = self.equations.circuit.names
        scaled = jac / np.maximum(np.abs(jac).max(1, keepdims=True), 1e-300)
        free = np.abs(np.linalg.svd(scaled)[2][-1]) if len(names) <= 1000 else np.zeros(len(names))
        loose = [names[i] for i in np.argsort(-free)[:4] if free[i] > 0.1 * free.max() > 0]
        return InputError(
            f"equations that leave {', '.join(loose) or 'something'} undetermined",
            needed="a pressure fixed somewhere, and no flow fixed twice",
            fix="give one end a pressure, a resistance or a windkessel instead of a flow",
        )

    def _give_up(self, status: int, time: float, residual: float) -> None:
        what = "not a number" if status in (LOST, PIVOT) else f"a residual of {residual:.1e}"
        raise SolverError(
            f"{what} at t = {time:.6g} after {self.scheme.most} Newton steps",
            needed=f"a residual below {self.scheme.tolerance:g}",
            fix="take more points in a cycle, or a tolerance that suits the units of the circuit",
        )
