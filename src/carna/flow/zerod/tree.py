"""A network of vessels as a circuit: pressure and flow over the beat where L1 has their means.

Each segment becomes a `BloodVessel`: friction and jet loss as the steady solver has them, inertance
rho times the integral of ds / A, and compliance from the wall, 3/2 times the integral of A ds / (E h / r).
Outlets become resistances, windkessels or coronary beds. All in mmHg, mL, s.

A segment is one compartment: waves along it are lost. Where their travel matters (an aorta, not a coronary
tree), `carna.flow.oned` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Boundary, Outlet, Wave
from carna.flow.network import Network
from carna.flow.result import FlowResult
from carna.flow.steady import Losses, losses, outlets
from carna.flow.zerod import vessels as tube
from carna.flow.zerod.circuit import Block, Circuit
from carna.flow.zerod.drive import Series
from carna.flow.zerod.simulate import Settings, Simulation, simulate
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]

# Shares of a coronary bed: microvessels against veins of what is not arterial, and small arteries' part of
# the compliance, as in the case files of svZeroDSolver (0.32 : 0.52 : 0.16 and 0.11 : 0.89).
MICRO: Final = 0.52 / 0.68
ARTERIAL: Final = 0.11
MOST_CYCLES: Final = 100


@final
@dataclass(frozen=True, slots=True)
class Wall:
    """Stiffness of an artery's wall, E h / r = steep exp(-fall r) + floor.

    Olufsen et al. 2000 (doi:10.1114/1.1326031), fitted to systemic arteries; small coronaries lie outside
    of the vessels it was fitted to.

    Attributes
    ----------
    steep_mmHg, floor_mmHg : float
    fall_per_mm : float
    """

    steep_mmHg: float = 2.0e6 / MMHG
    fall_per_mm: float = 2.253
    floor_mmHg: float = 8.65e4 / MMHG

    def stiffness_mmHg(self, radius_mm: Floats) -> Floats:
        """Return E h / r at some radii."""
        return np.asarray(self.steep_mmHg * np.exp(-self.fall_per_mm * radius_mm) + self.floor_mmHg)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pulsatile:
    """Pressures and flows of a network over its last cycle.

    Attributes
    ----------
    time_s : (t,) float
        From 0 to the period.
    pressure_mmHg : (t, n) float
        At each point of the network.
    flow_ml_s, outflow_ml_s : (t, s) float
        Into and out of each segment.
    mean : FlowResult
        Means over the cycle; its iterations are cycles, its residual `change`.
    cycles : int
    change : float
        Largest relative change of a mean pressure or flow at an end between the last two cycles.
    """

    time_s: Floats
    pressure_mmHg: Floats
    flow_ml_s: Floats
    outflow_ml_s: Floats
    mean: FlowResult
    cycles: int
    change: float


def from_network(
    vessels: Network,
    boundary: Boundary,
    blood: Blood | None = None,
    *,
    wall: Wall | None = None,
    lost: Losses | None = None,
) -> Circuit:
    """Return the circuit of a network: blocks ``vessel n``, ``outlet n``, ``junction n`` and ``inlet``.

    Parameters
    ----------
    vessels : Network
    boundary : Boundary
        Without a wave its mean holds at all times.
    blood : Blood, optional
    wall : Wall, optional
        None for rigid vessels.
    lost : Losses, optional
        In place of the steady solver's laws.

    Raises
    ------
    InputError
        If an outlet has no condition, or waves have different periods.
    """
    blood = blood or Blood()
    lost = losses(vessels, blood) if lost is None else lost
    outlets(vessels, boundary)  # names an outlet without a condition
    waves = [boundary.wave, *(o.muscle for o in boundary.outlets.values())]
    periods = sorted({w.period_s for w in waves if w is not None})
    if periods and periods[-1] - periods[0] > 1e-9 * periods[0]:
        raise InputError(
            f"waves of {periods[0]:g} and {periods[-1]:g} s", needed="one heart beat for inlet and muscle"
        )
    inertance, compliance = _storage(vessels, blood, wall)
    blocks: list[Block] = []
    nodes: list[tuple[str, str]] = []
    blocks.append(_inlet(boundary))
    nodes.append(("inlet", "vessel 0"))
    children: list[list[int]] = [[] for _ in range(len(vessels))]
    for n, above in enumerate(vessels.parent):
        if above >= 0:
            children[above].append(n)
    for n, at in enumerate(vessels.segments):
        name, tail = f"vessel {n}", at[-1]
        r, s = float(lost.friction[tail]), float(lost.jet[tail])
        blocks.append(tube.vessel(name, r, compliance[n], float(inertance[tail]), s))
        if children[n]:
            blocks.append(tube.junction(f"junction {n}"))
            nodes.append((name, f"junction {n}"))
            nodes += [(f"junction {n}", f"vessel {c}") for c in children[n]]
        else:
            blocks.append(_outlet(f"outlet {n}", boundary.outlets[n]))
            nodes.append((name, f"outlet {n}"))
    return Circuit(tuple(blocks), tuple(nodes), periods[0] if periods else 1.0)


def pulsatile(
    vessels: Network,
    boundary: Boundary,
    blood: Blood | None = None,
    *,
    wall: Wall | None = None,
    lost: Losses | None = None,
    points: int = 101,
    cycles: int | None = None,
    settle: float = 1e-4,
    progress: Progress = SILENT,
) -> Pulsatile:
    """Return pressures and flows of a network over a heart beat.

    Parameters
    ----------
    vessels, boundary, blood, wall, lost
        See `from_network`.
    points : int
        In a cycle, both ends included.
    cycles : int, optional
        So many exactly, whether they repeat by then or not (`Pulsatile.change` tells, and a note); by
        default until means at the ends change by less than ``settle`` from one cycle to the next.
    settle : float
        Relative.
    progress : Progress

    Raises
    ------
    InputError
        See `from_network`.
    SolverError
        If Newton's method fails in a step, or 100 cycles do not repeat.
    """
    blood = blood or Blood()
    lost = losses(vessels, blood) if lost is None else lost
    circuit = from_network(vessels, boundary, blood, wall=wall, lost=lost)
    settings = Settings(
        cycles=cycles or 2,
        points=points,
        until=settle if cycles is None else None,
        most_cycles=MOST_CYCLES,
    )
    found = simulate(circuit, settings, progress=progress)
    return _unfold(vessels, blood, lost, circuit, found, settle)


def _unfold(
    vessels: Network, blood: Blood, lost: Losses, circuit: Circuit, found: Simulation, settle: float
) -> Pulsatile:
    ends = [circuit.ports[f"vessel {n}"] for n in range(len(vessels))]
    heads = found.y[:, [e.inlets[0].p for e in ends]]
    into = found.y[:, [e.inlets[0].q for e in ends]]
    out = found.y[:, [e.outlets[0].q for e in ends]]
    rate = found.rate[:, [e.outlets[0].q for e in ends]]
    inertance, _ = _storage(vessels, blood, None)
    pressure = np.empty((len(found.time), len(vessels.points)))
    pressure[:, vessels.segments[0][0]] = heads[:, 0]
    for n, at in enumerate(vessels.segments):
        q, inner = into[:, n, None], at[1:]
        pressure[:, inner] = heads[:, n, None] - lost.friction[inner] * q - lost.jet[inner] * q * np.abs(q)
        pressure[:, inner] -= inertance[inner] * rate[:, n, None]
    if not (np.isfinite(pressure).all() and np.isfinite(into).all()):
        raise SolverError("pressures that are not numbers", needed="a finite answer")
    notes: tuple[str, ...] = ()
    if not found.change <= settle:
        notes = (f"not periodic yet: means changed by {found.change:.2g} in cycle {found.cycles}",)
    mean = FlowResult(
        _mean(pressure), _mean(into), "zerod", iterations=found.cycles, residual=found.change, notes=notes
    )
    time = found.time - found.time[0]
    return Pulsatile(time, pressure, into, out, mean, found.cycles, found.change)


def _mean(over: Floats) -> Floats:
    """Return the mean of equal steps over a cycle."""
    return np.asarray((over[1:].sum(0) + 0.5 * (over[0] - over[-1])) / (len(over) - 1))


def _storage(vessels: Network, blood: Blood, wall: Wall | None) -> tuple[Floats, list[float]]:
    """Return inertance from each segment's head to its points, mmHg s2/mL, and compliances, mL/mmHg.

    Exact between points whose radius changes linearly, for the inertance.
    """
    inertance = np.zeros(len(vessels.points))
    compliance = [0.0] * len(vessels)
    # kg/m3 mm/mm2 is 1e3 kg/m4 = Pa s2/m3 1e3; a millilitre is 1e-6 m3.
    unit = blood.density_kg_m3 * 1e3 * 1e-6 / MMHG
    for n, at in enumerate(vessels.segments):
        radius = vessels.radius_mm[at]
        step = np.diff(vessels.along_mm(n))
        inertance[at[1:]] = unit * np.cumsum(step / (np.pi * radius[:-1] * radius[1:]))
        if wall is not None:
            soft = 1.5e-3 * np.pi * radius**2 / wall.stiffness_mmHg(radius)
            compliance[n] = float(np.sum(0.5 * (soft[:-1] + soft[1:]) * step))
    return inertance, compliance


def _inlet(boundary: Boundary) -> Block:
    mean = boundary.pressure_mmHg if boundary.flow_ml_s is None else boundary.flow_ml_s
    series = Series(np.zeros(1), np.array([mean], float))
    if boundary.wave is not None:
        series = _series(boundary.wave)
    make = tube.pressure if boundary.flow_ml_s is None else tube.flow
    return make("inlet", series, inlet=True)


def _series(wave: Wave) -> Series:
    return Series(np.asarray(wave.time_s, float), np.asarray(wave.value, float))


def _outlet(name: str, o: Outlet) -> Block:
    near, far = o.proximal * o.resistance, (1 - o.proximal) * o.resistance
    if o.compliance is None:
        if o.muscle is not None:
            raise InputError(
                f"{name} that is squeezed but has no compliance", needed="the compliance of its bed, mL/mmHg"
            )
        whole, veins = np.array([o.resistance]), np.array([o.venous_mmHg])
        return tube.resistance(name, Series(np.zeros(1), whole), Series(np.zeros(1), veins))
    if o.muscle is None:
        return tube.rcr(name, near, o.compliance, far, o.venous_mmHg)
    return tube.coronary(
        name,
        Ra=near,
        Ram=MICRO * far,
        Rv=(1 - MICRO) * far,
        Ca=ARTERIAL * o.compliance,
        Cim=(1 - ARTERIAL) * o.compliance,
        Pv=o.venous_mmHg,
        Pim=_series(o.muscle),
    )
