"""A beating pair of ventricles fitted to short-axis labels: closed surfaces of one topology at every phase.

::

    labels -> outlines of slices -> shifts of slices -> ends of the ventricles -> fit of phases -> smooth

**Slice shifts.** Every slice is another breath-hold. The centres of the left ventricle, averaged over the
beat, lie on a line with a slight bow; what departs from it is a shift of the slice (sd 3 mm), and the
Gaussian that says so has a closed form. Where outlines are doubted, their slice is laid on the shape that is
expected. A shift that is the same for all slices, or grows from slice to
slice, is a place or a tilt of the heart: nothing in one stack tells, and none is corrected.

**Fit.** With ``B`` the interpolation from the template's rings to the slices' depths ::

    contour = centre line + B (mean + modes c + w),    c ~ N(0, spread),    w ~ Gaussian process along z

``c`` by ridge regression; then what the modes can't say, ``w``, by kriging along each spoke. Between slices
the shape is that of hearts seen before, at a slice it is the label's. Points move with their spoke: torsion
is not seen, so a vertex is a place of the wall, not a piece of muscle.

Known failures: no papillary muscles, no outflow tracts, flat bases; the right ventricle is one sheet along
each ray from the left one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress
from carna.shape.atlas import Atlas
from carna.shape.contours import Frame, Labels, Outlines, outlines
from carna.shape.ends import Ends, ends, whittaker
from carna.shape.template import LEVELS, LV_ENDO, LV_EPI, PARTS, RINGS, RV, VERTICES, Part, normals, wall
from carna.space import Floats, Grid, Mesh, Surface

__all__ = ["LEAST_SLICES", "WIDEST_GAP_MM", "Beating", "fit", "in_slices", "shifts"]

Bools = npt.NDArray[np.bool_]

LEAST_SLICES: Final = 4
WIDEST_GAP_MM: Final = 20.0
LARGEST_SHIFT_MM: Final = 10.0
_SHIFT_SD_MM, _BOW_SD_MM = 3.0, 1.0  # of a breath-hold; of the middle of a natural long axis
_MODES_SD_MM: Final = 4.0  # of a contour about the modes, its points taken as one in eight
_REACH, _FREE_MM, _LABEL_MM = 0.22, 3.0, 0.4  # of the Gaussian process: levels, residual, label
_CALM: Final = 0.2  # smoothing over the beat


@dataclass(frozen=True, slots=True, eq=False)
class Beating:
    """Closed surfaces of both ventricles over a beat.

    Attributes
    ----------
    frame : Frame
    points : (t, n, 3) float
        The template's vertices, mm in the heart's frame.
    ends : Ends
    shift_mm : (k, 2) float
        By how much each slice, as given, was out of place along x and y of the frame, mm.
    residual_mm : float
        Root mean square distance from the labels' contours to the fitted ones in the slices.
    line, slope : (t, 2) and (2,) float
        The long axis: x, y = line + slope z, mm in the frame.
    frame_uid : str
        Frame of reference of the planes.
    """

    frame: Frame
    points: Floats
    ends: Ends
    line: Floats
    slope: Floats
    shift_mm: Floats
    residual_mm: float
    frame_uid: str = ""

    def surface(self, part: Part, phase: int) -> Surface:
        """Return one closed surface at a phase, LPS mm."""
        points = self.frame.to_lps(self.points[phase, part.vertices])
        return Surface(points, part.triangles, self.frame_uid)

    def volume_ml(self, part: Part) -> Floats:
        """Return the volume (t,) inside a surface, mL."""
        a, b, c = (self.points[:, part.vertices][:, part.triangles[:, n]] for n in range(3))
        return np.asarray(np.einsum("tij,tij->t", a, np.cross(b, c)) / 6000.0)

    def wall(self, phase: int) -> Mesh:
        """Return the left wall at a phase as tetrahedra, LPS mm.

        Where the outline of a small apical cavity is ragged, cells there may be inside out: check their
        volumes before solving on them, or take `carna.heart.beating.ventricles_at`.
        """
        inner, outer, cells, share = wall()
        points = self.points[phase]
        between = points[inner] * (1.0 - share)[:, None] + points[outer] * share[:, None]
        return Mesh(self.frame.to_lps(between), cells, self.frame_uid)

    def thickness_mm(self) -> Floats:
        """Return the distance (t, v) of each vertex of `LV_ENDO` from the epicardium, mm."""
        return np.stack([_thickness(p[LV_ENDO.vertices], p[LV_EPI.vertices]) for p in self.points])

    def aligned(self) -> Floats:
        """Return the vertices (t, n, 3) as an atlas wants them: about the long axis, z from the base, mm."""
        away = self.points.copy()
        away[..., :2] -= self.line[:, None] + self.slope * self.points[..., 2:]
        away[..., 2] -= self.ends.base[:, None]
        return away


def fit(
    labels: Labels,
    planes: tuple[Grid, ...],
    atlas: Atlas,
    *,
    expected: tuple[Floats, Bools] | None = None,
    progress: Progress = SILENT,
) -> Beating:
    """Return a beating heart fitted to short-axis labels.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        1 cavity of the right ventricle, 2 wall and 3 cavity of the left one; one phase is enough.
    planes : tuple of Grid
        One for each slice, parallel, in any order.
    atlas : Atlas
    expected : (t, n, 3) float and (t, n) bool, optional
        Vertices, as `Beating.aligned` has them, to be taken instead of the labels where the flag says so.
    progress : Progress

    Raises
    ------
    InputError
        Labels too poor for a shape: fewer than four slices with the left ventricle, slices more than 20 mm
        apart, a heart cut by the edge of the image, no apex, no right ventricle.
    """
    _refuse_cut(labels)
    seen = outlines(labels, planes)
    progress(0.4, "outlines")
    _refuse_poor(seen)
    shift = shifts(seen)
    where = ends(seen)
    line, slope = _centre_line(seen, shift)
    inside, missed, count = np.empty((len(labels), VERTICES, 3)), 0.0, 0
    wanted = (
        [] if expected is None else [_expected(seen, line, slope, where, *expected, t) for t in _all(seen)]
    )
    if wanted:
        shift = _settled(seen, shift, wanted)
    for t in _all(seen):
        contours = {n: c[t] - shift[:, None] for n, c in _named(seen).items()}
        if wanted:
            contours = {n: _replaced(c, *wanted[t][n]) for n, c in contours.items()}
        middle = line[t] + slope * seen.z_mm[:, None]
        inside[t], off, n = _fit_phase(contours, middle, seen.z_mm, where, t, atlas)
        missed, count = missed + off, count + n
        progress(0.4 + 0.55 * (t + 1) / len(labels), "shape")
    inside = whittaker(inside.reshape(len(inside), -1), _CALM).reshape(inside.shape)
    inside[..., :2] += line[:, None, :] + slope * inside[..., 2:]
    given = np.empty_like(shift)
    given[seen.order] = shift
    residual = float(np.sqrt(missed / max(count, 1)))
    return Beating(seen.frame, inside, where, line, slope, given, residual, planes[0].frame)


def shifts(seen: Outlines) -> Floats:
    """Return how far each slice, base first, lies out of place, (k, 2) mm along x and y; 0 where unknown."""
    z, k = seen.z_mm, len(seen.z_mm)
    known = np.isfinite(seen.centre[..., 0])
    out = np.zeros((k, 2))
    often = known.sum(0) > 0
    if often.sum() < 4:
        return out
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known[..., None], seen.centre, 0.0).sum(0)[often] / count[often, None]
    x = (z[often] - z[often].mean()) / np.ptp(z[often])
    line = np.stack([np.ones_like(x), x], 1)
    bow = 4.0 * x**2
    # Small slices have uncertain centres; a line has any place and tilt, so its variance is made huge.
    size = np.nanmean(np.where(known, seen.area_mm2[..., 1:].sum(-1), np.nan)[:, often], axis=0)
    own = 0.3**2 + 1.5**2 * np.clip(1.0 - size / float(np.median(size)), 0.0, 1.0)
    rest = 1e6 * line @ line.T + _BOW_SD_MM**2 * np.outer(bow, bow) + np.diag(own)
    moved = _SHIFT_SD_MM**2 * np.linalg.solve(rest + _SHIFT_SD_MM**2 * np.eye(len(x)), mean)
    out[often] = np.clip(moved, -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM)
    return out


def in_slices(points: Floats, part: Part, base: float, tip: float, z_mm: Floats) -> Floats:
    """Return x, y (k, around, 2) of a surface's rings at depths (k,), from vertices (n, 3)."""
    rings = points[part.rings].reshape(RINGS, part.around, 3)[..., :2]
    end = points[part.stop - 1, :2] if part.tip else rings[-1].mean(0)
    closed = np.concatenate([rings, np.broadcast_to(end, (1, part.around, 2))])
    return np.tensordot(_between(_level(z_mm, base, tip)), closed, 1)


def _refuse_cut(labels: Labels) -> None:
    if labels.ndim != 4 or not labels.any():
        raise InputError(f"labels {labels.shape}" + ("" if labels.any() else " that are empty"))
    rim = np.ones(labels.shape[2:], bool)
    rim[1:-1, 1:-1] = False
    if (labels[..., rim] > 0).any():
        raise InputError(
            "a heart cut by the edge of the image", needed="both ventricles whole in every slice"
        )


def _refuse_poor(seen: Outlines) -> None:
    fullest = int(seen.area_mm2[..., 2].sum(1).argmax())
    cavity = seen.area_mm2[fullest, :, 2]
    shown = np.flatnonzero(cavity > 0.0)
    if len(shown) < LEAST_SLICES:
        raise InputError(
            f"the left ventricle in {len(shown)} slices", needed=f"at least {LEAST_SLICES} with its cavity"
        )
    gap = float(np.diff(seen.z_mm[shown]).max())
    if gap > WIDEST_GAP_MM + 0.1:  # rounding of headers
        raise InputError(f"slices {gap:.0f} mm apart", needed=f"at most {WIDEST_GAP_MM:.0f} mm")
    if not np.isfinite(seen.rv[..., 0]).any((0, 2)).sum() >= 2:
        raise InputError("the right ventricle in fewer than two slices", needed="both ventricles")
    if shown[-1] == len(cavity) - 1 and cavity[-1] > 0.5 * cavity.max():
        raise InputError("a stack that ends before the apex", needed="slices down to the apex")


def _centre_line(seen: Outlines, shift: Floats) -> tuple[Floats, Floats]:
    """Return where the long axis crosses z = 0 at each phase (t, 2), and its slope (2,), shifts removed."""
    known = np.isfinite(seen.centre[..., 0])
    weight = np.where(known, np.sqrt(seen.area_mm2[..., 1:].sum(-1)), 0.0)
    centre = np.where(known[..., None], seen.centre - shift, 0.0)
    z = np.broadcast_to(seen.z_mm, known.shape)
    total = weight.sum(1, keepdims=True)
    z_mean = (weight * z).sum(1, keepdims=True) / total
    mean = (weight[..., None] * centre).sum(1) / total
    away = weight * (z - z_mean)
    slope = (away[..., None] * (centre - mean[:, None])).sum((0, 1)) / (away * (z - z_mean)).sum()
    line = mean - slope * z_mean
    return whittaker(line, 1.0), np.asarray(slope)


def _level(z: Floats, base: float, tip: float) -> Floats:
    """Return the template's levels (0 base, 1 tip) of depths; above the base they go on evenly."""
    s = (np.asarray(z) - base) / (tip - base)
    return np.where(s > 0.0, 1.0 - np.sqrt(np.clip(1.0 - s, 0.0, 1.0)), 0.5 * s)


def _between(level: Floats) -> Floats:
    """Return the weights (k, RINGS + 1) of the rings and the tip at levels (k,)."""
    place = np.clip(np.asarray(level) * RINGS, 0.0, RINGS)
    ring = np.minimum(place.astype(int), RINGS - 1)
    out = np.zeros((len(place), RINGS + 1))
    rows = np.arange(len(place))
    out[rows, ring] = 1.0 - (place - ring)
    out[rows, ring + 1] += place - ring
    return out


def _span(where: Ends, part: Part, t: int) -> tuple[float, float]:
    if part is RV:
        return float(where.rv_base[t]), float(where.rv_tip[t])
    tip = where.endo_tip if part is LV_ENDO else where.epi_tip
    return float(where.base[t]), float(tip[t])


def _fit_phase(
    contours: dict[str, Floats], middle: Floats, z: Floats, where: Ends, t: int, atlas: Atlas
) -> tuple[Floats, float, int]:
    """Return vertices (n, 3) about the centre line, and the squared misses of contours with their number."""
    modes = atlas.modes.shape[1]
    normal = np.diag(1.0 / np.maximum(atlas.spread, 1e-6) ** 2)
    toward = np.zeros(modes)
    rows: list[tuple[Part, Floats, Floats, Floats]] = []
    for part in PARTS:
        base, tip = _span(where, part, t)
        level = _level(z, base, tip)
        use = np.isfinite(contours[part.name][:, 0, 0]) & (level > -0.1) & (level < 1.0)
        weights = _between(level[use])[:, :RINGS]
        mean = atlas.mean[part.rings].reshape(RINGS, -1, 3)[..., :2].reshape(RINGS, -1)
        known = (contours[part.name][use] - middle[use, None]).reshape(int(use.sum()), -1) - weights @ mean
        basis = atlas.modes.reshape(-1, 3, modes)[part.rings, :2].reshape(RINGS, -1, modes).astype(float)
        rows.append((part, level[use], known, basis))
        if not use.any():
            continue
        seen = np.tensordot(weights, basis, 1).reshape(-1, modes)
        normal += seen.T @ seen / _MODES_SD_MM**2
        toward += seen.T @ known.ravel() / _MODES_SD_MM**2
    c = np.linalg.solve(normal, toward)
    out, missed, count = np.zeros((VERTICES, 3)), 0.0, 0
    for part, level, known, basis in rows:
        said = (basis @ c).reshape(RINGS, -1)
        at_slices = _between(level)[:, :RINGS] @ said
        rest, tip_xy, left = _krige(level, known - at_slices, part)
        missed, count = missed + float((left**2).sum()), count + left.size // 2
        mean = atlas.mean[part.rings].reshape(RINGS, -1, 3)[..., :2].reshape(RINGS, -1)
        base, tip = _span(where, part, t)
        rings = out[part.rings].reshape(RINGS, part.around, 3)
        rings[..., :2] = (mean + said + rest).reshape(RINGS, part.around, 2)
        rings[..., 2] = base + LEVELS[:, None] * (tip - base)
        out[part.rings] = rings.reshape(-1, 3)
        if part.tip:
            out[part.stop - 2] = (*rings[0, :, :2].mean(0), base)
            out[part.stop - 1] = (*tip_xy, tip)
    return out, missed, count


def _krige(level: Floats, rest: Floats, part: Part) -> tuple[Floats, Floats, Floats]:
    """Return what the modes did not say: at the rings, at the tip, and what is still left at the slices.

    Parameters
    ----------
    level : (k,) float
        Of the slices.
    rest : (k, 2 around) float
        Contours less what the modes say, mm.
    part : Part

    Returns
    -------
    rings : (RINGS, 2 around) float
    tip : (2,) float
    left : (k, 2 around) float
    """
    if not len(level):
        return np.zeros((RINGS, 2 * part.around)), np.zeros(2), rest
    rings, end = np.arange(RINGS) / RINGS, np.ones(1)
    # A tip may lie beside the axis with its last slices; round it, a closed surface has no width.
    moved = rest.reshape(len(level), -1, 2).mean(1) if part.tip else np.zeros((len(level), 2))
    form = rest - np.tile(moved, part.around)
    at = np.append(level, 1.0) if part.tip else level
    known = np.vstack([form, np.zeros((1, form.shape[1]))]) if part.tip else form
    shift, bend = _weights(level, moved), _weights(at, known)
    at_rings = np.tile(_alike(rings, level) @ shift, part.around) + _alike(rings, at) @ bend
    left = rest - np.tile(_alike(level, level) @ shift, part.around) - _alike(level, at) @ bend
    return at_rings, (_alike(end, level) @ shift)[0], left


def _alike(a: Floats, b: Floats) -> Floats:
    """Return the covariance (a, b) of the residual at levels, mm2."""
    return np.asarray(_FREE_MM**2 * np.exp(-0.5 * ((a[:, None] - b[None, :]) / _REACH) ** 2))


def _weights(at: Floats, known: Floats) -> Floats:
    return np.asarray(np.linalg.solve(_alike(at, at) + _LABEL_MM**2 * np.eye(len(at)), known), float)


def _all(seen: Outlines) -> range:
    return range(len(seen.endo))


def _named(seen: Outlines) -> dict[str, Floats]:
    return {LV_ENDO.name: seen.endo, LV_EPI.name: seen.epi, RV.name: seen.rv}


def _expected(
    seen: Outlines, line: Floats, slope: Floats, where: Ends, whole: Floats, doubted: Bools, t: int
) -> dict[str, tuple[Floats, Floats]]:
    """Return the contours (k, around, 2) of a shape in the slices, and how much the labels are doubted."""
    z, out = seen.z_mm, {}
    points = whole[t] + np.array([0.0, 0.0, where.base[t]])
    flags = np.repeat(doubted[t].astype(float)[:, None], 3, axis=1)
    for part in PARTS:
        base, tip = _span(where, part, t)
        there = in_slices(points, part, base, tip, z) + (line[t] + slope * z[:, None])[:, None]
        out[part.name] = there, np.clip(2.0 * in_slices(flags, part, base, tip, z)[..., 0], 0.0, 1.0)
    return out


def _settled(seen: Outlines, shift: Floats, wanted: list[dict[str, tuple[Floats, Floats]]]) -> Floats:
    """Return the shifts (k, 2) that bring what is not doubted of each slice nearest to the expected contours.

    A gross error moves the centre of its slice, and the slice with it. Distances count along the normals, in
    least squares reweighted by a Huber function of 1 mm.
    """
    out = shift.copy()
    for k in range(len(out)):
        rows, miss = [], []
        for name, given in _named(seen).items():
            for t in _all(seen):
                there, doubt = wanted[t][name]
                use = np.isfinite(given[t, k, :, 0]) & (doubt[k] < 0.5)
                along = np.roll(there[k], -1, axis=0) - np.roll(there[k], 1, axis=0)
                normal = np.stack([along[:, 1], -along[:, 0]], 1)
                normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
                rows.append(normal[use])
                miss.append(np.einsum("vi,vi->v", given[t, k, use] - there[k, use], normal[use]))
        a, b = np.concatenate(rows), np.concatenate(miss)
        if len(a) < 2 * LV_ENDO.around:
            continue
        for _ in range(6):
            trust = 1.0 / np.maximum(np.abs(b - a @ out[k]), 1.0)
            out[k] = np.linalg.solve(
                (a * trust[:, None]).T @ a + 1e-6 * np.eye(2), (a * trust[:, None]).T @ b
            )
    return np.clip(out, -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM)


def _replaced(here: Floats, there: Floats, doubt: Floats) -> Floats:
    """Return contours with the expected ones where they are doubted."""
    share = doubt[..., None]
    return np.where(share > 0.0, (1.0 - share) * here + share * there, here)


def _thickness(inner: Floats, outer: Floats) -> Floats:
    """Distance of points (v, 3) from a surface of as many points: to the plane at its nearest point."""
    from scipy.spatial import cKDTree

    points = np.zeros((VERTICES, 3))
    points[LV_EPI.vertices] = outer
    normal = normals(points, LV_EPI)
    lid = len(outer) - 2  # no part of the wall
    skin = np.delete(np.arange(len(outer)), lid)
    near = skin[cKDTree(outer[skin]).query(inner)[1]]
    return np.asarray(np.abs(np.einsum("vi,vi->v", outer[near] - inner, normal[near])))
