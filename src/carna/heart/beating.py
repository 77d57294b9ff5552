"""From labels over a beat to a repaired, beating heart, and to what the electrical models want of it.

::

    labels -> fit -> compose each phase of hearts seen before -> where labels are gross errors, fit again

A fit follows its labels, right or wrong. The composition (`carna.shape.composition`) knows which surfaces
hearts have: patches that are further than ``GROSS_MM`` from the composed heart are doubted, and the second
fit takes the composed outline there. A real peculiarity of a heart that no training heart has, larger than
that, is doubted too: `Beating.doubted` says where, and a reader decides. Only the left ventricle is judged:
real right ventricles vary more than the virtual ones, and a repair would make them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart import anatomy
from carna.heart.axes import Axes
from carna.heart.fibres import Angles
from carna.heart.ventricles import Ventricles, ventricles_of
from carna.progress import SILENT, Progress
from carna.shape import surface
from carna.shape.atlas import Atlas, load
from carna.shape.composition import compose
from carna.shape.contours import Labels
from carna.shape.template import ARC, LV_ENDO, LV_EPI, RINGS, RV, Part, normals
from carna.space import Floats, Grid

__all__ = ["GROSS_MM", "Beating", "axes_of", "beating_heart", "ventricles_at"]

Bools = npt.NDArray[np.bool_]

GROSS_MM: Final = 4.0
_TOUCH_MM: Final = 4.0  # a right ventricle nearer than this to the left wall shares the septum with it


@dataclass(frozen=True, slots=True, eq=False)
class Beating:
    """A beating heart and where its labels were doubted.

    Attributes
    ----------
    shape : carna.shape.surface.Beating
    doubted : (t, n) bool
        Vertices whose labels were replaced by what hearts seen before have there.
    """

    shape: surface.Beating
    doubted: Bools


def beating_heart(
    labels: Labels,
    planes: tuple[Grid, ...],
    *,
    atlas: Atlas | None = None,
    repair: bool = True,
    progress: Progress = SILENT,
) -> Beating:
    """Return the beating heart that short-axis labels show.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        1 cavity of the right ventricle, 2 wall and 3 cavity of the left one.
    planes : tuple of Grid
        One for each slice.
    atlas : Atlas, optional
        The one that comes with the package when absent.
    repair : bool
        Whether gross errors of the labels are replaced.
    progress : Progress

    Raises
    ------
    InputError
        See `carna.shape.surface.fit`.
    """
    known = atlas or load()
    first = surface.fit(labels, planes, known, progress=progress.part(0.0, 0.5 if repair else 1.0))
    if not repair:
        return Beating(first, np.zeros(first.points.shape[:2], bool))
    whole, doubted = _composed(first, known, progress.part(0.5, 0.6))
    if not doubted.any():
        return Beating(first, doubted)
    again = surface.fit(labels, planes, known, expected=(whole, doubted), progress=progress.part(0.6, 1.0))
    return Beating(again, doubted)


def _composed(first: surface.Beating, atlas: Atlas, progress: Progress) -> tuple[Floats, Bools]:
    """Return the composed vertices (t, n, 3) of each phase, and which of the fitted ones are gross errors."""
    dictionary, start = atlas.dictionary(), None
    given = first.aligned()
    whole, doubted = np.empty_like(given), np.zeros(given.shape[:2], bool)
    for t, shape in enumerate(given):
        found = compose(dictionary, shape, start=start)
        start, whole[t] = found.coefficients, found.shape
        for part in (LV_ENDO, LV_EPI):
            # What slides along a surface leaves it the same.
            off = np.einsum("vi,vi->v", found.gross[part.vertices], normals(shape, part))
            doubted[t, part.rings] = _patches(np.abs(off[: RINGS * part.around]).reshape(RINGS, -1)).ravel()
        progress((t + 1) / len(given), "repair")
    return whole, doubted


def _patches(off: Floats) -> Bools:
    """Return where patches of the rings (rings, around) are off by mm; single points are no gross error."""
    from scipy.ndimage import maximum_filter, uniform_filter

    round_ = ("nearest", "wrap")
    core = uniform_filter((off > GROSS_MM).astype(float), 5, mode=round_) > 0.7
    return np.asarray(maximum_filter(core, 5, mode=round_) & (off > 0.5 * GROSS_MM))


def axes_of(shape: surface.Beating, phase: int) -> Axes:
    """Return where the heart lies at a phase: its base, long axis and septum."""
    rings = shape.points[phase, LV_ENDO.rings]
    base = rings[: LV_ENDO.around].mean(0)
    tip = shape.points[phase, LV_ENDO.stop - 1]
    to = shape.frame.matrix
    return Axes(
        _three(shape.frame.to_lps(base)), _three((tip - base) @ to), _three(np.array([1.0, 0.0, 0.0]) @ to)
    )


def ventricles_at(
    shape: surface.Beating,
    phase: int,
    *,
    spacing_mm: float = 1.0,
    rv_wall_mm: float = 3.0,
    angles: Angles | None = None,
) -> Ventricles:
    """Return the ventricles at a phase on a grid, with fibres and segments: what `carna.ep` computes on.

    Parameters
    ----------
    shape : carna.shape.surface.Beating
    phase : int
    spacing_mm : float
        0.3 to 3 mm.
    rv_wall_mm : float
        Thickness of the right ventricle's wall, which no label shows, 1.5 to 12 mm; at least two voxels.
    angles : Angles, optional
        Of the fibres.

    Raises
    ------
    InputError
        A value outside its range, or a shape of which no pair of ventricles can be made.
    """
    if not (0.3 <= spacing_mm <= 3.0 and 1.5 <= rv_wall_mm <= 12.0):
        raise InputError(
            f"spacing {spacing_mm} mm, right wall {rv_wall_mm} mm", needed="0.3 to 3 mm, 1.5 to 12 mm"
        )
    grid = _grid(shape, phase, spacing_mm, rv_wall_mm)
    return ventricles_of(_labels(shape, phase, grid, rv_wall_mm), grid, axes_of(shape, phase), angles=angles)


def _grid(shape: surface.Beating, phase: int, step: float, wall: float) -> Grid:
    """Return a grid along the heart's frame (k to the apex, r across, c to the septum) that holds it."""
    pad = wall + 4.0 * step
    low, high = shape.points[phase].min(0) - pad, shape.points[phase].max(0) + pad
    # The base lies between two layers of voxels, so that the cut is clean.
    base = float(shape.ends.base[phase])
    low[2] = base - (np.ceil((base - low[2]) / step) - 0.5) * step
    sizes = np.ceil((high - low) / step).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = shape.frame.matrix[::-1].T * step
    affine[:3, 3] = shape.frame.to_lps(low)
    return Grid((int(sizes[2]), int(sizes[1]), int(sizes[0])), affine, shape.frame_uid)


def _labels(shape: surface.Beating, phase: int, grid: Grid, wall: float) -> anatomy.Labels:
    """Return the labels of the grid's voxels: the surfaces cut by each layer, then walls and openings."""
    from scipy.ndimage import distance_transform_edt

    corner = shape.frame.to_heart(grid.origin)
    step = grid.spacing_mm[0]
    z, y, x = (corner[2 - n] + step * np.arange(grid.shape[n]) for n in range(3))
    inner, outer, right, septum = (np.zeros(grid.shape, bool) for _ in range(4))
    ends, at = shape.ends, shape.points[phase]
    spans = {
        LV_ENDO.name: (ends.base[phase], ends.endo_tip[phase]),
        LV_EPI.name: (ends.base[phase], ends.epi_tip[phase]),
        RV.name: (ends.rv_base[phase], ends.rv_tip[phase]),
    }
    for k, depth in enumerate(z):
        middle = shape.line[phase] + shape.slope * depth
        off_x, off_y = x[None, :] - middle[0], y[:, None] - middle[1]
        radius, angle = np.hypot(off_x, off_y), np.arctan2(off_y, off_x)
        rings = {p.name: _ring(at, p, spans[p.name], float(depth), middle) for p in (LV_ENDO, LV_EPI, RV)}
        endo, epi, rv = (rings[p.name] for p in (LV_ENDO, LV_EPI, RV))
        edge = np.zeros_like(radius)
        if epi is not None:
            edge = _radius(epi, angle)
            outer[k] = radius < edge
        if endo is not None:
            inner[k] = radius < _radius(endo, angle)
        if rv is not None:
            near, far, inside = _between(rv, angle)
            near = np.where(near - edge < _TOUCH_MM, edge, near)
            right[k] = inside & (radius >= near) & (radius < far)
            septum[k] = inside & (near == edge)
    out = np.zeros(grid.shape, np.uint8)
    below = z >= ends.base[phase]
    thick = (distance_transform_edt(~right) * step <= wall) & (z >= ends.rv_base[phase])[:, None, None]
    out[thick] = anatomy.RV_WALL
    out[right] = anatomy.RV_CAVITY
    out[outer] = anatomy.LV_WALL
    out[outer & septum] = anatomy.SEPTUM
    out[inner] = anatomy.LV_CAVITY
    for base, cavity in ((below, (inner | outer)), (z >= ends.rv_base[phase], right | thick)):
        first = int(np.argmax(base))
        band = slice(max(first - 2, 0), first)
        reach = distance_transform_edt(~cavity[first]) <= 2.0
        out[band] = np.where(reach & (out[band] == 0), anatomy.OPENING, out[band])
    return out


def _ring(
    points: Floats, part: Part, span: tuple[float, float], depth: float, middle: Floats
) -> Floats | None:
    """Return the section (around, 2) of a surface at a depth, about the long axis; None beyond its ends."""
    if not span[0] <= depth < span[1]:
        return None
    return np.asarray(surface.in_slices(points, part, *span, np.array([depth]))[0] - middle)


def _radius(ring: Floats, angle: npt.NDArray[Any]) -> Floats:
    """Return the radius of a closed section round the axis at angles."""
    own = np.arctan2(ring[:, 1], ring[:, 0])
    return np.asarray(np.interp(angle, own, np.hypot(*ring.T), period=2.0 * np.pi))


def _between(ring: Floats, angle: npt.NDArray[Any]) -> tuple[Floats, Floats, Bools]:
    """Return the inner and outer radius of the right ventricle's section at angles, and where it is."""
    size, turn = np.hypot(*ring.T), np.unwrap(np.arctan2(ring[:, 1], ring[:, 0]))
    out, back = slice(0, ARC + 2), [0, *range(2 * ARC + 1, ARC, -1)]
    middle = 0.5 * (turn[0] + turn[ARC + 1])
    off = np.angle(np.exp(1j * (angle - middle)))
    far = np.interp(off, *_rising(turn[out] - middle, size[out]))
    near = np.interp(off, *_rising(turn[back] - middle, size[back]))
    return near, far, np.asarray(np.abs(off) <= 0.5 * abs(turn[ARC + 1] - turn[0]))


def _rising(turn: Floats, size: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(turn)
    return turn[order], size[order]


def _three(v: Floats) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
