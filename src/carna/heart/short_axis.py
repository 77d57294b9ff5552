"""The 17 segments in a stack of short-axis slices, from labels alone.

Level: the cavity's length, from the outer face of the most basal slice with a closed ring of muscle to the
outer face of the last slice with a cavity, is cut into equal thirds (Cerqueira 2002,
doi:10.1161/hc0402.102975); the middle of a slice decides. Sector: as in `carna.heart.segments`, centred on
the middle between the two insertions of the right ventricle. An insertion is an end of the arc along which
the right ventricle touches the wall. Slices near the apex have no right ventricle and single slices are
unsure, so one straight line through the angles of all slices (the median of the slopes between any two,
Theil and Sen) says where the septum is in each.

Which insertion is the anterior one follows from geometry, not from the patient's position: seen from the
apex, with the septum on the left, anterior is up. That needs the slices' order (the end with the larger
cavity is the base) and whether the picture is a mirror image (`handedness`).

Segment 17, the muscle beyond the cavity, is not cut by a short-axis slice: it is never given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.motion.contours import CAVITY, Contours, contours

__all__ = ["Level", "ShortAxis", "bullseye", "short_axis"]

Floats = npt.NDArray[np.floating]
Level = Literal["basal", "mid", "apical", "none"]

RIGHT: Final = 1
_LEVELS: tuple[Level, ...] = ("basal", "mid", "apical")
_BINS = 72
_TOUCH_MM = 3.5  # between the wall and the right ventricle, which a thin unlabelled line may part
_ARC_DEG = (30.0, 220.0)  # of contact; outside, the right ventricle is cut near its tip or mislabelled
_BRIDGE = 2  # bins without contact that do not end an arc
# As in carna.heart.segments: sectors in the order of their angle from the middle of the septum, from -180.
_OF_SIX = np.array([6, 1, 2, 3, 4, 5], np.uint8)
_OF_FOUR = np.array([16, 13, 14, 15], np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class ShortAxis:
    """Where the segments are in a stack. Angles [rad] run from the columns towards the rows of the picture.

    Parameters
    ----------
    levels : tuple of str
        For each slice "basal", "mid", "apical" or "none" (no closed ring of muscle around a cavity).
    septum : (k,) float64
        Angle of the middle of the septum about the middle of the cavity.
    anterior, inferior : (k,) float64
        Angles of the two insertions as seen in each slice; NaN where they were not.
    clockwise : bool
        Whether anterior lies clockwise from the septum in the picture, as in the usual display.
    base_first : bool
        Whether the first slice is the most basal one.
    """

    levels: tuple[Level, ...]
    septum: Floats
    anterior: Floats
    inferior: Floats
    clockwise: bool
    base_first: bool

    def segments(self, angles: Floats) -> npt.NDArray[np.uint8]:
        """Return the segment (k, n) of directions (n,) [rad] in each slice, 1 to 16, or 0."""
        towards = -1.0 if self.clockwise else 1.0  # anterior is negative, as in carna.heart.segments
        turn = np.mod(towards * (np.asarray(angles)[None] - self.septum[:, None]) + np.pi, 2 * np.pi)
        six = _OF_SIX[np.minimum((turn / np.radians(60)).astype(int), 5)]
        four = _OF_FOUR[np.mod(((turn + np.radians(45)) / np.radians(90)).astype(int), 4)]
        level = np.array(self.levels)[:, None]
        out: npt.NDArray[np.uint8] = np.select(
            [level == "basal", level == "mid", level == "apical"], [six, six + 6, four], 0
        ).astype(np.uint8)
        return out


def short_axis(
    labels: npt.NDArray[np.uint8], spacing_mm: tuple[float, float, float], *, handedness: int = 1
) -> ShortAxis:
    """Find the segments in a labelled end-diastolic stack.

    Parameters
    ----------
    labels : (k, r, c) uint8
        1 right ventricular cavity, 2 left ventricular muscle, 3 left ventricular cavity.
    spacing_mm : (k, r, c)
        Distance between slices, rows and columns [mm].
    handedness : 1 or -1
        Sign of the determinant of the three directions in which slice, row and column number grow, in a
        right-handed space such as LPS.

    Raises
    ------
    InputError
        No slice with a closed ring of muscle, or no right ventricle beside one: then nothing says where the
        septum is.
    """
    found = contours(labels[None], (spacing_mm[1], spacing_mm[2]))
    ring = np.flatnonzero(found.known[0])
    if not len(ring):
        raise InputError("no slice with a closed ring of muscle", needed="labels 2 around 3 in a slice")
    areas = (labels == CAVITY).sum(axis=(1, 2))
    base_first = _base_first(areas, (labels == RIGHT).sum(axis=(1, 2)))
    anterior, inferior, middles = _insertions(labels, spacing_mm, found, ring)
    clockwise = (handedness > 0) == base_first
    if not clockwise:
        anterior, inferior = inferior, anterior
    return ShortAxis(
        _levels(areas, ring, base_first), _septum(middles), anterior, inferior, clockwise, base_first
    )


def bullseye(values: Floats, segments: npt.NDArray[np.uint8]) -> Floats:
    """Mean (..., 17) of a polar quantity (..., k, n) over each segment (k, n); NaN where there is none.

    NaN values are left out. Segment 17 stays NaN: no short-axis slice cuts it.
    """
    out = np.full((*values.shape[:-2], 17), np.nan)
    for number in range(1, 17):
        here = values[..., segments == number]
        count = np.isfinite(here).sum(axis=-1)
        total = np.nansum(here, axis=-1)
        out[..., number - 1] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out


def _base_first(left: npt.NDArray[np.int_], right: npt.NDArray[np.int_]) -> bool:
    """Whether the cavities are larger at the first slices than at the last."""
    whole = left + right
    some = np.flatnonzero(left)
    third = max(1, len(some) // 3)
    first, last = whole[some[:third]].mean(), whole[some[-third:]].mean()
    return bool(first >= last)


def _levels(areas: npt.NDArray[np.int_], ring: npt.NDArray[np.int_], base_first: bool) -> tuple[Level, ...]:
    cavity = np.flatnonzero(areas)
    base, apex = (ring[0], cavity[-1]) if base_first else (ring[-1], cavity[0])
    length = abs(int(apex) - int(base)) + 1
    levels: list[Level] = ["none"] * len(areas)
    for s in ring:
        down = (abs(int(s) - int(base)) + 0.5) / length
        levels[s] = _LEVELS[min(int(3.0 * down), 2)]
    return tuple(levels)


def _insertions(
    labels: npt.NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
    found: Contours,
    ring: npt.NDArray[np.int_],
) -> tuple[Floats, Floats, Floats]:
    """Ends of the arc of contact, clockwise end first, and its middle; NaN where there is no arc."""
    k = len(labels)
    ahead, behind, middle = (np.full(k, np.nan) for _ in range(3))
    around = np.arange(_BINS) * (2 * np.pi / _BINS)
    for s in ring:
        rows, columns = np.nonzero(labels[s] == RIGHT)
        y = rows * spacing_mm[1] - found.centre_mm[0, s, 0]
        x = columns * spacing_mm[2] - found.centre_mm[0, s, 1]
        outer = found.radius(around)[0, s, 1]
        angle = np.mod(np.arctan2(y, x), 2 * np.pi)
        near = np.hypot(y, x) < np.interp(angle, around, outer, period=2 * np.pi) + _TOUCH_MM
        touched = np.bincount((angle[near] / around[1]).astype(int) % _BINS, minlength=_BINS) > 0
        start, length = _longest(touched)
        if _ARC_DEG[0] <= length * 360.0 / _BINS <= _ARC_DEG[1]:
            behind[s], ahead[s] = start * around[1], (start + length) * around[1]
            middle[s] = (behind[s] + ahead[s]) / 2.0
    if np.isnan(middle).all():
        raise InputError(
            "no right ventricle beside the left one", needed="labels 1 along the wall, to tell the septum"
        )
    return ahead, behind, middle


def _longest(touched: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length [bins] of the longest run in a circle, short gaps bridged."""
    n = len(touched)
    best, at, run, gap = (0, 0), 0, 0, 0
    for i in range(2 * n):
        if touched[i % n]:
            at = i if run == 0 else at
            run, gap = i - at + 1, 0
            best = (at % n, min(run, n)) if run > best[1] else best
        else:
            gap += 1
            run = 0 if gap > _BRIDGE else run
    return best


def _septum(middles: Floats) -> Floats:
    """Angle of the septum in every slice: a robust straight line through those that were seen."""
    seen = np.flatnonzero(np.isfinite(middles))
    start = float(np.angle(np.exp(1j * middles[seen]).mean()))
    off = np.angle(np.exp(1j * (middles[seen] - start)))
    pairs = [(b - a) / (seen[j] - seen[i]) for i, a in enumerate(off) for j, b in enumerate(off) if j > i]
    slope = float(np.median(pairs)) if pairs else 0.0
    level = float(np.median(off - slope * seen))
    # Beyond the slices that were seen the line is not prolonged: a small slope would run away.
    where = np.clip(np.arange(len(middles)), seen[0], seen[-1])
    return np.asarray(start + level + slope * where)
