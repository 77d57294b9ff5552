"""Centrelines as programs write them, made into one tree: merged, joined, filled, resampled.

Files differ in how they draw a tree. Some give each branch once; some give one line per outlet, each from
the inlet, so that the trunk is there many times over, never at quite the same points; some leave gaps where
branches meet. `clean` lays the longest piece down and adds the others one after another: what runs along a
vessel that is already there is dropped, the rest is tied on where it leaves. It says all it did.

What it can't mend it leaves as it is, for `carna.flow.network` to refuse: pieces too far away to belong
together, rings, radii missing over more than a few points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.network import arclength, neighbours
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COINCIDENT_MM: Final = 1e-3
ALONG: Final = 0.35  # nearer to another vessel's line than this share of its radius: the same vessel
GAP: Final = 2.0  # pieces join over a gap of this many radii
FILLED_MM: Final = 2.0  # radii may be missing over this length


@final
@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """A tree and what was done to it.

    Attributes
    ----------
    tree : VesselTree
    notes : tuple of str
        One sentence for each kind of repair.
    """

    tree: VesselTree
    notes: tuple[str, ...]


def clean(tree: VesselTree, *, radius_mm: npt.ArrayLike | None = None) -> Cleaned:
    """Merge, join and fill centrelines.

    Parameters
    ----------
    tree : VesselTree
    radius_mm : (n,) float, optional
        Radii, mm, where the tree brings none; 0 or NaN where one is missing.

    Raises
    ------
    InputError
        If there are no radii at all.
    """
    if radius_mm is None and tree.radius_mm is None:
        raise InputError("a vessel tree without radii", needed="the radius at every point, mm")
    radius = np.array(tree.radius_mm if radius_mm is None else radius_mm, float)
    if radius.shape != (len(tree.points),):
        raise InputError(f"radii of shape {radius.shape}", needed=f"{len(tree.points)}, one a point")
    radius[~(radius > 0)] = 0.0
    notes: list[str] = []
    points, edges, radius = _merge(np.asarray(tree.points), np.asarray(tree.edges), radius, notes)
    points, edges, radius = _assemble(points, edges, radius, notes)
    _fill(points, edges, radius, notes)
    points, edges, radius = _prune(points, edges, radius, notes)
    return Cleaned(VesselTree(points, edges, radius, tree.frame), tuple(notes))


def resample(tree: VesselTree, step_mm: float) -> VesselTree:
    """Return the tree with equal steps of about ``step_mm`` between ends and bifurcations, which stay.

    Points and radii are interpolated linearly by arclength: a narrowing shorter than two steps is blunted.
    """
    if not step_mm > 0:
        raise InputError(f"a step of {step_mm:g} mm", needed="above 0 mm")
    points, radius, edges = list[Floats](), list[float](), list[tuple[int, int]]()
    at: dict[int, int] = {}
    old = tree.radius_mm if tree.radius_mm is not None else np.zeros(len(tree.points))

    def keep(place: Floats, wide: float) -> int:
        points.append(place)
        radius.append(wide)
        return len(points) - 1

    for chain in chains(tree.edges, len(tree.points)):
        along = arclength(tree.points[chain])
        count = max(round(along[-1] / step_mm), 1)
        new = np.linspace(0, along[-1], count + 1)
        places = np.stack([np.interp(new, along, tree.points[chain, k]) for k in range(3)], 1)
        wide = np.interp(new, along, old[chain])
        for end, n in ((chain[0], 0), (chain[-1], -1)):
            if int(end) not in at:
                at[int(end)] = keep(places[n], float(wide[n]))
        row = [at[int(chain[0])], *map(keep, places[1:-1], wide[1:-1].tolist()), at[int(chain[-1])]]
        edges += list(itertools.pairwise(row))
    return VesselTree(
        np.array(points), np.array(edges), None if tree.radius_mm is None else np.array(radius), tree.frame
    )


def smooth_radius(tree: VesselTree, length_mm: float) -> VesselTree:
    """Return the tree with log radii averaged along each branch by a Gaussian of SD ``length_mm``.

    Averages stop at bifurcations, where radii jump. A narrowing of the size of ``length_mm`` loses depth: at
    an SD of a fifth of its length, about a tenth.
    """
    if tree.radius_mm is None:
        raise InputError("a vessel tree without radii", needed="the radius at every point, mm")
    radius = np.array(tree.radius_mm)
    count = np.bincount(np.ravel(tree.edges), minlength=len(radius))
    for chain in chains(tree.edges, len(tree.points)):
        # The bifurcation's own radius belongs to the parent: it takes no part.
        inner = chain[count[chain] <= 2] if len(chain) > 3 else chain[:0]
        if len(inner) < 3:
            continue
        along = arclength(tree.points[inner])
        weight = np.exp(-0.5 * ((along[:, None] - along) / length_mm) ** 2) * np.gradient(along)
        radius[inner] = np.exp(weight @ np.log(tree.radius_mm[inner]) / weight.sum(1))
    return VesselTree(tree.points, tree.edges, radius, tree.frame)


def chains(edges: Ints, count: int) -> list[Ints]:
    """Return the points of each branch from one end or bifurcation to the next; a lone ring is left out."""
    near = neighbours(edges, count)
    found = []
    for start in (n for n in range(count) if len(near[n]) not in (0, 2)):
        for step in near[start]:
            line = [start, step]
            while len(near[line[-1]]) == 2:
                line.append(next(n for n in near[line[-1]] if n != line[-2]))
            if (line[0], line[1]) <= (line[-1], line[-2]):
                found.append(np.array(line))
    return found


def _labels(edges: Ints, count: int) -> Ints:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _compact(points: Floats, edges: Ints, radius: Floats, keep: Ints) -> tuple[Floats, Ints, Floats]:
    """Keep some points; edges that lose one go with it, doubles and loops of one point too."""
    new = np.full(len(points), -1)
    new[keep] = np.arange(len(keep))
    rows = np.sort(new[edges], axis=1)
    rows = rows[(rows[:, 0] >= 0) & (rows[:, 0] != rows[:, 1])]
    return points[keep], np.unique(rows, axis=0).reshape(-1, 2), radius[keep]


def _merge(points: Floats, edges: Ints, radius: Floats, notes: list[str]) -> tuple[Floats, Ints, Floats]:
    """Merge points of one piece that are joined and coincide; drop points that nothing joins."""
    if not len(edges):
        return points, edges, radius
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    same = _labels(edges[length < COINCIDENT_MM], len(points))
    first = np.unique(same, return_index=True)[1][same]
    wide = np.zeros(len(points))
    np.maximum.at(wide, first, radius)
    keep = np.unique(first[np.unique(edges)])
    gone = len(points) - len(keep)
    if gone:
        notes.append(f"{gone} points that coincide with a neighbour or join nothing were merged or dropped")
    return _compact(points, first[edges], wide, keep)


def _assemble(points: Floats, edges: Ints, radius: Floats, notes: list[str]) -> tuple[Floats, Ints, Floats]:
    """Tie pieces to the longest one: drop what runs along it, join over gaps."""
    piece = _labels(edges, len(points))
    count = int(piece.max()) + 1
    if count == 1:
        return points, edges, radius
    step = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    length = np.bincount(piece[edges[:, 0]], step, minlength=count)
    waiting = list(np.argsort(-length))
    inside = piece == waiting.pop(0)
    rows = [edges[inside[edges[:, 0]]]]
    dropped = joined = 0
    while waiting:
        found = None
        for n in waiting:
            found = _tie(points, edges[piece[edges[:, 0]] == n], radius, np.flatnonzero(piece == n), rows)
            if found is not None:
                break
        if found is None:
            break
        keep, new, over_gap = found
        waiting.remove(n)
        dropped += int((piece == n).sum()) - len(keep)
        joined += over_gap
        inside[keep] = True
        rows.append(new)
    # Pieces that found no place stay: the network tells how far away they are.
    for n in waiting:
        inside |= piece == n
        rows.append(edges[piece[edges[:, 0]] == n])
    if dropped:
        notes.append(f"{dropped} points ran along another line: one vessel drawn several times, merged")
    if joined:
        notes.append(f"{joined} gaps of less than {GAP:g} radii were closed")
    return _compact(points, np.concatenate(rows), radius, np.flatnonzero(inside))


def _tie(
    points: Floats, edges: Ints, radius: Floats, own: Ints, rows: list[Ints]
) -> tuple[Ints, Ints, int] | None:
    """Return what to keep of one piece and its edges with the ties, or None if it's too far away."""
    from scipy.spatial import cKDTree

    done = np.concatenate(rows)
    # Points between points: a line's steps may be longer than its distance from another line.
    a, b = points[done[:, 0]], points[done[:, 1]]
    share = np.linspace(0, 1, 9)[None, :, None]
    dense = (a[:, None] * (1 - share) + b[:, None] * share).reshape(-1, 3)
    owner = np.where(np.arange(9)[None] < 5, done[:, :1], done[:, 1:]).ravel()
    far_mm, at = cKDTree(dense).query(points[own])
    wide = np.maximum(radius[own], radius[owner[at]])
    near = np.zeros(len(points), bool)
    near[own] = far_mm <= ALONG * wide
    host = np.full(len(points), -1)
    host[own] = owner[at]
    keep = own[~near[own]]
    if not near.any():
        best = int(np.argmin(far_mm))
        if far_mm[best] > GAP * wide[best]:
            return None
        return own, np.vstack([edges, [[own[best], host[own[best]]]]]), 1
    if not len(keep):
        return keep, np.zeros((0, 2), np.int64), 0
    left = edges[~near[edges].all(1)]
    rows_new = np.where(near[left], host[left], left)
    # A run between two ties is a ring; one that never leaves the lumen is the same vessel again.
    wander = np.zeros(len(points))
    wander[own] = far_mm / np.maximum(wide, 1e-9)
    inner = left[~near[left].any(1)]
    run = _labels(inner, len(points))
    ties = np.bincount(run[left[near[left].any(1)][~near[left[near[left].any(1)]]]], minlength=len(points))
    reach = np.zeros(len(points))
    np.maximum.at(reach, run, wander)
    bad = (ties[run] > 1) & (reach[run] < 1.0)
    keep = keep[~bad[keep]]
    return keep, rows_new[~(bad[left] & ~near[left]).any(1)], 0


def _fill(points: Floats, edges: Ints, radius: Floats, notes: list[str]) -> None:
    """Fill radii missing over a short way, linearly by arclength, in place."""
    if (radius > 0).all():
        return
    filled = 0
    for chain in chains(edges, len(points)):
        along, known = arclength(points[chain]), radius[chain] > 0
        if known.all() or not known.any():
            continue
        gone = np.flatnonzero(~known)
        for run in np.split(gone, np.flatnonzero(np.diff(gone) > 1) + 1):
            low, high = max(run[0] - 1, 0), min(run[-1] + 1, len(chain) - 1)
            if len(run) == 1 or along[high] - along[low] <= FILLED_MM:
                radius[chain[run]] = np.interp(along[run], along[known], radius[chain[known]])
                filled += len(run)
    if filled:
        notes.append(f"{filled} missing radii were filled from their neighbours")


def _prune(points: Floats, edges: Ints, radius: Floats, notes: list[str]) -> tuple[Floats, Ints, Floats]:
    """Drop end branches that never leave the lumen they come from."""
    gone = 0
    while True:
        count = np.bincount(edges.ravel(), minlength=len(points))
        short: tuple[float, Ints] | None = None
        for chain in chains(edges, len(points)):
            ends = count[chain[[0, -1]]]
            if not ((ends == 1).any() and (ends > 2).any()):
                continue
            line = chain if ends[0] > 2 else chain[::-1]
            length = float(arclength(points[line])[-1])
            if length < radius[line[0]] and (short is None or length < short[0]):
                short = (length, line[1:])
        if short is None:
            break
        gone += 1
        points, edges, radius = _compact(
            points, edges, radius, np.setdiff1d(np.arange(len(points)), short[1])
        )
    if gone:
        notes.append(f"{gone} stubs shorter than the radius they come from were dropped")
    return points, edges, radius
