"""What the outlines of one long-axis cine measure: valve, lengths, areas, inner contour, apex.

- The *mitral plane* is the straight line between the two ends of the muscle on the cavity's rim: the ring of
  the mitral valve, in a 3-chamber plane that of mitral and aortic valve together.
- The *apex* is the point of the cavity farthest from its middle; between the two runs the length of the
  ventricle, and across it twenty widths for the summation of discs.
- The *inner contour* runs from one end of the mitral plane around the apex to the other. Its length over the
  beat is the global longitudinal strain of the plane (see `carna.image.long_axis.strain`).
- The *apical cap* is the muscle beyond the apex: its thickness is read along rays from the middle of the
  mitral plane.

Everything is measured from labels, so that a corrected outline corrects its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.long_axis.segment import LA, LV, MYOCARDIUM, RA, RV, Flags, Labels

__all__ = ["DISCS", "Measured", "measure"]

Array = npt.NDArray[np.float64]

DISCS = 20
_POINTS = 96  # of the inner contour
_SMOOTH = 1.2  # points: standard deviation of the smoothing along the contour
_FAN_DEG = (-3.0, 0.0, 3.0)  # of the rays through the apical cap
_STEP_MM = 0.25  # along a ray
_WHOLE = 8  # frames from which neighbours in time are near each other
_LEAP_MM = 15.0  # the middle of the mitral plane moves less than this between two of them


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measures of one plane over the beat; mm are (row, column) times the spacing.

    Parameters
    ----------
    area_mm2 : dict of (t,) float64
        By label `RV`, `MYOCARDIUM`, `LV`, `LA`, `RA`; 0 where it is not seen.
    valve_mm : (t, 2, 2) float64
        Ends of the mitral plane.
    apex_mm : (t, 2) float64
    length_mm : (t,) float64
        Middle of the mitral plane to apex.
    width_mm : (t, 20) float64
        Of the cavity across the length, base first.
    contour_mm : (t, 96, 2) float64
        Inner contour from end to end of the mitral plane.
    atrium_mm : (t,) float64
        Length of the left atrium: from the middle of the mitral plane through its middle to its far wall; 0
        without one.
    cap_mm : (t,) float64
        Thickness of the muscle beyond the apex; NaN where none is outlined.
    """

    area_mm2: dict[int, Array]
    valve_mm: Array
    apex_mm: Array
    length_mm: Array
    width_mm: Array
    contour_mm: Array
    atrium_mm: Array
    cap_mm: Array


def measure(labels: Labels, spacing_mm: tuple[float, float], *, closed: bool = True) -> Measured:
    """Measure the chambers of a long-axis cine.

    Parameters
    ----------
    labels : (t, r, c) uint8
        As of `LongAxis`.
    spacing_mm : (r, c)
        Distance of rows and of columns.
    closed : bool
        Whether the last frame is followed by the first: then the ends of the mitral plane are smoothed over
        the beat: the median of five frames, then (1, 2, 1) / 4.

    Raises
    ------
    InputError
        A frame without left ventricle, or whose cavity is closed by muscle all around; a mitral plane that
        leaps from one frame to the next, as no valve does.
    """
    spacing = np.asarray(spacing_mm, float)
    if labels.ndim != 3:
        raise InputError(f"labels of shape {labels.shape}", needed="(t, r, c)")
    rims = [_rim(frame, spacing) for frame in labels]
    ends = _ordered(np.stack([_ring(*rim) for rim in rims]))
    if closed and len(labels) >= _WHOLE:
        # An end that is missed in one frame is that of the frames around it.
        ends = np.median([np.roll(ends, by, 0) for by in (-2, -1, 0, 1, 2)], axis=0)
    if len(labels) >= _WHOLE:
        _no_leap(ends.mean(1))
    if closed and len(labels) >= _WHOLE:
        ends = 0.25 * np.roll(ends, 1, 0) + 0.5 * ends + 0.25 * np.roll(ends, -1, 0)
    contours = np.stack([_contour(rim, *end) for (rim, _), end in zip(rims, ends, strict=True)])
    middle = ends.mean(1)
    apex = np.stack([_farthest(rim, at) for (rim, _), at in zip(rims, middle, strict=True)])
    length = np.linalg.norm(apex - middle, axis=-1)
    frames = range(len(labels))
    return Measured(
        {
            label: (labels == label).sum((1, 2)) * float(spacing.prod())
            for label in (RV, MYOCARDIUM, LV, LA, RA)
        },
        ends,
        apex,
        length,
        np.stack([_widths(contours[t], middle[t], apex[t]) for t in frames]),
        contours,
        np.array([_atrium(labels[t] == LA, spacing, middle[t]) for t in frames]),
        np.array([_cap(labels[t], spacing, middle[t], apex[t]) for t in frames]),
    )


def _rim(labels: Labels, spacing: Array) -> tuple[Array, Flags]:
    """Return the rim of the cavity (n, 2) mm, once around, and where muscle lies on it."""
    import cv2
    from scipy.ndimage import distance_transform_edt, map_coordinates

    rows, columns = np.nonzero(labels == LV)
    if not len(rows):
        raise InputError("a frame without left ventricle", needed="outlines of it at every phase")
    corner = np.array([max(rows.min() - 6, 0), max(columns.min() - 6, 0)])
    cut = labels[corner[0] : rows.max() + 7, corner[1] : columns.max() + 7]
    # A blurred mask crosses one half between pixels: its rim is found to a quarter of a pixel.
    soft = cv2.GaussianBlur((cut == LV).astype(np.float32), (0, 0), 0.8)
    fine = cv2.resize(soft, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    # Contours run through the outermost fine pixels, an eighth of a pixel within the rim: hence not one half.
    found, _ = cv2.findContours((fine > 0.44).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    rim = (max(found, key=len)[:, 0, ::-1].astype(float) + 0.5) / 4.0 - 0.5
    away = [distance_transform_edt(~at) for at in (cut == MYOCARDIUM, (cut != MYOCARDIUM) & (cut != LV))]
    muscle, other = (map_coordinates(far, rim.T, order=1) for far in away)
    return (rim + corner) * spacing, muscle < other


def _ring(rim: Array, muscle: Flags) -> Array:
    """Return the two ends (2, 2) of the longest stretch of a rim without muscle."""
    if muscle.all() or not muscle.any():
        raise InputError(
            "a left ventricle with muscle all around it, or none",
            needed="a plane in which it opens to an atrium",
        )
    from scipy.ndimage import label

    start = int(np.argmax(muscle))  # begin in muscle, so that no stretch runs over the seam
    names, count = label(~np.roll(muscle, -start))
    longest = 1 + int(np.bincount(names, minlength=count + 1)[1:].argmax())
    inside = np.flatnonzero(names == longest) + start
    return rim[[inside[0] % len(rim), inside[-1] % len(rim)]]


def _ordered(ends: Array) -> Array:
    """Return the ends so that the first of each frame is near the first of the frame before."""
    out = ends.copy()
    for t in range(1, len(out)):
        if np.linalg.norm(out[t] - out[t - 1]) > np.linalg.norm(out[t, ::-1] - out[t - 1]):
            out[t] = out[t, ::-1].copy()
    return out


def _contour(rim: Array, first: Array, last: Array) -> Array:
    """Return the rim of the cavity from one point [mm] around the apex to the other, (96, 2) mm."""
    from scipy.ndimage import gaussian_filter1d

    start, stop = (int(np.linalg.norm(rim - end, axis=1).argmin()) for end in (first, last))
    way = np.roll(rim, -start, axis=0)
    cut_at = (stop - start) % len(rim)
    one, other = way[: cut_at + 1], np.concatenate([way[cut_at:], way[:1]])[::-1]
    chosen = one if _arc(one)[-1] > _arc(other)[-1] else other
    evenly = _evenly(chosen, _POINTS)
    smooth = gaussian_filter1d(evenly, _SMOOTH, axis=0, mode="nearest")
    # Smoothing shortens open ends: they stay where the valve is.
    smooth[0], smooth[-1] = evenly[0], evenly[-1]
    return _evenly(smooth, _POINTS)


def _no_leap(middle: Array) -> None:
    """Refuse a mitral plane whose middle (t, 2) mm leaps."""
    step = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    if step.max() > _LEAP_MM:
        at = int(step.argmax())
        raise InputError(
            f"the mitral plane leaps by {step.max():.0f} mm between frames {at + 1} and {at + 2}",
            needed="outlines that follow one valve",
        )


def _farthest(rim: Array, point: Array) -> Array:
    far: Array = rim[np.linalg.norm(rim - point, axis=1).argmax()]
    return far


def _arc(path: Array) -> Array:
    """Return the length (n,) along a path (n, 2) up to each point."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


def _evenly(path: Array, count: int) -> Array:
    arc = _arc(path)
    at = np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(at, arc, path[:, axis]) for axis in (0, 1)], axis=1)


def _widths(contour: Array, middle: Array, apex: Array) -> Array:
    """Return the widths (20,) of a contour across the line from the middle of the valve to the apex."""
    way = apex - middle
    length = float(np.linalg.norm(way))
    way = way / length
    side = np.array([-way[1], way[0]])
    along, across = (contour - middle) @ way, (contour - middle) @ side
    tip = int(along.argmax())
    levels = (np.arange(DISCS) + 0.5) / DISCS * length
    walls = []
    for part in (slice(0, tip + 1), slice(len(contour) - 1, tip - 1 if tip else None, -1)):
        depth = np.maximum.accumulate(along[part])
        walls.append(np.interp(levels, depth, across[part]))
    width: Array = np.abs(walls[0] - walls[1])
    return width


def _atrium(atrium: Flags, spacing: Array, middle: Array) -> float:
    """Return the length of the atrium: from the middle of the valve through its own to its far wall."""
    if not atrium.any():
        return 0.0
    at = np.argwhere(atrium) * spacing
    way = at.mean(0) - middle
    way /= max(float(np.linalg.norm(way)), 1e-9)
    side = np.array([-way[1], way[0]])
    near = np.abs((at - middle) @ side) < 4.0
    strip = (at[near] if near.any() else at) - middle
    # The far wall as the strip's mean reach: its area over its width.
    return float(min((strip @ way).max(), 1.02 * near.sum() * float(spacing.prod()) / 8.0))


def _cap(labels: Labels, spacing: Array, middle: Array, apex: Array) -> float:
    """Return the mean thickness of the muscle beyond the apex, NaN where none is outlined."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    cavity = gaussian_filter((labels == LV).astype(np.float32), 0.6)
    heart = gaussian_filter(((labels == LV) | (labels == MYOCARDIUM)).astype(np.float32), 0.6)
    length = float(np.linalg.norm(apex - middle))
    reach = np.arange(0.8 * length, length + 30.0, _STEP_MM)
    found = []
    for turn in np.deg2rad(_FAN_DEG):
        cos, sin = np.cos(turn), np.sin(turn)
        way = np.array([[cos, -sin], [sin, cos]]) @ (apex - middle) / length
        at = ((middle + reach[:, None] * way) / spacing).T
        inner, outer = (
            np.flatnonzero(map_coordinates(mask, at, order=1, mode="constant") > 0.5)
            for mask in (cavity, heart)
        )
        if len(inner) and len(outer) and outer[-1] < len(reach) - 1:
            found.append((outer[-1] - inner[-1]) * _STEP_MM)
    return float(np.mean(found)) if found and max(found) > 0 else float("nan")
