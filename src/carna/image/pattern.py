"""What the form and the beat of the ventricles are like, from short-axis labels alone.

Both surfaces of the left wall are smooth closed curves about the middle of the cavity
(`carna.image.motion.contours`). Along a ray at angle ``theta`` they lie at radii ``a`` and ``b``; the wall is
crossed at a right angle only where its middle line ``m = (a + b) / 2`` is a circle, hence ::

    thickness  = (b - a) m / sqrt(m^2 + m'^2)                    m' = dm / dtheta
    thickening = thickness at end-systole / thickness at end-diastole - 1
    excursion  = (a at end-diastole - a at end-systole) / a at end-diastole

Excursion is taken about the middle of all that the outer surface holds, which a still region pulls aside
less than the middle of the cavity. The stillest place is sought in an arc of 60 degrees of two neighbouring
slices, slid around them: a still region does not begin where a segment does. Thickness and thickening belong
to a slice, not to muscle: between end-diastole and end-systole the base descends through the slices.

Ratios need no pixel size, only square pixels. Slices near the apex, whose cavity is less than half as wide as
the widest, are left out of thickness and its kin: the wall runs obliquely through them and looks thicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.motion.contours import CAVITY, MUSCLE, contours, on_angles
from carna.image.ventricles import MUSCLE_G_PER_ML, volumes

__all__ = ["ANGLES", "Features", "features"]

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

SECTORS: Final = 17
_RAYS: Final = 72
ANGLES: Final[Floats] = np.arange(_RAYS) * (2 * np.pi / _RAYS)
ANGLES.setflags(write=False)
_WIDE_ENOUGH = 0.5  # of the widest cavity's radius
_FEWEST_RAYS = 6  # of a sector: fewer are a corner of it
_ARC = 6  # rays, 30 degrees: the thickest place is no single ray
_PLACE = 12  # rays, 60 degrees: so wide is a place that stands still
_DEEP = 2  # slices of such a place


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Form and beat of both ventricles; NaN where something is not known.

    Parameters
    ----------
    ed, es : int
        Fullest and emptiest frame of the left cavity.
    lvef, rvef : float
        Ejected shares, at most 1.
    ratio : float
        Right over left end-diastolic volume.
    lv_edv_ml, rv_edv_ml, mass_g : float
        NaN without a pixel size.
    relative_wall : float
        Mean wall thickness over mean inner radius of the widest third of the slices, end-diastole.
    thickest_mm : float
        Largest thickness at end-diastole, mean over an arc of 30 degrees of one slice.
    thickness_mm : (17,) float64
        At end-diastole, mean over each sector; NaN without a pixel size.
    thickening, excursion : (17,) float64
        Shares.
    stillest : float
        Excursion of the place (60 degrees of two neighbouring slices) that moves least, over the median of
        those around the same slices.
    stillest_thickening : float
        Share by which the wall of that place thickens.
    stillest_segment : int
        Sector, 1 to 17, in which its middle lies; 0 for none.
    named : bool
        Whether sector n is segment n + 1 of the left ventricle; otherwise six, six and four equal parts of
        three thirds of the slices, from the direction of the columns towards that of the rows.
    """

    ed: int
    es: int
    lvef: float
    rvef: float
    ratio: float
    lv_edv_ml: float
    rv_edv_ml: float
    mass_g: float
    relative_wall: float
    thickest_mm: float
    thickness_mm: Floats
    thickening: Floats
    excursion: Floats
    stillest: float
    stillest_thickening: float
    stillest_segment: int
    named: bool


def features(
    labels: Labels,
    spacing_mm: tuple[float, float, float] | None,
    segments: npt.NDArray[np.uint8] | None = None,
) -> Features:
    """Measure labelled ventricles.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        0 outside, 1 right cavity, 2 left muscle, 3 left cavity with papillary muscles; at least two phases.
    spacing_mm : (k, r, c) or None
        Distance of slice centres, rows, columns. None: square pixels of unknown size.
    segments : (k, 72) uint8, optional
        Segment (1 to 17, 0 none) in which the rays at `ANGLES` lie in each slice.

    Raises
    ------
    InputError
        One phase only, no left ventricle, or no slice with a closed ring of muscle in both phases.
    """
    if labels.ndim != 4 or len(labels) < 2:
        raise InputError(f"labels of shape {labels.shape}", needed="(t, k, r, c) with at least two phases")
    beat = volumes(labels, spacing_mm)
    pair = labels[[beat.ed, beat.es]]
    step = (spacing_mm[1], spacing_mm[2]) if spacing_mm else (1.0, 1.0)
    found = contours(pair, step)
    radius = on_angles(found.area, ANGLES)
    thick = _thickness(radius)
    inner = radius[0, :, 0].mean(axis=1)
    ring = found.known.all(axis=0)
    if not ring.any():
        raise InputError(
            "no slice with a closed ring of muscle at both end-diastole and end-systole",
            needed="labels 2 around 3 in both",
        )
    usable = ring & (inner >= _WIDE_ENOUGH * inner[ring].max())
    sectors = np.where(usable[:, None], _equal(usable) if segments is None else segments, 0)
    wall = _means(thick[0], sectors)
    area = _areas(pair, step, usable)
    still, slices, ray = _stillest(area[:, usable])
    place = np.mod(ray + np.arange(_PLACE), _RAYS)
    there = thick[:, usable][:, slices][..., place].mean(axis=(1, 2))
    widest = usable & (inner >= np.quantile(inner[usable], 2 / 3))
    left, right = float(beat.lv_ml[beat.ed]), float(beat.rv_ml[beat.ed])
    scale = 1.0 if spacing_mm else float("nan")
    return Features(
        ed=beat.ed,
        es=beat.es,
        lvef=beat.lvef,
        rvef=beat.rvef,
        ratio=right / left if right > 0 else float("nan"),
        lv_edv_ml=left * scale,
        rv_edv_ml=right * scale if right > 0 else float("nan"),
        mass_g=MUSCLE_G_PER_ML * float(beat.wall_ml[beat.ed]) * scale,
        relative_wall=float(np.mean(thick[0][widest]) / np.mean(inner[widest])),
        thickest_mm=float(_arcs(thick[0][usable], _ARC).max()) * scale,
        thickness_mm=wall * scale,
        thickening=_means(thick[1], sectors) / wall - 1.0,
        excursion=_shortened(*(_sums(one, sectors) for one in area)),
        stillest=still,
        stillest_thickening=float(there[1] / there[0] - 1.0),
        stillest_segment=int(sectors[usable][slices][0, place[_PLACE // 2]]),
        named=segments is not None,
    )


def _thickness(radius: Floats) -> Floats:
    """Thickness (..., n) at right angles to the middle of the wall, of radii (..., 2, n)."""
    middle = radius.mean(axis=-2)
    slope = (np.roll(middle, -1, axis=-1) - np.roll(middle, 1, axis=-1)) / (4 * np.pi / _RAYS)
    return np.asarray((radius[..., 1, :] - radius[..., 0, :]) * middle / np.hypot(middle, slope))


def _arcs(values: Floats, rays: int) -> Floats:
    """Means (..., n) of values (..., n) over arcs that begin at each ray."""
    return np.asarray(np.mean([np.roll(values, -n, axis=-1) for n in range(rays)], axis=0))


def _areas(pair: Labels, step: tuple[float, float], usable: npt.NDArray[np.bool_]) -> Floats:
    """Pixels of the cavity (2, k, 72) nearest to each ray from the middle of the outer surface.

    The area between two rays is half the square of the radius times their angle: pixels are summed over an
    arc before a root is taken.
    """
    areas = np.zeros((2, len(usable), _RAYS))
    for s in np.flatnonzero(usable):
        for n in (0, 1):
            rows, columns = np.nonzero(pair[n, s] >= MUSCLE)
            y, x = rows * step[0], columns * step[1]
            cavity = pair[n, s, rows, columns] == CAVITY
            angle = np.arctan2(y - y.mean(), x - x.mean())[cavity]
            areas[n, s] = np.bincount(np.round(angle / ANGLES[1]).astype(int) % _RAYS, minlength=_RAYS)
    return areas


def _shortened(full: Floats, empty: Floats) -> Floats:
    """Share by which a radius shrinks whose square is an area; NaN where there was none."""
    return np.where(full > 0, 1.0 - np.sqrt(empty / np.maximum(full, 1e-9)), np.nan)


def _stillest(area: Floats) -> tuple[float, slice, int]:
    """Return the least excursion over the median around, its slices and its first ray, of areas (2, k, n).

    Where nothing moves inward there is no rest to compare with: NaN.
    """
    least, where, ray = float("nan"), slice(0, _DEEP), 0
    for s in range(max(area.shape[1] - _DEEP + 1, 1)):
        excursion = _shortened(*_arcs(area[:, s : s + _DEEP].sum(axis=1), _PLACE))
        usual = float(np.nanmedian(excursion))
        if usual > 0 and not np.nanmin(excursion) / usual >= least:
            least, where = float(np.nanmin(excursion)) / usual, slice(s, s + _DEEP)
            ray = int(np.nanargmin(excursion))
    return least, where, ray


def _means(values: Floats, sectors: npt.NDArray[np.uint8]) -> Floats:
    """Mean (17,) of values (k, n) over sectors (k, n); NaN where a sector has too few rays."""
    rays = np.bincount(sectors[sectors > 0], minlength=SECTORS + 1)[1:]
    return np.where(rays >= _FEWEST_RAYS, _sums(values, sectors) / np.maximum(rays, 1), np.nan)


def _sums(values: Floats, sectors: npt.NDArray[np.uint8]) -> Floats:
    inside = sectors > 0
    return np.bincount(sectors[inside], weights=values[inside], minlength=SECTORS + 1)[1:].astype(float)


def _equal(usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Sectors (k, 72): six equal parts of the first and second, four of the last third of the slices."""
    out = np.zeros((len(usable), _RAYS), np.uint8)
    for third, slices in enumerate(np.array_split(np.flatnonzero(usable), 3)):
        parts = (6, 6, 4)[third]
        out[slices] = (0, 6, 12)[third] + 1 + np.arange(_RAYS) * parts // _RAYS
    return out
