"""Steady flow through a tree of vessels: Newton on pressures and flows, in two passes over the segments.

Each segment loses R q + S q|q|: friction, 8 mu / pi times the integral of ds / r^4 (exact between points
whose radius changes linearly), and what a jet loses where the lumen widens, K rho / 2 (1/A_throat - 1/A)^2
q|q| with K = 1.52 (Young & Tsai 1973, doi:10.1016/0021-9290(73)90099-7). A narrowing followed by recovery to
the reference area gives the classic stenosis law; taper alone gives none. Pressures are without the
reversible Bernoulli part, as a pressure wire reads them before and after a lesion, not in its throat.

One Newton step is two passes. From the outlets up, every segment shows its parent a line p = a q + b; from
the inlet down, the lines are turned into flows and pressures. No matrix, nothing allocated. Poor for: long
entrance lengths, branch losses, several narrowings closer than a few diameters (their jets meet), pulsatile
inertia. `carna.flow.lesion` and the higher rungs carry those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Boundary
from carna.flow.network import Network
from carna.flow.result import FlowResult

Floats = npt.NDArray[np.float64]

EXPANSION: Final = 1.52
WIDER: Final = 0.05  # a lumen that narrows again by less than this share of its radius is still one widening
TOLERANCE: Final = 1e-10
MOST_STEPS: Final = 50


@final
@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Loss of pressure from the head of its segment to each point: R q + S q|q|.

    Attributes
    ----------
    friction : (n,) float
        R, mmHg s/mL.
    jet : (n,) float
        S, mmHg s2/mL2.
    """

    friction: Floats
    jet: Floats


def losses(vessels: Network, blood: Blood, *, expansion: float = EXPANSION) -> Losses:
    """Return what each point of a network has lost since the head of its segment.

    A point that several segments share has the value of the segment that ends there.
    """
    from carna.flow.steady_kernel import accumulate

    order = np.concatenate(vessels.segments)
    start = np.cumsum([0, *map(len, vessels.segments)])
    step = np.linalg.norm(np.diff(vessels.points[order], axis=0, prepend=vessels.points[order[:1]]), axis=1)
    friction, jet = accumulate(
        start,
        step,
        vessels.radius_mm[order],
        8 * blood.viscosity_mPas / (np.pi * MMHG),
        expansion * blood.density_kg_m3 / (2 * MMHG),
        WIDER,
    )
    # Written back to front, so that a shared point keeps its value as the tail of its parent.
    whole = Losses(np.zeros(len(vessels.points)), np.zeros(len(vessels.points)))
    whole.friction[order[::-1]] = friction[::-1]
    whole.jet[order[::-1]] = jet[::-1]
    return whole


def steady(
    vessels: Network, boundary: Boundary, blood: Blood | None = None, *, lost: Losses | None = None
) -> FlowResult:
    """Return mean pressures and flows.

    Parameters
    ----------
    vessels : Network
    boundary : Boundary
        Its mean inlet pressure or flow and its outlets' resistances are used.
    blood : Blood, optional
    lost : Losses, optional
        In place of the laws above, for instance with a lesion measured by the lattice.

    Raises
    ------
    InputError
        If an outlet has no condition.
    SolverError
        If 50 Newton steps do not settle the flows.
    """
    from carna.flow.steady_kernel import solve

    lost = losses(vessels, blood or Blood()) if lost is None else lost
    tails = np.array([at[-1] for at in vessels.segments])
    ends, veins = outlets(vessels, boundary)
    flow, pressure = np.zeros(len(vessels)), np.empty(len(vessels))
    steps, change = solve(
        vessels.parent,
        lost.friction[tails],
        lost.jet[tails],
        ends,
        veins,
        np.nan if boundary.pressure_mmHg is None else boundary.pressure_mmHg,
        boundary.flow_ml_s or 0.0,
        flow,
        pressure,
        TOLERANCE,
        MOST_STEPS,
    )
    if not change <= TOLERANCE:
        raise SolverError(
            f"flows still change by {change:.1e} after {steps} steps",
            needed=f"a change below {TOLERANCE:g}",
            fix="look for a radius near zero or a resistance many orders away from the others",
        )
    first = vessels.segments[0]
    inlet = pressure[0] + lost.friction[tails[0]] * flow[0] + lost.jet[tails[0]] * flow[0] * abs(flow[0])
    heads = np.where(vessels.parent >= 0, pressure[vessels.parent], inlet)
    along = np.empty(len(vessels.points))
    along[first[0]] = inlet
    for n, at in enumerate(vessels.segments):
        q = flow[n]
        along[at[1:]] = heads[n] - lost.friction[at[1:]] * q - lost.jet[at[1:]] * q * abs(q)
    return FlowResult(along, flow, "steady", steps, change)


def outlets(vessels: Network, boundary: Boundary) -> tuple[Floats, Floats]:
    """Return each segment's outlet resistance (mmHg s/mL, 0 where others follow) and venous pressure."""
    missing = [vessels.names[n] for n in vessels.outlets if int(n) not in boundary.outlets]
    if missing:
        raise InputError(
            f"no outlet condition for {', '.join(missing)}", needed="one for each segment that ends the tree"
        )
    resistance, venous = np.zeros(len(vessels)), np.zeros(len(vessels))
    for n in vessels.outlets:
        resistance[n], venous[n] = boundary.outlets[int(n)].resistance, boundary.outlets[int(n)].venous_mmHg
    return resistance, venous
