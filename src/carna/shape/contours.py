"""Outlines of the ventricles in short-axis labels, as radii about the left ventricle.

A region that is star-shaped about a centre has the boundary ``r(theta)`` with ::

    int int e^(-i n theta) dA = int r^2 / 2 e^(-i n theta) dtheta

so sums over the pixels of a label are the Fourier coefficients of ``r^2 / 2``: every pixel counts, nothing
is traced, a staircase of pixels is averaged, and the area is exact. The right ventricle is no star; along
each ray it lies between two radii, and the sums of ``dA`` and ``r dA`` over a sector round it give both::

    A = q h dtheta,    B = (q^2 + h^2 / 12) h dtheta,    q middle radius, h thickness

Known failure: a ray that meets the right ventricle twice gets one piece of the right area and mean radius.

The frame of the heart is found from the labels themselves: z is the slices' normal, from base to apex, x
points to the right ventricle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.shape.template import ARC, SPOKES, angles
from carna.space import Grid

__all__ = ["EDGE", "LV_CAVITY", "LV_WALL", "RV_CAVITY", "Frame", "Outlines", "outlines"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

RV_CAVITY, LV_WALL, LV_CAVITY = 1, 2, 3
_HARMONICS: Final = 8
_SHORTEST_MM: Final = 10.0  # waves of a contour that are anatomy
_LEAST_MM2: Final = 30.0  # areas below it have no shape worth a contour
EDGE: Final = 0.004  # share of the right ventricle's area in a slice beyond the angle of each of its edges


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where the heart lies: ``to_lps`` of its own coordinates, z from base to apex along the slices' normal.

    Parameters
    ----------
    origin : (3,) float
        LPS mm.
    matrix : (3, 3) float
        Unit vectors x, y, z as rows, right-handed.
    """

    origin: Floats
    matrix: Floats

    def to_lps(self, points: npt.ArrayLike) -> Floats:
        """Return LPS points (..., 3) of points in the heart's frame, mm."""
        return np.asarray(np.asarray(points, float) @ self.matrix + self.origin)

    def to_heart(self, points_lps: npt.ArrayLike) -> Floats:
        """Return points (..., 3) of the heart's frame of LPS points, mm."""
        return np.asarray((np.asarray(points_lps, float) - self.origin) @ self.matrix.T)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Contours of all slices at all phases, slices sorted from base to apex.

    Attributes
    ----------
    frame : Frame
    order : (k,) int
        Which of the slices given each one is.
    z_mm : (k,) float
        Depth of each slice in the frame.
    endo, epi : (t, k, SPOKES, 2) float
        x, y of the contours, mm; NaN where there is none.
    rv : (t, k, 2 ARC + 2, 2) float
        The same, along the outer side from edge to edge and back along the inner one.
    area_mm2 : (t, k, 3) float
        Of the right cavity, the left wall and the left cavity.
    centre : (t, k, 2) float
        Of the left ventricle, NaN where it is not.
    """

    frame: Frame
    order: npt.NDArray[np.int64]
    z_mm: Floats
    endo: Floats
    epi: Floats
    rv: Floats
    area_mm2: Floats
    centre: Floats


def outlines(labels: Labels, planes: tuple[Grid, ...]) -> Outlines:
    """Return the contours of the ventricles.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        1 cavity of the right ventricle, 2 wall and 3 cavity of the left one.
    planes : tuple of Grid
        One for each slice, parallel.

    Raises
    ------
    InputError
        Labels of another shape, planes that are not parallel, no left or no right ventricle.
    """
    if labels.ndim != 4 or labels.shape[1] != len(planes):
        raise InputError(f"labels {labels.shape} on {len(planes)} planes", needed="(t, k, r, c), k planes")
    if not all(p.parallel(planes[0]) for p in planes):
        raise InputError("slices that are not parallel", needed="one short-axis stack")
    area = np.stack([(labels == n).sum((2, 3)) for n in (1, 2, 3)], -1) * _pixel_mm2(planes)[None, :, None]
    normal, depth = _towards_apex(planes, area)
    order = np.argsort(depth, kind="stable")
    if (np.diff(depth[order]) < 0.1).any():
        raise InputError("two slices at one place", needed="one slice at each depth", fix="keep one of them")
    frame = _frame(labels, planes, normal)
    k, t = len(planes), len(labels)
    endo, epi = np.full((2, t, k, SPOKES, 2), np.nan)
    rv, centre = np.full((t, k, 2 * ARC + 2, 2), np.nan), np.full((t, k, 2), np.nan)
    z = np.empty(k)
    for n, at in enumerate(order):
        start, row, column = _in_plane(planes[at], frame)
        z[n] = start[2]
        for m in range(t):
            r, c = np.nonzero(labels[m, at])
            kind = labels[m, at][r, c]
            x, y = (start[i] + row[i] * r + column[i] * c for i in (0, 1))
            found = _contours(x, y, kind, _pixel_mm2((planes[at],))[0])
            endo[m, n], epi[m, n], rv[m, n], centre[m, n] = found
    return Outlines(frame, order, z, endo, epi, rv, area[:, order], centre)


def _pixel_mm2(planes: tuple[Grid, ...]) -> Floats:
    return np.array([p.spacing_mm[1] * p.spacing_mm[2] for p in planes])


def _towards_apex(planes: tuple[Grid, ...], area: Floats) -> tuple[Floats, Floats]:
    """Return the unit normal from base to apex, and the slices' depths along it.

    Towards the apex the cavities grow smaller: the sum of depths weighted by area lies on the basal side of
    the middle of what is seen.
    """
    normal = planes[0].normal
    depth = np.array([p.centre @ normal for p in planes])
    cavities = (area[..., 0] + area[..., 2]).sum(0)
    seen = depth[area[..., 1:].sum((0, 2)) > 0.0]
    if not len(seen) or not area[..., 0].any():
        raise InputError(
            "labels without " + ("a right" if len(seen) else "a left") + " ventricle",
            needed="both ventricles",
        )
    if float(cavities @ depth) / float(cavities.sum()) > 0.5 * float(seen.min() + seen.max()):
        return -normal, -depth
    return normal, depth


def _frame(labels: Labels, planes: tuple[Grid, ...], normal: Floats) -> Frame:
    """Return the frame whose x points from the left to the right ventricle, its origin on the left one."""
    middle = np.zeros((2, 3))
    for n, wanted in enumerate(((LV_WALL, LV_CAVITY), (RV_CAVITY,))):
        total = 0.0
        for k, plane in enumerate(planes):
            # Only slices with both ventricles say where one lies from the other.
            if not all((labels[:, k] == v).any() for v in (RV_CAVITY, LV_CAVITY)):
                continue
            _, r, c = np.nonzero(np.isin(labels[:, k], wanted))
            middle[n] += plane.to_world(np.stack([np.zeros(len(r)), r, c], -1)).sum(0)
            total += len(r)
        middle[n] /= max(total, 1.0)
    across = middle[1] - middle[0]
    across = across - (across @ normal) * normal
    length = float(np.linalg.norm(across))
    if length < 1.0:
        raise InputError("a right ventricle round the left one", needed="one beside it")
    x = across / length
    return Frame(middle[0], np.stack([x, np.cross(normal, x), normal]))


def _in_plane(plane: Grid, frame: Frame) -> tuple[Floats, Floats, Floats]:
    """Return the first pixel in the frame, and the steps to the next row and column."""
    turned = frame.matrix @ plane.affine[:3, :3]
    return frame.to_heart(plane.origin), turned[:, 1], turned[:, 2]


def _contours(x: Floats, y: Floats, kind: Labels, pixel: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the contours of one slice at one phase: left inner, left outer, right, and the left centre."""
    none = np.full((SPOKES, 2), np.nan)
    outer, inner, right = kind >= LV_WALL, kind == LV_CAVITY, kind == RV_CAVITY
    if outer.sum() * pixel < _LEAST_MM2:
        return none, none, np.full((2 * ARC + 2, 2), np.nan), np.full(2, np.nan)
    cavity = inner.sum() * pixel >= _LEAST_MM2
    own = inner if cavity else outer
    centre = np.array([x[own].mean(), y[own].mean()])
    turn = np.stack([np.cos(angles()), np.sin(angles())], -1)
    radius, angle = np.hypot(x - centre[0], y - centre[1]), np.arctan2(y - centre[1], x - centre[0])
    endo = centre + _star(radius[inner], angle[inner], pixel)[:, None] * turn if cavity else none
    epi = centre + _star(radius[outer], angle[outer], pixel)[:, None] * turn
    rv = np.full((2 * ARC + 2, 2), np.nan)
    if right.sum() * pixel >= _LEAST_MM2:
        rv = centre + _crescent(radius[right], angle[right], pixel)
    return endo, epi, rv, centre


def _star(away: Floats, angle: Floats, pixel: float) -> Floats:
    """Return the radii (SPOKES,) of a region of pixels at radii and angles; the polygon has its area."""
    order = np.arange(_HARMONICS + 1)
    # Waves shorter than a few pixels are pixels: they fade out instead of ending, or the contour would ring.
    round_mm = 2.0 * np.pi * np.sqrt(len(angle) * pixel / np.pi)
    fade = 1.0 / (1.0 + (order / np.clip(round_mm / _SHORTEST_MM, 2.0, 6.5)) ** 8)
    # A disc round the centre has no harmonics, but its few pixels have: they count the less the nearer.
    weight = np.minimum((away / (0.6 * np.sqrt(len(angle) * pixel / np.pi))) ** 2, 1.0)
    sums = (weight[:, None] * np.exp(-1j * angle[:, None] * order)).sum(0) * pixel * fade
    sums[0] = len(angle) * pixel
    wave = np.exp(1j * angles()[:, None] * order[1:])
    square = (sums[0].real + 2.0 * (wave @ sums[1:]).real) / np.pi
    area = len(angle) * pixel
    radius = np.sqrt(np.maximum(square, 0.05 * area / np.pi))
    polygon = 0.5 * np.sin(2.0 * np.pi / SPOKES) * float(radius @ np.roll(radius, -1))
    return np.asarray(radius * np.sqrt(area / polygon))


def _crescent(radius: Floats, angle: Floats, pixel: float) -> Floats:
    """Return the ring (2 ARC + 2, 2) of a region between two radii, about the centre; its area is kept."""
    middle = float(np.angle(np.exp(1j * angle).sum()))
    off = np.angle(np.exp(1j * (angle - middle)))
    low, high = np.quantile(off, (EDGE, 1.0 - EDGE))
    # A pixel is as wide as it is: the edges lie half a pixel beyond its middle.
    half = max(0.5 * float(high - low) + 0.5 * np.sqrt(pixel) / float(np.median(radius)), 0.02)
    middle += 0.5 * float(low + high)
    off = np.clip((off - 0.5 * (low + high)) / half, -1.0, 1.0)
    nodes = np.linspace(-1.0, 1.0, ARC + 2)
    step = half * float(nodes[1] - nodes[0])
    cell = np.rint((off + 1.0) / (nodes[1] - nodes[0])).astype(int)
    a = np.bincount(cell, minlength=ARC + 2) * pixel / step
    b = np.bincount(cell, radius, minlength=ARC + 2) * pixel / step
    a[[0, -1]] *= 2.0  # half a cell at each edge
    b[[0, -1]] *= 2.0
    known = a > 0.0
    mean = np.interp(nodes, nodes[known], (b[known] / a[known]))
    q = mean.copy()
    for _ in range(4):
        q = mean - (a / q) ** 2 / (12.0 * q)
        q = np.maximum(q, 0.3 * mean)
    thick = a / q
    thick[[0, -1]] = 0.0
    outer, inner = q + 0.5 * thick, q - 0.5 * thick
    both = np.concatenate([outer, inner[-2:0:-1]])
    turn = middle + half * np.concatenate([nodes, nodes[-2:0:-1]])
    way = np.stack([np.cos(turn), np.sin(turn)], -1)
    ring = both[:, None] * way
    flat = np.concatenate([q, q[-2:0:-1]])[:, None] * way
    # The area is linear in the thickness: one factor makes it exact.
    return np.asarray(flat + (ring - flat) * (len(radius) * pixel / max(_area(ring), 1e-6)))


def _area(ring: Floats) -> float:
    """Area of a polygon (n, 2), positive where it turns from x to y."""
    after = np.roll(ring, -1, axis=0)
    return 0.5 * float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum())
