"""Virtual vessels: forests of coronary trees and renal arteries with exact truth, and aneurysms.

A coronary tree has three main segments, two to five branches and their branches, after the ranges of Itu et
al. 2016 (doi:10.1152/japplphysiol.00752.2015; the table is that of the chapter in *Artificial Intelligence
for Computational Modeling of the Heart*): at each bifurcation r_parent^k = r_a^k + r_b^k with k from 2.1 to
2.7, the smaller daughter's area 0.35 to 0.45 of the larger one's on a main vessel and 0.6 to 0.8 on a branch,
a taper of -20 to +5 %, 15 to 40 mm of length. Inlet radii: `itu2016` 1.5 to 3.5 mm; `stable` follows
angiographic diameters (Dodge et al. 1992, doi:10.1161/01.CIR.86.1.232). Narrowings are cosines.

How ill a forest is decides every accuracy that is quoted from it: the number of lesions and their depth are
parameters of `Style`, and `Forest.prevalence` says what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError, SolverError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import DEFAULTS, Boundary, Outlet
from carna.flow.network import Network
from carna.flow.result import FlowResult
from carna.flow.steady import EXPANSION, MOST_STEPS, TOLERANCE, WIDER

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Range = tuple[float, float]

PER_SEGMENT: Final = 40


@final
@dataclass(frozen=True, slots=True)
class Style:
    """Ranges that trees are drawn from; pairs are lowest and highest, drawn evenly.

    Attributes
    ----------
    main : int
        Segments of the main vessel.
    sides, twigs : (low, high) int
        Branches of the main vessel; branches of each of them.
    inlet_mm : range
        Radius at the inlet, mm.
    power : range
        k of r_parent^k = r_a^k + r_b^k.
    main_area, side_area : range
        Area of the smaller daughter, of the larger one's.
    taper : range
        Change of radius along a segment, of it.
    length_mm : range
        Of the segments.
    angle_deg : range
        Between daughters.
    lesions_main, lesions_side : (low, high) int
        Lesions on the main vessel and on each branch.
    depth : (mean, sd)
        Share of the diameter lost; normal, within 0.2 to 0.85.
    lesion_mm : (mean, sd)
        Length; normal, within 5 to 30 mm.
    velocity_m_s, pressure_mmHg, exponent : range
        Hyperaemic velocity in the inlet, mean pressure, and the power by which outlets share flow.
    """

    main: int = 3
    sides: tuple[int, int] = (2, 5)
    twigs: tuple[int, int] = (0, 2)
    inlet_mm: Range = (1.5, 3.5)
    power: Range = (2.1, 2.7)
    main_area: Range = (0.35, 0.45)
    side_area: Range = (0.6, 0.8)
    taper: Range = (-0.20, 0.05)
    length_mm: Range = (15.0, 40.0)
    angle_deg: Range = (30.0, 90.0)
    lesions_main: tuple[int, int] = (0, 3)
    lesions_side: tuple[int, int] = (0, 2)
    depth: tuple[float, float] = (0.44, 0.12)
    lesion_mm: tuple[float, float] = (13.0, 7.0)
    velocity_m_s: Range = (0.2, 0.35)
    pressure_mmHg: Range = (80.0, 110.0)
    exponent: Range = (2.1, 2.75)


STYLES: Final[Mapping[str, Style]] = MappingProxyType(
    {
        "itu2016": Style(),
        # Patients sent for tomography; three trees in ten have a ratio of 0.80 or less.
        "stable": Style(inlet_mm=(1.6, 2.5), lesions_side=(0, 1), depth=(0.44, 0.14)),
        "healthy": Style(lesions_main=(0, 0), lesions_side=(0, 0)),
        # One artery, two or three divisions; ostial and truncal narrowings.
        "renal": Style(
            main=1,
            sides=(2, 2),
            twigs=(0, 1),
            inlet_mm=(2.3, 3.3),
            power=(2.5, 3.0),
            side_area=(0.6, 1.0),
            length_mm=(20.0, 50.0),
            lesions_main=(0, 1),
            lesions_side=(0, 0),
            depth=(0.55, 0.15),
            velocity_m_s=(0.3, 0.6),
        ),
    }
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lesions:
    """All narrowings of a forest.

    Attributes
    ----------
    segment : (k,) int
        Of the whole forest.
    middle_mm, length_mm : (k,) float
        Place along its segment.
    depth : (k,) float
        Share of the diameter lost.
    """

    segment: Ints
    middle_mm: Floats
    length_mm: Floats
    depth: Floats


@final
@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Many trees laid end to end.

    Attributes
    ----------
    start : (t + 1,) int
        Where each tree's segments begin.
    parent : (s,) int
        Within its tree; -1 at the inlet.
    points : (s + 1,) int
        Where each segment's points begin; a segment has its own first point.
    step_mm, radius_mm, reference_mm : (n,) float
    outlet : (s,) float
        Resistance, mmHg s/mL; 0 where others follow.
    pressure_mmHg : (t,) float
    venous_mmHg : float
    lesions : Lesions
    angle_deg : (s,) float
        Turn from its parent's direction.
    """

    start: Ints
    parent: Ints
    points: Ints
    step_mm: Floats
    radius_mm: Floats
    reference_mm: Floats
    outlet: Floats
    pressure_mmHg: Floats
    venous_mmHg: float
    lesions: Lesions
    angle_deg: Floats

    def __len__(self) -> int:
        return len(self.start) - 1

    def network(self, tree: int) -> Network:
        """Return one tree with places in space, mm."""
        points, radius, rows = list[Floats](), list[Floats](), list[Ints]()
        ways: list[tuple[Floats, Floats]] = []
        count = 0
        for s in range(self.start[tree], self.start[tree + 1]):
            a, b = self.points[s], self.points[s + 1]
            up = int(self.parent[s])
            along = np.cumsum(self.step_mm[a:b])
            if up < 0:
                way, side, origin = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0]), np.zeros(3)
            else:
                turn = np.radians(self.angle_deg[s])
                old, side = ways[up]
                way = old * np.cos(turn) + side * np.sin(turn)
                # Each generation opens in a plane of its own.
                side = np.cross(way, side) / np.linalg.norm(np.cross(way, side))
                origin = points[up][-1]
            ways.append((way, side))
            places = origin + along[:, None] * way
            skip = 0 if up < 0 else 1
            own = np.arange(count, count + b - a - skip)
            rows.append(own if up < 0 else np.concatenate([rows[up][-1:], own]))
            count += len(own)
            points.append(places)
            radius.append(self.radius_mm[a + skip : b])
        kept = [p if n == 0 else p[1:] for n, p in enumerate(points)]
        names = tuple(f"segment {n}" for n in range(len(rows)))
        parent = self.parent[self.start[tree] : self.start[tree + 1]]
        return Network(np.concatenate(kept), np.concatenate(radius), tuple(rows), parent, names)

    def boundary(self, tree: int) -> Boundary:
        """Return one tree's conditions."""
        ends = self.outlet[self.start[tree] : self.start[tree + 1]]
        each = {int(n): Outlet(float(ends[n]), self.venous_mmHg, 0.32) for n in np.flatnonzero(ends)}
        return Boundary(float(self.pressure_mmHg[tree]), MappingProxyType(each))

    def ratio(self, blood: Blood | None = None) -> Floats:
        """Return the truth of the steady solver for all trees at once: the ratio at each tail, (s,)."""
        from carna.flow.steady_kernel import accumulate, solve_all

        blood = blood or Blood()
        friction, jet = accumulate(
            self.points,
            self.step_mm,
            self.radius_mm,
            8 * blood.viscosity_mPas / (np.pi * MMHG),
            EXPANSION * blood.density_kg_m3 / (2 * MMHG),
            WIDER,
        )
        last = self.points[1:] - 1
        flow, pressure = np.zeros(len(self.parent)), np.empty(len(self.parent))
        veins = np.full(len(self.parent), self.venous_mmHg)
        change = solve_all(
            self.start,
            self.parent,
            friction[last],
            jet[last],
            self.outlet,
            veins,
            self.pressure_mmHg,
            flow,
            pressure,
            TOLERANCE,
            MOST_STEPS,
        )
        if not (change <= TOLERANCE).all():
            bad = np.flatnonzero(~(change <= TOLERANCE))
            raise SolverError(f"{len(bad)} trees did not converge, the first is {bad[0]}")
        return np.asarray(pressure / np.repeat(self.pressure_mmHg, np.diff(self.start)))

    def truth(
        self, solver: Callable[[Network, Boundary, Blood], FlowResult], blood: Blood | None = None
    ) -> list[Floats]:
        """Return the ratio at each segment's tail of every tree by any rung of the ladder."""
        found = []
        for tree in range(len(self)):
            vessels = self.network(tree)
            result = solver(vessels, self.boundary(tree), blood or Blood())
            found.append(result.ratio[[at[-1] for at in vessels.segments]])
        return found

    def prevalence(self, ratio: Floats, cut: float = 0.80) -> float:
        """Return the share of trees with a ratio at or below ``cut`` at a tail of 1.5 mm diameter or more."""
        wide = 2 * self.reference_mm[self.points[1:] - 1] >= 1.5
        return float(np.mean(np.minimum.reduceat(np.where(wide, ratio, 1.0), self.start[:-1]) <= cut))


def grow(trees: int, *, style: Style | str = "itu2016", seed: int = 0, points: int = PER_SEGMENT) -> Forest:
    """Return a forest.

    Parameters
    ----------
    trees : int, 1 to 1,000,000
    style : Style or str
        Ranges, or a name in `STYLES`; ``dataclasses.replace`` changes one.
    seed : int
        The same seed gives the same forest.
    points : int
        A segment, >= 5.
    """
    if isinstance(style, str):
        if style not in STYLES:
            raise InputError(f"a style named {style!r}", needed=f"one of {', '.join(STYLES)}")
        style = STYLES[style]
    if not 1 <= trees <= 1_000_000 or points < 5:
        raise InputError(
            f"{trees} trees of {points} points a segment", needed="1 to 1,000,000, and 5 or more"
        )
    draws = np.random.default_rng(seed)
    start, parent, side = _shape(trees, style, draws)
    owner = np.repeat(np.arange(trees), np.diff(start))
    head, tail = _widths(start, parent, side, owner, style, draws)
    count = len(parent)
    length = draws.uniform(*style.length_mm, count)
    lesions = _narrowings(start, side, owner, length, style, draws)
    bounds = np.arange(count + 1) * points
    radius, reference, step = (np.empty(count * points) for _ in range(3))
    from carna.flow.virtual_kernel import fill

    fill(
        bounds, head, tail, length, lesions.segment, lesions.middle_mm, lesions.length_mm, lesions.depth,
        radius, reference, step,
    )  # fmt: skip
    # A segment begins at its parent's last point, as in `carna.flow.network`.
    has = parent >= 0
    radius[bounds[:-1][has]] = radius[bounds[(parent + start[owner])[has] + 1] - 1]
    pressure = draws.uniform(*style.pressure_mmHg, trees)
    venous = DEFAULTS["venous_mmHg"].value
    outlet = _outlets(start, parent, owner, head, tail, pressure - venous, style, draws)
    half = draws.uniform(*style.angle_deg, count) / 2
    turn = np.where(parent < 0, 0.0, np.where(side >= 1, half, -0.5 * half))
    return Forest(start, parent, bounds, step, radius, reference, outlet, pressure, venous, lesions, turn)


def _shape(trees: int, style: Style, draws: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Return where trees begin, parents, and what a segment is: 0 goes on, 1 branches off.

    Branches leave the main vessel at the tails of its segments, in turn; its last segment ends there in two.
    """
    sides = draws.integers(style.sides[0], style.sides[1] + 1, trees)
    parents: list[int] = []
    kinds: list[int] = []
    start = [0]
    for wanted in sides:
        first = start[-1]
        own: list[int] = []
        what: list[int] = []

        def add(up: int, kind: int, own: list[int] = own, what: list[int] = what) -> int:
            own.append(up)
            what.append(kind)
            return len(own) - 1

        spine, branches = -1, 0
        # More branches than bifurcations of the main vessel make it longer.
        for n in range(max(style.main, int(wanted))):
            spine = add(spine, 0 if n else 2)
            if branches < wanted and n < max(style.main, int(wanted)) - 1:
                branches += 1
                branch = add(spine, 1)
                _twigs(branch, int(draws.integers(style.twigs[0], style.twigs[1] + 1)), add)
        for _ in range(2 if branches < wanted else 0):
            add(spine, 1)
        parents += own
        kinds += what
        start.append(first + len(own))
    return np.array(start), np.array(parents, np.int64), np.array(kinds, np.int64)


def _twigs(branch: int, count: int, add: Callable[[int, int], int]) -> None:
    """Let a branch end in two, and the first of these in two again."""
    for n in range(count):
        on, off = add(branch, 0), add(branch, 1)
        branch = on if n % 2 == 0 else off


def _widths(
    start: Ints, parent: Ints, side: Ints, owner: Ints, style: Style, draws: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return radii at the head and the tail of each segment, mm."""
    trees = len(start) - 1
    power = draws.uniform(*style.power, trees)[owner]
    inlet = draws.normal(sum(style.inlet_mm) / 2, np.ptp(style.inlet_mm) / 4, trees).clip(*style.inlet_mm)
    taper = 1 + draws.uniform(*style.taper, len(parent))
    main = draws.uniform(*style.main_area, len(parent))
    twig = draws.uniform(*style.side_area, len(parent))
    up = np.where(parent >= 0, parent + start[owner], -1)
    # Both daughters of one parent need the same ratio: it is the parent's.
    # A main vessel begins with kind 2 and goes on with kind 0 from it.
    spine = side == 2
    for _ in range(int(np.diff(start).max())):
        spine = spine | ((side == 0) & (up >= 0) & spine[up])
    ratio = np.where(spine, main, twig)
    head, tail = np.empty(len(parent)), np.empty(len(parent))
    second = _second(up, side)
    depth = np.zeros(len(parent), np.int64)
    for n in np.flatnonzero(up >= 0):
        depth[n] = depth[up[n]] + 1
    for level in range(int(depth.max()) + 1):
        now = np.flatnonzero(depth == level)
        if level == 0:
            head[now] = inlet[owner[now]]
        else:
            above, k = up[now], power[now]
            # Areas stand as a : 1, and the powers of the radii add up to the parent's.
            wide = tail[above] * (1 + ratio[above] ** (k / 2)) ** (-1 / k)
            head[now] = np.where(second[now], wide * np.sqrt(ratio[above]), wide)
        tail[now] = head[now] * taper[now]
    return head, tail


def _second(up: Ints, side: Ints) -> npt.NDArray[np.bool_]:
    """Tell the smaller daughter: the one that branches off, or the later of two that do."""
    found = side == 1
    order = np.lexsort((side, up))
    first = np.ones(len(up), bool)
    first[1:] = up[order][1:] != up[order][:-1]
    found[order[first]] = False
    return np.asarray(found & (up >= 0))


def _narrowings(
    start: Ints, side: Ints, owner: Ints, length: Floats, style: Style, draws: np.random.Generator
) -> Lesions:
    trees = len(start) - 1
    on_main = draws.integers(style.lesions_main[0], style.lesions_main[1] + 1, trees)
    stem = np.flatnonzero(side != 1)
    # A lesion of the main vessel falls on one of the segments that go on.
    many = np.bincount(owner[stem], minlength=trees)
    before = np.cumsum(many) - many
    tree = np.repeat(np.arange(trees), on_main)
    chosen = stem[before[tree] + (draws.random(len(tree)) * many[tree]).astype(np.int64)]
    branch = np.flatnonzero(side == 1)
    chosen = np.concatenate(
        [
            chosen,
            np.repeat(branch, draws.integers(style.lesions_side[0], style.lesions_side[1] + 1, len(branch))),
        ]
    )
    long = np.minimum(draws.normal(*style.lesion_mm, len(chosen)).clip(5, 30), 0.8 * length[chosen])
    middle = long / 2 + draws.random(len(chosen)) * (length[chosen] - long)
    depth = draws.normal(*style.depth, len(chosen)).clip(0.2, 0.85)
    return Lesions(chosen, middle, long, depth)


def _outlets(
    start: Ints,
    parent: Ints,
    owner: Ints,
    head: Floats,
    tail: Floats,
    drive: Floats,
    style: Style,
    draws: np.random.Generator,
) -> Floats:
    """Share a hyperaemic flow of velocity times inlet area among the outlets."""
    trees = len(start) - 1
    flow = draws.uniform(*style.velocity_m_s, trees) * np.pi * head[start[:-1]] ** 2
    power = draws.uniform(*style.exponent, trees)[owner]
    inner = np.zeros(len(parent), bool)
    has = parent >= 0
    inner[(parent + start[owner])[has]] = True
    share = np.where(inner, 0.0, tail**power)
    whole = np.add.reduceat(share, start[:-1])
    outlet = np.zeros(len(parent))
    leaf = ~inner
    outlet[leaf] = (drive / flow * whole)[owner[leaf]] / share[leaf]
    return outlet


@final
@dataclass(frozen=True, slots=True)
class Aneurysm:
    """A parent tube with a sac, as a signed distance: what a lattice or a renderer needs.

    The tube follows a circle's arc in the x-z plane, its middle at the origin, running along x there; the sac
    is an ellipsoid on its outer side (a side-wall aneurysm). Terminal ones sit on a Y-shaped fork.

    Attributes
    ----------
    radius_mm : float
        Of the parent.
    neck_mm, height_mm, width_mm : float
        Diameter of the neck, height of the sac above the parent's wall, greatest width.
    bend_mm : float
        Radius of the parent's arc.
    terminal : bool
        At a fork instead of a wall.
    """

    radius_mm: float
    neck_mm: float
    height_mm: float
    width_mm: float
    bend_mm: float = 20.0
    terminal: bool = False

    @property
    def aspect(self) -> float:
        """Height over neck."""
        return self.height_mm / self.neck_mm

    def signed_mm(self, points: npt.ArrayLike) -> Floats:
        """Return the distance to the wall, mm, negative in blood: (...,) for points (..., 3)."""
        p = np.asarray(points, float)
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        if self.terminal:
            tube = _capsule(p, np.array([0, 0, -1.0]) * 40, np.zeros(3), self.radius_mm)
            for way in (np.array([1, 0, 0.45]), np.array([-1, 0, 0.45])):
                tube = np.minimum(tube, _capsule(p, np.zeros(3), 40 * way, self.radius_mm * 0.794))
        else:
            # The arc's centre lies below: its outside is +z.
            tube = np.hypot(np.hypot(x, z + self.bend_mm) - self.bend_mm, y) - self.radius_mm
        half = np.array([self.width_mm, self.width_mm, self._tall]) / 2
        centre = np.array([0.0, 0.0, self.radius_mm + self.height_mm - half[2]])
        scaled = np.linalg.norm((p - centre) / half, axis=-1)
        # First-order distance to an ellipsoid.
        slope = np.linalg.norm((p - centre) / half**2, axis=-1)
        sac = np.where(scaled > 1e-6, scaled * (scaled - 1) / np.maximum(slope, 1e-9), -half.min())
        return np.asarray(np.minimum(tube, sac))

    @property
    def _tall(self) -> float:
        """Full height of the ellipsoid whose section at the parent's wall is the neck."""
        cut = np.sqrt(max(1 - (self.neck_mm / self.width_mm) ** 2, 0.0))
        return float(2 * self.height_mm / (1 + cut))


def _capsule(p: Floats, a: Floats, b: Floats, radius: float) -> Floats:
    way = b - a
    share = np.clip((p - a) @ way / (way @ way), 0, 1)
    return np.asarray(np.linalg.norm(p - a - share[..., None] * way, axis=-1) - radius)


def aneurysms(count: int, *, seed: int = 0, terminal: float = 0.3) -> tuple[Aneurysm, ...]:
    """Return a family of aneurysms.

    Parent radius 1.5 to 2.5 mm, sac width 4 to 12 mm, neck 0.5 to 0.95 of the width, aspect ratio (height
    over neck) 0.8 to 2.2; a share of ``terminal`` sits at forks.
    """
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        width = float(draws.uniform(4, 12))
        neck = width * float(draws.uniform(0.5, 0.95))
        found.append(
            Aneurysm(
                float(draws.uniform(1.5, 2.5)),
                neck,
                neck * float(draws.uniform(0.8, 2.2)),
                width,
                float(draws.uniform(12, 40)),
                bool(draws.random() < terminal),
            )
        )
    return tuple(found)


def noisy(forest: Forest, *, cv: float = 0.05, correlated_mm: float = 4.0, seed: int = 0) -> Forest:
    """Return the forest as a scanner would measure it: log radii off by an error alike over a few mm.

    The truth of the first forest belongs to the radii of the second.
    """
    draws = np.random.default_rng(seed)
    per = int(forest.points[1] - forest.points[0])
    z = draws.standard_normal((len(forest.parent), per))
    keep = np.exp(-forest.step_mm.reshape(-1, per) / correlated_mm)
    for n in range(1, per):
        z[:, n] = keep[:, n] * z[:, n - 1] + np.sqrt(1 - keep[:, n] ** 2) * z[:, n]
    return replace(forest, radius_mm=forest.radius_mm * np.exp(cv * z.ravel()))
