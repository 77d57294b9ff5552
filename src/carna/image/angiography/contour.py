"""The two walls of a vessel in an angiogram, to a fraction of a pixel.

The picture is resampled along the normals of a course. The wall lies where it brightens fastest; a way of
least cost through the straightened picture (dynamic programming) finds it on each side, so that a gap is
bridged and a crossing vessel isn't followed. The course moves to the middle and the walls are sought again.

Blur draws the walls of thin vessels outwards and those of wide ones inwards. A round lumen of radius R
attenuates like 2 sqrt(R^2 - x^2); where that profile, blurred by a Gaussian, is steepest is computed for each
R and turned round. A radius below 1.5 of the blur can hardly be told from a line: it is rough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALONG: Final = 0.5  # px between sections
ACROSS: Final = 0.2  # px between samples of a section
SMOOTH_ACROSS: Final = 0.8  # px, SD
SMOOTH_ALONG: Final = 0.8  # px, SD
BEND: Final = 1.0  # cost of a wall that changes by 12 pixels a pixel, of a median edge
FURTHER: Final = 2.2  # walls are sought up to this many expected radii
LEAST: Final = 0.6  # of the blur


@final
@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """A vessel's middle and walls.

    Attributes
    ----------
    middle : (n, 2) float
        Row and column, half a pixel apart.
    along_px : (n,) float
        Distance from the first.
    radius_px : (n,) float
        Half the distance between the walls, free of blur.
    left, right : (n, 2) float
        The walls as they are seen.
    edge : (n,) float
        Strength of the weaker wall, of the vessel's median; below 0.3 a wall is a guess.
    """

    middle: Floats
    along_px: Floats
    radius_px: Floats
    left: Floats
    right: Floats
    edge: Floats


def even(course: npt.ArrayLike, step: float = ALONG) -> Floats:
    """Return a line of points (n, k) again, ``step`` apart."""
    points = np.asarray(course, float)
    along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))
    new = np.linspace(0, along[-1], max(4, round(along[-1] / step) + 1))
    return np.stack([np.interp(new, along, column) for column in points.T], axis=1)


def smooth(points: Floats, sd_points: float) -> Floats:
    """Return a line smoothed along itself; its ends stay where they are."""
    from scipy.ndimage import gaussian_filter1d

    if sd_points <= 0:
        return points
    # Reflected through its ends, a line isn't shortened.
    pad = min(int(4 * sd_points) + 1, len(points) - 1)
    head = 2 * points[:1] - points[pad:0:-1]
    tail = 2 * points[-1:] - points[-2 : -pad - 2 : -1]
    longer = gaussian_filter1d(np.concatenate([head, points, tail]), sd_points, axis=0)
    return np.asarray(longer[pad : pad + len(points)])


def find_contour(
    frame: npt.NDArray[Any], course: npt.ArrayLike, *, radius_px: float = 6.0, blur_px: float = 1.0
) -> Contour:
    """Return the walls along a course.

    Parameters
    ----------
    frame : (rows, columns)
        Vessels dark.
    course : (n, 2) float
        Row and column along the vessel, within about one radius of its middle.
    radius_px : float, 1 to 40
        A radius that the vessel doesn't exceed by more than double; walls are sought within 2.2 of it.
    blur_px : float, 0 to 3
        SD of the picture's blur.

    Raises
    ------
    InputError
        If the course is shorter than 6 pixels or leaves the picture.
    """
    picture = np.asarray(frame, float)
    line = np.asarray(course, float)
    if picture.ndim != 2 or line.ndim != 2 or line.shape[1:] != (2,) or len(line) < 2:
        raise InputError(
            f"a picture of shape {picture.shape} and a course of shape {line.shape}",
            needed="(rows, columns) and (n, 2)",
        )
    if (line < 0).any() or (line > np.array(picture.shape) - 1).any():
        raise InputError("a course that leaves the picture", fix="row comes first, then column")
    line = even(line)
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    if length < 6:
        raise InputError(f"a course of {length:.1f} pixels", needed="6 at least")
    # What the display's black is worth in photons is unknown, so that no logarithm can be taken.
    picture = -picture
    reach = FURTHER * float(np.clip(radius_px, 1, 40)) + 2
    line = even(smooth(line, max(radius_px, 2.0) / ALONG))
    most = np.full(len(line), reach)
    for shift in (1.0, 0.5):
        normal = _normals(line, radius_px)
        left, right, _ = _walls(picture, line, normal, most)
        wide = float(np.percentile((left + right) / 2, 90))
        line = line + shift * ((right - left) / 2)[:, None] * normal
        line = even(smooth(line, max(0.7 * wide, 1.5) / ALONG))
        most = _room((left + right) / 2, len(line), reach)
    normal = _normals(line, radius_px)
    left, right, edge = _walls(picture, line, normal, most)
    seen = (left + right) / 2
    radius = unblurred(seen, np.hypot(SMOOTH_ACROSS, np.hypot(blur_px, 12**-0.5)))
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    return Contour(
        line + ((right - left) / 2)[:, None] * normal,
        np.concatenate(([0.0], np.cumsum(steps))),
        radius,
        line - left[:, None] * normal,
        line + right[:, None] * normal,
        edge,
    )


def _normals(line: Floats, radius_px: float) -> Floats:
    way = np.gradient(smooth(line, max(0.5 * radius_px, 2.0) / ALONG), axis=0)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    return np.stack([-way[:, 1], way[:, 0]], axis=1)


def _room(seen: Floats, count: int, reach: float) -> Floats:
    """Return how far from the middle walls may lie, (count,): what is usual nearby, and more."""
    from scipy.ndimage import percentile_filter

    usual = percentile_filter(seen, 80, size=int(60 / ALONG), mode="nearest")
    again = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(usual)), usual)
    return np.asarray(np.minimum(1.6 * again + 2, reach))


def _walls(picture: Floats, line: Floats, normal: Floats, most: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distance of the left and right wall and the strength of the weaker one: (n,) each."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    half = int(most.max() / ACROSS)
    off = np.arange(-half, half + 1) * ACROSS
    at = line[:, None] + off[:, None] * normal[:, None]
    straight = map_coordinates(picture, np.moveaxis(at, -1, 0), order=1, mode="nearest")
    slope = gaussian_filter(
        straight, (SMOOTH_ALONG / ALONG, SMOOTH_ACROSS / ACROSS), order=(0, 1), mode="nearest"
    )
    # Contrast raises the attenuation: it falls on both sides going outwards.
    sides = np.maximum(np.stack([slope[:, half::-1], -slope[:, half:]]), 0)
    unit = max(float(np.percentile(sides.max(2), 50)), 1e-9)
    found, strength = [], []
    beyond = np.arange(half + 1) * ACROSS > most[:, None]
    for side in sides / unit:
        cost = np.where(beyond, 3.0, 1.0 - np.minimum(side, 1.5))
        way = _cheapest(cost, BEND * ACROSS / ALONG)
        fine = way + _peak(side, way)
        found.append(fine * ACROSS)
        strength.append(side[np.arange(len(way)), way])
    return found[0], found[1], np.minimum(*strength)


def _cheapest(cost: Floats, bend: float) -> Ints:
    """Return the column in each row of the cheapest way down; it changes by three columns a row at most."""
    steps = np.arange(-3, 4)
    price = bend * np.abs(steps) / 3 * 0.25
    rows, columns = cost.shape
    before = np.zeros((rows, columns), np.int64)
    total = cost[0].copy()
    for n in range(1, rows):
        padded = np.pad(total, 3, constant_values=np.inf)
        options = np.stack([padded[3 + s : 3 + s + columns] + p for s, p in zip(steps, price, strict=True)])
        pick = options.argmin(axis=0)
        before[n] = np.clip(np.arange(columns) + steps[pick], 0, columns - 1)
        total = options[pick, np.arange(columns)] + cost[n]
    way = np.empty(rows, np.int64)
    way[-1] = int(total.argmin())
    for n in range(rows - 1, 0, -1):
        way[n - 1] = before[n, way[n]]
    return way


def _peak(side: Floats, way: Ints) -> Floats:
    """Return the fraction of a sample by which a parabola's top lies off the way."""
    rows = np.arange(len(way))
    middle = np.clip(way, 1, side.shape[1] - 2)
    a, b, c = (side[rows, middle + n] for n in (-1, 0, 1))
    bowl = a - 2 * b + c
    off = np.where(bowl < -1e-9, 0.5 * (a - c) / np.minimum(bowl, -1e-9), 0.0)
    return np.asarray(np.where(middle == way, np.clip(off, -1, 1), 0.0))


def unblurred(seen_px: npt.ArrayLike, blur_px: float) -> Floats:
    """Return the radius whose blurred profile is steepest at ``seen_px`` from the middle, px: (...,).

    Parameters
    ----------
    seen_px : (...,) float
    blur_px : float, > 0
        SD of all blur together.
    """
    from scipy.ndimage import gaussian_filter1d

    # In units of the blur.
    radii = np.concatenate([np.linspace(LEAST, 6, 60), np.linspace(6.5, 60, 40)])
    step = 0.02
    x = np.arange(-70, 70 + step, step)
    steepest = np.empty(len(radii))
    for n, r in enumerate(radii):
        near = np.abs(x) < r + 6
        slope = gaussian_filter1d(2 * np.sqrt(np.maximum(r**2 - x[near] ** 2, 0)), 1 / step, order=1)
        steepest[n] = x[near][np.argmin(np.where(x[near] >= 0, slope, 0))]
    steepest = np.maximum.accumulate(steepest + 1e-6 * np.arange(len(radii)))
    return np.asarray(np.interp(np.asarray(seen_px, float) / blur_px, steepest, radii) * blur_px)
