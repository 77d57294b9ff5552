"""A rooted tree of vessel segments, made from centrelines: what every solver but the lattice takes.

A segment runs from the inlet or a bifurcation to the next bifurcation or an outlet; it shares its first point
with the last one of its parent. Segments stand parent before child, so that one pass down the list goes from
the inlet to the outlets and one pass up gathers from them.

What can't be a rooted tree in millimetres is refused with its evidence: several pieces, loops, radii that are
missing or zero, and sizes that no artery has in millimetres but would have in metres or centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Median radius of a tree of arteries, mm: from small coronary branches to an aneurysm of the aorta.
RADIUS_MM = (0.25, 25.0)
# Longest distance between two points of it, mm.
EXTENT_MM = (8.0, 2500.0)
_UNITS = {"metres": 1000.0, "centimetres": 10.0, "micrometres": 1e-3}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A rooted tree of vessel segments.

    Attributes
    ----------
    points : (n, 3) float
        LPS mm.
    radius_mm : (n,) float
        Above 0.
    segments : tuple of (m,) int
        Points of each segment from its head to its tail; at least two, parents before children.
    parent : (s,) int
        Segment that ends where this one begins; -1 at the inlet.
    names : tuple of str
        One a segment; ``segment 3`` where nobody named it.
    """

    points: Floats
    radius_mm: Floats
    segments: tuple[Ints, ...]
    parent: Ints
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def outlets(self) -> Ints:
        """Segments that no other follows."""
        return np.setdiff1d(np.arange(len(self)), self.parent)

    def along_mm(self, segment: int) -> Floats:
        """Distance of a segment's points from its head, mm: (m,)."""
        return arclength(self.points[self.segments[segment]])

    @property
    def from_inlet_mm(self) -> Floats:
        """Distance of every point from the inlet along the vessel, mm: (n,)."""
        far = np.zeros(len(self.points))
        for n, at in enumerate(self.segments):
            far[at] = far[at[0]] + self.along_mm(n)
        return far

    def path(self, segment: int) -> tuple[int, ...]:
        """Segments from the inlet to this one, both included."""
        found = [segment]
        while self.parent[found[-1]] >= 0:
            found.append(int(self.parent[found[-1]]))
        return tuple(reversed(found))

    @property
    def lines(self) -> tuple[tuple[int, ...], ...]:
        """Segments in vessels as they are named: each goes on where it stays widest, the others branch off.

        Width is the 90th percentile of a segment's radius, so that a narrowing doesn't end a vessel; between
        near equals the one with more tree behind it wins.
        """
        behind = np.array([self.along_mm(n)[-1] for n in range(len(self))])
        for n in range(len(self) - 1, 0, -1):
            behind[self.parent[n]] += behind[n]
        width = np.array([np.percentile(self.radius_mm[at[1:]], 90) for at in self.segments]) * behind**0.2
        found: list[list[int]] = []
        of = np.full(len(self), -1)
        for n in range(len(self)):
            up = int(self.parent[n])
            rivals = np.flatnonzero(self.parent == up)
            if up >= 0 and rivals[np.argmax(width[rivals])] == n:
                of[n] = of[up]
                found[of[n]].append(n)
            else:
                of[n] = len(found)
                found.append([n])
        return tuple(map(tuple, found))

    def line_points(self, line: tuple[int, ...]) -> Ints:
        """Points of consecutive segments, each once, from head to tail."""
        return np.concatenate([self.segments[line[0]], *(self.segments[n][1:] for n in line[1:])])

    def with_radius(self, radius_mm: npt.ArrayLike) -> Network:
        """Return the same vessels with other radii, (n,) mm."""
        radius = np.asarray(radius_mm, float)
        _check_radius(radius, len(self.points))
        return Network(self.points, radius, self.segments, self.parent, self.names)


def network(tree: VesselTree, *, inlet: int | None = None) -> Network:
    """Return the segments of a centreline tree, from its inlet outwards.

    Parameters
    ----------
    tree : VesselTree
        Connected and without loops; each point at most once.
    inlet : int, optional
        Point where blood enters, an end of the tree; by default the end with the largest radius.

    Raises
    ------
    InputError
        If the tree is in pieces, has a loop, lacks radii, has a radius of zero, or its size is not that of
        vessels in millimetres; the sentence names the evidence.
    """
    if tree.radius_mm is None:
        raise InputError("a vessel tree without radii", needed="the radius at every point, mm")
    count = len(tree.points)
    if count < 2 or not len(tree.edges):
        raise InputError(
            f"a vessel tree of {count} points and {len(tree.edges)} edges", needed="a line at least"
        )
    _check_radius(tree.radius_mm, count)
    _check_size(tree.points, tree.radius_mm)
    near = neighbours(tree.edges, count)
    _check_tree(near, tree)
    ends = np.flatnonzero([len(n) == 1 for n in near])
    if inlet is None:
        inlet = int(ends[np.argmax(tree.radius_mm[ends])])
    elif not 0 <= inlet < count or len(near[inlet]) != 1:
        raise InputError(
            f"inlet {inlet} of {count} points",
            needed="an end of the tree",
            fix=f"its ends are {ends.tolist()}",
        )
    segments, parent = _walk(near, inlet)
    return Network(
        tree.points,
        tree.radius_mm,
        segments,
        parent,
        tuple(f"segment {n}" for n in range(len(segments))),
    )


def _walk(near: list[list[int]], inlet: int) -> tuple[tuple[Ints, ...], Ints]:
    segments: list[Ints] = []
    parent: list[int] = []
    waiting = [(inlet, near[inlet][0], -1)]
    while waiting:
        head, point, above = waiting.pop(0)
        line = [head, point]
        while len(near[point]) == 2:
            point = next(n for n in near[point] if n != line[-2])
            line.append(point)
        parent.append(above)
        segments.append(np.array(line))
        waiting += [(point, n, len(segments) - 1) for n in near[point] if n != line[-2]]
    return tuple(segments), np.array(parent, np.int64)


def neighbours(edges: Ints, count: int) -> list[list[int]]:
    """Return the points that each of ``count`` points is joined to."""
    found: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        found[a].append(int(b))
        found[b].append(int(a))
    return found


def arclength(points: Floats) -> Floats:
    """Return the distance of a line's points (m, 3) from its first one along it, in their unit: (m,)."""
    return np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))


def _check_tree(near: list[list[int]], tree: VesselTree) -> None:
    seen = np.full(len(near), -1)
    pieces: list[int] = []
    for start in range(len(near)):
        if seen[start] >= 0:
            continue
        waiting, size = [start], 0
        seen[start] = len(pieces)
        while waiting:
            point = waiting.pop()
            size += 1
            for n in near[point]:
                if seen[n] < 0:
                    seen[n] = len(pieces)
                    waiting.append(n)
        pieces.append(size)
    if len(pieces) > 1:
        gap = _gap(tree.points, seen)
        sizes = ", ".join(map(str, sorted(pieces)[::-1][:6]))
        raise InputError(
            f"a vessel tree in {len(pieces)} pieces of {sizes} points, {gap:.2g} mm apart",
            needed="one connected tree",
            fix="join them with carna.flow.geometry.clean, or keep the piece you mean",
        )
    if len(tree.edges) != len(near) - 1:
        raise InputError(
            f"a vessel tree with {len(tree.edges) - len(near) + 1} loops",
            needed="a tree: one way from the inlet to each point",
            fix="cut the loop; a ring such as the circle of Willis needs carna.flow.oned",
        )


def _gap(points: Floats, piece: Ints) -> float:
    first, rest = points[piece == 0], points[piece != 0]
    return float(min(np.linalg.norm(rest - p, axis=1).min() for p in first[:: max(1, len(first) // 500)]))


def _check_radius(radius: Floats, count: int) -> None:
    if radius.shape != (count,):
        raise InputError(f"radii of shape {radius.shape}", needed=f"{count}, one a point")
    bad = int((~(radius > 0)).sum())
    if bad:
        raise InputError(
            f"{bad} of {count} radii are zero or missing",
            needed="radii above 0 mm",
            fix="an occluded vessel ends before the occlusion; carna.flow.geometry.clean fills single gaps",
        )


def _check_size(points: Floats, radius: Floats) -> None:
    extent = float(np.ptp(points, axis=0).max())
    middle = float(np.median(radius))

    def fits(scale: float) -> bool:
        return (
            RADIUS_MM[0] <= middle * scale <= RADIUS_MM[1] and EXTENT_MM[0] <= extent * scale <= EXTENT_MM[1]
        )

    if fits(1.0):
        return
    others = [name for name, scale in _UNITS.items() if fits(scale)]
    if middle > extent:
        what = "points and radii in different units"
    elif others:
        what = f"the numbers fit {' or '.join(others)}"
    else:
        what = "no unit of length makes them arteries"
    raise InputError(
        f"a median radius of {middle:.3g} and an extent of {extent:.3g}: {what}",
        needed=f"millimetres: median radius {RADIUS_MM[0]:g} to {RADIUS_MM[1]:g}, extent {EXTENT_MM[0]:g} to "
        f"{EXTENT_MM[1]:g}",
        fix="convert points and radii to millimetres",
    )
