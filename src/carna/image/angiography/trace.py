"""A vessel tree drawn in one picture: from a mark at its inlet to marks at its ends.

The ways of least cost from the inlet through the line filters' answer (Dijkstra) run together where vessels
do: a tree by construction. Each way's walls are then sought, and the way moves to their middle. Where vessels
cross, the cheapest way may take the wrong turn: look at what was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.angiography.contour import even, find_contour, smooth
from carna.image.angiography.vessels import SIZE, checked, find_vessels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STEP_PX: Final = 2.0
FLOOR: Final = 0.03  # cost is one over strength plus this
WIDEST: Final = 0.016  # radius that walls are sought for, of the picture's longer side


@final
@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A tree in one picture.

    Attributes
    ----------
    pixels : (n, 2) float
        Row and column, about two pixels apart; parents before children.
    radius_px : (n,) float
    parent : (n,) int
        Neighbour towards the inlet; -1 at the inlet itself.
    ends : tuple of int
        Points at the marks, in their order.
    """

    pixels: Floats
    radius_px: Floats
    parent: Ints
    ends: tuple[int, ...]

    def path(self, end: int) -> Ints:
        """Points from the inlet to one end (a number among `ends`)."""
        found = [self.ends[end]]
        while self.parent[found[-1]] >= 0:
            found.append(int(self.parent[found[-1]]))
        return np.array(found[::-1])


def trace(
    frame: npt.NDArray[Any],
    inlet: tuple[float, float],
    ends: Sequence[tuple[float, float]],
    *,
    blur_px: float = 1.0,
) -> Drawn:
    """Return the tree between marks in one frame.

    Parameters
    ----------
    frame : (rows, columns)
        Vessels dark, 64 to 2048 pixels a side.
    inlet : (row, column)
        Where contrast enters; within a few pixels of the vessel.
    ends : sequence of (row, column)
        At least one; the first one's vessel is the main one.
    blur_px : float
        As in `find_contour`.

    Raises
    ------
    InputError
        If a mark lies outside the picture, or two lie within 8 pixels of each other.
    """
    picture = checked(frame)
    marks = np.array([inlet, *ends], float)
    if len(marks) < 2 or marks.shape[1:] != (2,):
        raise InputError(f"{len(marks) - 1} ends", needed="one at least, as row and column")
    if (marks < 0).any() or (marks > np.array(picture.shape) - 1).any():
        raise InputError("a mark outside the picture", fix="row comes first, then column")
    apart = np.linalg.norm(marks[:, None] - marks, axis=2) + 1e9 * np.eye(len(marks))
    if apart.min() < 8:
        raise InputError(f"two marks {apart.min():.0f} pixels apart", needed="8 at least")
    ways = _ways(picture, marks)
    pixels, radius, parent = list[Floats](), list[float](), list[int]()
    tips: list[int] = []
    taken: dict[tuple[int, int], int] = {}
    for number, way in enumerate(ways):
        shared = next((n for n, cell in enumerate(way) if tuple(cell) not in taken), len(way) - 1)
        new = way[max(shared - 1, 0) :]
        for cell in new:
            taken.setdefault((int(cell[0]), int(cell[1])), number)
        line, width = _refined(picture, new, marks[number + 1], blur_px)
        host = -1
        if pixels:
            # The branch begins where it leaves its parent's lumen.
            tree = np.array(pixels)
            host = int(np.argmin(np.linalg.norm(tree - line[0], axis=1)))
            inside = np.linalg.norm(line - tree[host], axis=1) < radius[host]
            mouth = int(np.argmin(inside)) if not inside.all() else len(line) - 2
            line, width = line[mouth:], width[mouth:]
            width[: len(width) // 6 + 1] = np.minimum(
                width[: len(width) // 6 + 1], np.median(width[: len(width) // 2 + 1])
            )
        for place, r in zip(line, width, strict=True):
            pixels.append(place)
            radius.append(float(r))
            parent.append(host)
            host = len(pixels) - 1
        tips.append(len(pixels) - 1)
    return Drawn(np.array(pixels), np.array(radius), np.array(parent), tuple(tips))


def _ways(picture: Floats, marks: Floats) -> list[Ints]:
    """Return the cells of the coarse picture from the inlet to each end."""
    from scipy.ndimage import zoom
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    strength = find_vessels(picture).strength
    factor = min(1.0, SIZE / max(picture.shape))
    small = zoom(strength, factor, order=1, grid_mode=True, mode="nearest") if factor < 1 else strength
    shape = np.array(small.shape)
    cells = np.clip(np.round((marks + 0.5) * factor - 0.5).astype(int), 0, shape - 1)
    cost = 1 / (np.clip(small, 0, 2.0) + FLOOR)
    number = np.arange(small.size).reshape(small.shape)
    rows, columns, price = [], [], []
    for down, along in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = number[: shape[0] - down, max(-along, 0) : shape[1] - max(along, 0)]
        there = number[down:, max(along, 0) : shape[1] - max(-along, 0)]
        rows.append(here.ravel())
        columns.append(there.ravel())
        price.append(np.hypot(down, along) * (cost.flat[here.ravel()] + cost.flat[there.ravel()]) / 2)
    pairs = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_matrix((np.concatenate(price), pairs), (small.size, small.size)).tocsr()
    start = int(number[tuple(cells[0])])
    _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    found = []
    for cell in cells[1:]:
        way = [int(number[tuple(cell)])]
        while way[-1] != start:
            way.append(int(before[way[-1]]))
        found.append(np.stack(np.unravel_index(way[::-1], small.shape), axis=1))
    return found


def _refined(picture: Floats, way: Ints, mark: Floats, blur_px: float) -> tuple[Floats, Floats]:
    """Return points two pixels apart along the middle of the vessel, and their radii."""
    factor = min(1.0, SIZE / max(picture.shape))
    line = np.clip((way + 0.5) / factor - 0.5, 0, np.array(picture.shape) - 1.0)
    line = smooth(even(line), 4.0) if len(line) > 8 else np.linspace(line[0], mark, 16)
    if np.linalg.norm(np.diff(line, axis=0), axis=1).sum() < 12:
        return even(line, STEP_PX), np.full(len(even(line, STEP_PX)), 2.0 * blur_px)
    found = find_contour(picture, line, radius_px=WIDEST * max(picture.shape), blur_px=blur_px)
    # The middle between two rough walls is rougher than the vessel.
    middle = smooth(found.middle, 6.0)
    both = np.column_stack([middle, smooth(found.radius_px[:, None], 4.0)])
    again = even(both, 1.0)
    length = float(np.linalg.norm(np.diff(middle, axis=0), axis=1).sum())
    keep = np.linspace(0, len(again) - 1, max(4, round(length / STEP_PX) + 1)).astype(int)
    return again[keep, :2], np.maximum(again[keep, 2], 0.3)
