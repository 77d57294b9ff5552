"""From drawn trees to vessels in millimetres: one view gives a plane, two views give space.

A point of one view lies somewhere on its ray; the other view draws that ray as a line (epipolar geometry).
Along each vessel the points of both views are matched in order, by dynamic programming, so that each lies
near its line; where two rays pass each other is the point. The radius is that of both views at its depth.

Between two runs the table moves and the patient breathes: the shift of the second picture that brings the
marks onto their lines is found first, and said. A shift along the lines can't be seen: it comes out as depth.
Where a vessel runs along its epipolar line the match is weak, and order and smoothness must carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.angiography.trace import Drawn
from carna.image.angiography.view import View
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_DEG: Final = 30.0
MARKS_OFF_PX: Final = 15.0
MOST_OFF_PX: Final = 8.0  # RMS distance to epipolar lines above which views don't belong together
SHIFT_PX: Final = 15.0  # SD of the picture's shift between runs
UNEVEN: Final = 0.6  # px that a step in one view alone costs
SMOOTH_MM: Final = 3.0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rebuilt:
    """A tree read from angiograms.

    Attributes
    ----------
    tree : VesselTree
        LPS mm, parents before children; its first point is the inlet.
    planar : bool
        Whether all points were put into one plane: lengths are those of a projection, lower bounds.
    off_px : float or None
        RMS distance of matched points to their epipolar lines; None for one view.
    shift_px : (row, column)
        By which the second picture was moved.
    notes : tuple of str
    """

    tree: VesselTree
    planar: bool
    off_px: float | None
    shift_px: tuple[float, float]
    notes: tuple[str, ...]


def planar_tree(drawn: Drawn, view: View) -> Rebuilt:
    """Return the tree of one view, laid into the plane of the isocentre."""
    points = view.on_plane(drawn.pixels)
    edges = np.stack([drawn.parent[1:], np.arange(1, len(points))], axis=1)
    tree = VesselTree(points, edges, drawn.radius_px * view.mm_per_px)
    note = "one view: the tree is flat, its lengths are those of the projection"
    return Rebuilt(tree, True, None, (0.0, 0.0), (note,))


def tree_from_views(first: Drawn, view: View, second: Drawn, other: View) -> Rebuilt:
    """Return the tree of two views.

    Parameters
    ----------
    first, second : Drawn
        The same vessels, their ends marked in the same order.
    view, other : View
        At least 30 degrees apart, about the same isocentre.

    Raises
    ------
    InputError
        If the views are too close, the ends differ in number, or the drawings don't fit each other.
    """
    apart = view.degrees_to(other)
    if apart < LEAST_DEG:
        raise InputError(
            f"views {apart:.0f} degrees apart",
            needed=f"{LEAST_DEG:.0f} at least, or depths are guessed",
            fix="give a view from another side",
        )
    if len(first.ends) != len(second.ends):
        raise InputError(
            f"{len(first.ends)} ends in one view and {len(second.ends)} in the other",
            needed="the same vessels, in the same order",
        )
    marks = [(a, b) for a, b in zip((0, *first.ends), (0, *second.ends), strict=True)]
    shift = _shift(first, second, marks, view, other)
    moved = second.pixels + shift
    left = _at_marks(first, second.pixels + shift, marks, view, other)
    if float(np.abs(left).max()) > MARKS_OFF_PX:
        raise InputError(
            f"a mark that lies {np.abs(left).max():.0f} pixels off its epipolar line in the other view",
            needed=f"{MARKS_OFF_PX:.0f} at most",
            fix="check the angles, the heart's phase, and that ends are marked in the same order",
        )
    points = np.full((len(first.pixels), 3), np.nan)
    radius = np.zeros(len(points))
    off: list[Floats] = []
    for end in range(len(first.ends)):
        mine, its = first.path(end), second.path(end)
        distance = _off_line(first.pixels[mine], moved[its], view, other)
        at = _in_order(np.abs(distance))
        matched = _at(moved[its], at)
        off.append(_nearest_off(np.abs(distance), at))
        places = _crossing(view, first.pixels[mine], other, matched)
        places = _smooth(places, SMOOTH_MM)
        wide = _radius(
            view, first.radius_px[mine], other, _at(second.radius_px[its][:, None], at)[:, 0], places
        )
        new = np.isnan(points[mine, 0])
        points[mine[new]], radius[mine[new]] = places[new], wide[new]
    rms = float(np.sqrt(np.mean(np.concatenate(off) ** 2)))
    if rms > MOST_OFF_PX:
        raise InputError(
            f"two drawings {rms:.0f} pixels off each other's epipolar lines",
            needed=f"at most {MOST_OFF_PX:.0f}",
            fix="check the angles, the heart's phase, and that ends are marked in the same order",
        )
    notes = []
    if np.linalg.norm(shift) > 1:
        notes.append(f"the second picture was moved by {np.linalg.norm(shift):.0f} pixels")
    edges = np.stack([first.parent[1:], np.arange(1, len(points))], axis=1)
    return Rebuilt(
        VesselTree(points, edges, radius), False, rms, (float(shift[0]), float(shift[1])), tuple(notes)
    )


def _off_line(mine: Floats, its: Floats, view: View, other: View) -> Floats:
    """Return the signed distance of the other view's points from the lines of this one's: (n, m), px."""
    rays = view.rays(mine)
    # Two points of each ray, before and behind the heart, give its line in the other view.
    near, far = (other.project(view.source + rays * (view.sod_mm + z)) for z in (-100.0, 100.0))
    way = (far - near) / np.linalg.norm(far - near, axis=1, keepdims=True)
    off = its[None] - near[:, None]
    return np.asarray(off[..., 0] * way[:, None, 1] - off[..., 1] * way[:, None, 0])


def _at_marks(first: Drawn, pixels: Floats, marks: list[tuple[int, int]], view: View, other: View) -> Floats:
    """Return the signed distance of the other view's marks, at ``pixels``, from their lines: px."""
    a, b = (list(side) for side in zip(*marks, strict=True))
    return np.asarray(np.diagonal(_off_line(first.pixels[a], pixels[b], view, other)))


def _shift(first: Drawn, second: Drawn, marks: list[tuple[int, int]], view: View, other: View) -> Floats:
    """Return the shift of the second picture that brings its marks onto their lines, (2,) px."""

    def distance(shift: Floats) -> Floats:
        return _at_marks(first, second.pixels + shift, marks, view, other)

    start = distance(np.zeros(2))
    slope: Floats = np.stack([distance(step) - start for step in np.eye(2)], axis=1)
    # Epipolar lines are nearly parallel: what lies along them can't be told from depth, and stays.
    across = np.linalg.svd(slope)[2][0]
    seen = slope @ across
    size = -float(seen @ start) / float(seen @ seen + 1 / SHIFT_PX**2)
    return np.asarray(size * across)


def _in_order(off: Floats) -> Floats:
    """Return, for each row, the column that it is matched to, in growing order: (n,), fractions allowed."""
    rows, columns = off.shape
    slant = columns / rows
    total = np.full((rows, columns), np.inf)
    came = np.zeros((rows, columns), np.int8)
    capped = np.minimum(off, 20.0)
    total[0] = capped[0] + UNEVEN * np.arange(columns)
    came[0] = 1
    steps = (UNEVEN if slant < 1 else UNEVEN * slant, UNEVEN / max(slant, 1.0) if slant > 1 else UNEVEN)
    for i in range(1, rows):
        before, row, now = total[i - 1], total[i], capped[i]
        down = before + steps[0]
        diagonal = np.concatenate(([np.inf], before[:-1]))
        best = np.where(diagonal <= down, diagonal, down)
        came[i] = np.where(diagonal <= down, 2, 0)
        best = best + now
        for j in range(columns):
            row[j] = best[j]
            if j and row[j - 1] + now[j] * 0.5 + steps[1] < row[j]:
                row[j] = row[j - 1] + now[j] * 0.5 + steps[1]
                came[i, j] = 1
    sums, counts = np.zeros(rows), np.zeros(rows)
    i, j = rows - 1, columns - 1
    while i > 0 or j > 0:
        sums[i] += j
        counts[i] += 1
        kind = came[i, j]
        if kind == 1 and j > 0:
            j -= 1
        elif kind == 2 and i > 0 and j > 0:
            i, j = i - 1, j - 1
        else:
            i -= 1
    sums[0] += j
    counts[0] += 1
    return np.asarray(sums / counts)


def _at(values: Floats, index: Floats) -> Floats:
    return np.stack([np.interp(index, np.arange(len(values)), column) for column in values.T], axis=1)


def _nearest_off(off: Floats, at: Floats) -> Floats:
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, off.shape[1] - 1)
    rows = np.arange(len(at))
    return np.asarray(np.minimum(off[rows, low], off[rows, high]))


def _crossing(view: View, mine: Floats, other: View, its: Floats) -> Floats:
    """Return the points nearest to both rays of each pair: (n, 3), LPS mm."""
    a, b = view.rays(mine), other.rays(its)
    between = other.source - view.source
    dot = (a * b).sum(1)
    along_a, along_b = a @ between, b @ between
    below = np.maximum(1 - dot**2, 1e-6)
    s = (along_a - dot * along_b) / below
    t = (dot * along_a - along_b) / below
    return np.asarray((view.source + s[:, None] * a + other.source + t[:, None] * b) / 2)


def _radius(view: View, mine: Floats, other: View, its: Floats, places: Floats) -> Floats:
    size = [v.depth_mm(places) / v.sid_mm * v.pitch_mm for v in (view, other)]
    return np.asarray((mine * size[0] + its * size[1]) / 2)


def _smooth(points: Floats, sd_mm: float) -> Floats:
    from carna.image.angiography.contour import smooth

    step = float(np.linalg.norm(np.diff(points, axis=0), axis=1).mean())
    return smooth(points, min(sd_mm / max(step, 1e-3), len(points) / 6))
