"""Vessels cut into cells, in one flat row, with the tables that the compiled loops read (SI units)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.oned.arteries import Arteries, Reflection, Vessel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PIECE = 120  # cells that the compiled loops take at a time
GRID = 2000  # samples of a beat, of what is imposed
FIXED = 1e30  # compliance of a reservoir, m3/Pa


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Tables of `carna.flow.oned.kernel`; n cells with ghosts, e ends of vessels, m nodes."""

    cell: Floats
    face: Floats
    damping: Floats
    bounds: Ints
    ends: Ints
    end_face: Floats
    first: Ints
    node: Floats
    waves: Floats
    which: Ints
    area: Floats
    veins: Floats
    rest: float
    at: Ints
    vessel: Ints
    along_mm: Floats


def mesh(arteries: Arteries, blood: Blood, cell_mm: float, junction: Literal["total", "static"]) -> Mesh:
    """Return the tables, with cells as near to ``cell_mm`` as whole numbers allow, one a vessel at least."""
    if not 0.05 <= cell_mm <= 50:
        raise InputError(f"cells of {cell_mm:g} mm", needed="0.05 to 50 mm")
    counts = [max(1, int(v.length_mm / cell_mm + 0.5)) for v in arteries.vessels]
    # A pad at both ends of the row, a ghost at both ends of each vessel.
    heads = 2 + np.cumsum([0, *(n + 2 for n in counts)])[:-1]
    total = -(-(int(heads[-1]) + counts[-1]) // PIECE) * PIECE + 4
    cell, face = np.zeros((5, total)), np.ones((3, total))
    damping = np.zeros(total)
    cell[0] = face[0] = 1.0
    area = np.ones(total)
    bounds = np.array([(h, h + n) for h, n in zip(heads, counts, strict=True)], np.int64)
    for v, (a, b) in zip(arteries.vessels, bounds, strict=True):
        _cut(v, blood, slice(a, b), cell, face, damping, area)
    nodes = sorted({n for v in arteries.vessels for n in (v.head, v.tail)})
    ends, first = _ends(arteries, bounds, nodes)
    node, veins, which, waves = _conditions(arteries, nodes, first, ends, face, blood, junction)
    at = np.concatenate([np.arange(a, b) for a, b in bounds])
    vessel = np.repeat(np.arange(len(counts)), counts)
    along = np.concatenate(
        [(np.arange(n) + 0.5) * v.length_mm / n for n, v in zip(counts, arteries.vessels, strict=True)]
    )
    return Mesh(
        cell,
        face,
        damping,
        bounds,
        ends,
        np.ascontiguousarray(face[:, ends[:, 3]]),
        first,
        node,
        waves,
        which,
        area,
        veins,
        _rest(arteries),
        at,
        vessel,
        along,
    )


def _cut(
    v: Vessel, blood: Blood, mine: slice, cell: Floats, face: Floats, damping: Floats, area: Floats
) -> None:
    n = mine.stop - mine.start
    edges = np.linspace(0, v.length_mm, n + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    size = v.length_mm / n * 1e-3
    rho = blood.density_kg_m3
    r = np.interp(middle, v.along_mm, v.radius_mm) * 1e-3
    # The friction of a cell is that of its whole length, throat and all: the mean of r^-4 over fine points.
    fine = (
        np.interp((np.arange(8 * n) + 0.5) * v.length_mm / (8 * n), v.along_mm, v.radius_mm).reshape(n, 8)
        * 1e-3
    )
    resist = (fine**-4.0).mean(axis=1)
    beta = v.wall.stiffness(r, rho)
    cell[0, mine] = beta
    cell[1, mine] = v.reference_mmHg * MMHG - beta * np.sqrt(np.pi) * r
    cell[2, mine] = 1 / size
    cell[3, mine] = 2 * (v.profile + 2) * np.pi * blood.viscosity_mPas * 1e-3 / rho * resist * r**4
    if v.jet is not None:
        lost = np.diff(np.interp(edges, v.along_mm, v.jet)) * MMHG * 1e12
        cell[4, mine] = lost / size / rho
    phi = v.wall.viscous_kPa_s * 1e3
    damping[mine] = 2 / 3 * np.sqrt(np.pi) * phi * v.wall.depth(r) / (np.pi * r**2) ** 1.5 / rho
    area[mine] = np.pi * r * r
    rf = np.interp(edges, v.along_mm, v.radius_mm) * 1e-3
    side = slice(mine.start - 1, mine.stop)
    bf = v.wall.stiffness(rf, rho)
    face[0, side] = bf
    face[1, side] = v.reference_mmHg * MMHG - bf * np.sqrt(np.pi) * rf
    face[2, side] = 1 / bf
    for ghost, by in ((mine.start - 1, mine.start), (mine.stop, mine.stop - 1)):
        cell[:2, ghost] = cell[:2, by]
        area[ghost] = area[by]


def _ends(arteries: Arteries, bounds: Ints, nodes: list[int]) -> tuple[Ints, Ints]:
    """Return the ends by node, and where each node's begin."""
    found: dict[int, list[tuple[int, int, int, int, int]]] = {n: [] for n in nodes}
    for v, (a, b) in zip(arteries.vessels, bounds.tolist(), strict=True):
        # In a vessel of one cell the neighbour inside is the other ghost.
        found[v.head].append((a, a + 1, a - 1, a - 1, -1))
        found[v.tail].append((b - 1, b - 2, b, b - 1, 1))
    ends = np.array([e for n in nodes for e in found[n]], np.int64)
    return ends, np.cumsum([0, *(len(found[n]) for n in nodes)])


def _conditions(
    arteries: Arteries,
    nodes: list[int],
    first: Ints,
    ends: Ints,
    face: Floats,
    blood: Blood,
    junction: Literal["total", "static"],
) -> tuple[Floats, Floats, Ints, Floats]:
    node, veins = np.zeros((len(nodes), 5)), np.zeros(len(nodes))
    which = np.full((len(nodes), 3), -1, np.int64)
    waves: list[Floats] = [np.zeros(GRID + 1)]
    grid = np.linspace(0, arteries.period_s, GRID + 1)
    per = 1e6 * MMHG  # mmHg s/mL to Pa s/m3
    for m, name in enumerate(nodes):
        meet = int(first[m + 1] - first[m])
        node[m, 3] = float(meet == 2 or (meet > 2 and junction == "total"))
        if name in arteries.inlets:
            inlet = arteries.inlets[name]
            flow = inlet.kind == "flow"
            which[m, 0 if flow else 1] = len(waves)
            # The last sample is the first again a period later.
            value = np.append(inlet.wave.at(grid[:-1]), inlet.wave.value[0])
            waves.append(value * (1e-6 if flow else MMHG))
        out = arteries.outlets.get(name)
        if isinstance(out, Reflection):
            e = ends[first[m], 3]
            root = (out.rest_mmHg * MMHG - face[1, e]) / face[0, e]
            speed = np.sqrt(0.5 / blood.density_kg_m3 * face[0, e] * root)
            admittance = root**2 / (blood.density_kg_m3 * speed)
            node[m] = admittance * (1 - out.share) / (1 + out.share), 0, FIXED, 0, 0
            veins[m] = out.rest_mmHg * MMHG
        elif out is not None:
            # A plain resistance may be split anywhere; one before a compliance can't be zero.
            near = max(
                out.resistance * (0.5 if out.compliance is None else out.proximal), 1e-3 * out.resistance
            )
            veins[m] = out.venous_mmHg * MMHG
            c = 0.0 if out.compliance is None else out.compliance * 1e-6 / MMHG
            node[m] = 1 / (near * per), 1 / ((out.resistance - near) * per), c, node[m, 3], veins[m]
            if out.muscle is not None:
                if abs(out.muscle.period_s - arteries.period_s) > 1e-9:
                    raise InputError(
                        f"a muscle's pressure of period {out.muscle.period_s:g} s",
                        needed="the inlet's period",
                    )
                which[m, 2] = len(waves)
                waves.append(np.append(out.muscle.at(grid[:-1]), out.muscle.value[0]) * MMHG)
    return node, veins, which, np.array(waves)


def _rest(arteries: Arteries) -> float:
    """Return a pressure to begin with, Pa: the mean that the resistances would hold at the mean inflow."""
    pushed = [i.wave.mean for i in arteries.inlets.values() if i.kind == "pressure"]
    if pushed:
        return float(np.mean(pushed)) * MMHG
    flow = sum(i.wave.mean for i in arteries.inlets.values())
    ends = [o for o in arteries.outlets.values() if not isinstance(o, Reflection)]
    if len(ends) < len(arteries.outlets):
        return (
            float(np.mean([o.rest_mmHg for o in arteries.outlets.values() if isinstance(o, Reflection)]))
            * MMHG
        )
    conduct = sum(1 / o.resistance for o in ends)
    return float((flow + sum(o.venous_mmHg / o.resistance for o in ends)) / conduct) * MMHG
