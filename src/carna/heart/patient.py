"""A patient's ventricles from labels: found, checked, brought to the spacing of the model.

A segmentation knows walls, cavities, scar and grey zone, and nothing of axes. The **base** is where the left
cavity is open: the voxels on both sides of that cut give a plane by least squares, its normal is the long
axis, its centre the base. The **septum** lies towards the right cavity. What these rules need is looked for
first, and a segmentation that lacks it is refused in a sentence: no scar, no right ventricle, several
hearts, a cavity that is closed, or open towards the apex, slices too far apart.

Known failures: scar is taken to lie in the left wall, wherever it is labelled; a base that is no plane (an
outflow tract drawn with the left cavity) tilts the axis; slices 8 mm apart, as most enhancement images
have them, are refused, because no channel of a few millimetres can be seen in them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.anatomy import (
    BACKGROUND,
    LV_CAVITY,
    LV_WALL,
    OPENING,
    RV_CAVITY,
    RV_WALL,
    Labels,
)
from carna.heart.axes import Axes
from carna.heart.complete import BAND_VOXELS, completed
from carna.heart.fibres import Angles
from carna.heart.scar import GREY, HEALTHY, SCAR
from carna.heart.ventricles import Ventricles, ventricles_of
from carna.space import Floats, Grid

__all__ = ["COARSEST_MM", "axes_of", "ventricles_in"]

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

COARSEST_MM = 3.0
SPECK = 0.02  # pieces below this share of the largest are noise of the segmentation and are taken out
SLANT_DEG = 35.0  # between the base's normal and the line from its centre to the tip
LEAST_LID = 0.1  # openings below this share of the largest are stairs of the voxels
MARGIN = 4  # voxels around the heart
_NAMES = {
    LV_WALL: "the wall of the left ventricle",
    LV_CAVITY: "the cavity of the left ventricle",
    RV_WALL: "the wall of the right ventricle",
    RV_CAVITY: "the cavity of the right ventricle",
}


def ventricles_in(
    labels: Labels, region: Bytes, grid: Grid, *, spacing_mm: float, angles: Angles | None = None
) -> Ventricles:
    """Return the ventricles that are labelled in a volume, on cubes of ``spacing_mm`` along its axes.

    Parameters
    ----------
    labels : (k, r, c) uint8
        ``BACKGROUND``, ``LV_WALL``, ``RV_WALL``, ``LV_CAVITY``, ``RV_CAVITY`` of `carna.heart.anatomy`.
    region : (k, r, c) uint8
        `carna.heart.scar.HEALTHY`, ``GREY``, ``SCAR``; counts where the left wall is.
    grid : Grid
        Of both; slices at most `COARSEST_MM` apart.
    spacing_mm : float
        0.2 to 3 mm; the right wall wants two voxels.
    angles : Angles, optional
        Of the fibres.

    Raises
    ------
    InputError
        The labels are no pair of ventricles with scar, as said above.
    """
    if labels.shape != grid.shape or region.shape != grid.shape:
        raise InputError(
            f"labels {labels.shape} and regions {region.shape}", needed=f"the grid's shape {grid.shape}"
        )
    if not 0.2 <= spacing_mm <= COARSEST_MM:
        raise InputError(f"spacing_mm = {spacing_mm}", needed=f"0.2 to {COARSEST_MM:g} mm")
    _refuse(labels, region, grid)
    labels, region, grid = _boxed(_tidied(labels), region, grid)
    axes = axes_of(labels, grid)
    labels, region, grid = _resampled(labels, region, grid, spacing_mm)
    if not (region[labels == LV_WALL] == SCAR).any():
        raise InputError("a scar smaller than a voxel", needed="a finer spacing")
    labels = _closed_right(completed(labels, grid, axes), grid, axes)
    return ventricles_of(labels, grid, axes, angles=angles, region=region)


def axes_of(labels: Labels, grid: Grid) -> Axes:
    """Return where the heart lies, from its labels alone.

    Parameters
    ----------
    labels : (k, r, c) uint8
        As in `ventricles_in`, with background on every side.
    grid : Grid

    Raises
    ------
    InputError
        A left cavity that is closed, or open in several places or towards the apex.
    """
    left = np.argwhere(labels == LV_WALL)
    lids = _lids(labels, LV_CAVITY)
    if not lids:
        raise InputError(
            "a left cavity closed on all sides",
            needed="a base where the cavity ends without a wall",
            fix="take the valve plane out of the wall",
        )
    base = grid.to_world(lids[0])
    centre = base.mean(axis=0)
    normal = np.linalg.svd(base - centre, full_matrices=False)[2][2]
    wall = grid.to_world(left)
    axis = normal * np.sign((wall.mean(axis=0) - centre) @ normal)
    depth = (wall - centre) @ axis
    tip = wall[depth > np.quantile(depth, 0.995)].mean(axis=0) - centre
    slant = float(np.degrees(np.arccos(np.clip(tip @ axis / np.linalg.norm(tip), -1.0, 1.0))))
    low = [lid for lid in lids[1:] if ((grid.to_world(lid) - centre) @ axis).mean() > 0.5 * depth.max()]
    if low or slant > SLANT_DEG:
        raise InputError(
            "a left cavity that is open at the apex"
            if low
            else f"a base {slant:.0f} degrees off the long axis",
            needed="a wall around the cavity with one opening, at the base",
            fix="mend the segmentation",
        )
    if len(lids) > 1:
        raise InputError(
            f"a left cavity that is open in {len(lids)} places", needed="one opening, at the base"
        )
    right = grid.to_world(np.argwhere(labels == RV_CAVITY)).mean(axis=0) - centre
    return Axes(_three(centre), _three(axis), _three(right))


def _refuse(labels: Labels, region: Bytes, grid: Grid) -> None:
    """Refuse what lacks a part."""
    if np.abs(grid.axes.T @ grid.axes - np.eye(3)).max() > 1e-3:
        raise InputError("slices that are sheared against each other", needed="a volume of boxes")
    if max(grid.spacing_mm) > COARSEST_MM:
        raise InputError(
            f"labels every {max(grid.spacing_mm):.3g} mm",
            needed=f"{COARSEST_MM:g} mm or finer in every direction: channels through scar are a few mm wide",
            fix="use a three-dimensional enhancement image",
        )
    missing = [name for label, name in _NAMES.items() if not (labels == label).any()]
    if missing:
        raise InputError(
            f"labels without {' and '.join(missing)}", needed="both ventricles, walls and cavities"
        )
    if not ((region == SCAR) & (labels == LV_WALL)).any():
        raise InputError("labels without scar", needed="a label for scar core in the left wall")


def _tidied(labels: Labels) -> Labels:
    """Return the labels without specks; refuse several hearts and broken walls."""
    from scipy.ndimage import label

    out = labels.copy()
    everything = np.ones((3, 3, 3))
    for part, name in (
        (labels > BACKGROUND, "heart"),
        *((labels == w, _NAMES[w]) for w in (LV_WALL, RV_WALL)),
    ):
        pieces, many = label(part, structure=everything)
        sizes = np.bincount(pieces.ravel())[1:]
        large = int(np.count_nonzero(sizes > SPECK * sizes.max()))
        if large > 1:
            raise InputError(
                f"{large} separate hearts" if name == "heart" else f"{name} in {large} pieces",
                needed="one connected heart",
                fix="label one heart, without holes through its walls",
            )
        if many > 1:
            out[part & (pieces != 1 + np.argmax(sizes))] = BACKGROUND
    return out


def _boxed(labels: Labels, region: Bytes, grid: Grid) -> tuple[Labels, Bytes, Grid]:
    """Return the heart's own box with background around it."""
    found = np.argwhere(labels != BACKGROUND)
    low, high = found.min(axis=0), found.max(axis=0) + 1
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(low - MARGIN)
    padded, marked = np.pad(labels[inside], MARGIN), np.pad(region[inside], MARGIN)
    k, r, c = padded.shape
    return padded, marked, Grid((k, r, c), affine, grid.frame)


def _lids(labels: Labels, cavity: int) -> list[npt.NDArray[np.int64]]:
    """Return where a cavity meets the background, the largest place first: voxels on both sides of it."""
    from scipy.ndimage import binary_dilation, label

    inside, outside = labels == cavity, labels == BACKGROUND
    above = outside & binary_dilation(inside)
    below = inside & binary_dilation(outside)
    cuts, many = label(above | below, structure=np.ones((3, 3, 3)))
    found = sorted((np.argwhere(cuts == n) for n in range(1, many + 1)), key=len, reverse=True)
    return [cut for cut in found if len(cut) > LEAST_LID * len(found[0])]


def _resampled(labels: Labels, region: Bytes, grid: Grid, spacing_mm: float) -> tuple[Labels, Bytes, Grid]:
    """Return labels and regions on cubes: of all labels around a point the one that weighs most."""
    from scipy.ndimage import map_coordinates

    old = np.array(grid.spacing_mm)
    if np.allclose(old, spacing_mm, rtol=0.01):
        return labels, np.where(labels == LV_WALL, region, HEALTHY).astype(np.uint8), grid
    step = spacing_mm / old
    k, r, c = (int(n) for n in np.ceil(np.array(grid.shape) / step))
    first = 0.5 * step - 0.5  # both grids begin at the same face
    affine = grid.affine.copy()
    affine[:3, :3] *= step
    affine[:3, 3] = grid.to_world(first)
    at = np.meshgrid(
        *(f + s * np.arange(n) for f, s, n in zip(first, step, (k, r, c), strict=True)), indexing="ij"
    )

    def heaviest(values: Bytes, among: tuple[int, ...]) -> Bytes:
        weight = np.zeros((k, r, c), np.float32)
        out = np.full((k, r, c), among[0], np.uint8)
        for value in among:
            share = map_coordinates((values == value).astype(np.float32), at, order=1, mode="nearest")
            out[share > weight] = value
            weight = np.maximum(weight, share)
        return out

    new = heaviest(labels, (BACKGROUND, LV_WALL, RV_WALL, LV_CAVITY, RV_CAVITY))
    # Outside the left wall there is neither scar nor health: 255 votes for nobody.
    marked = heaviest(np.where(labels == LV_WALL, region, 255).astype(np.uint8), (HEALTHY, GREY, SCAR))
    return (
        new,
        np.where(new == LV_WALL, marked, HEALTHY).astype(np.uint8),
        Grid((k, r, c), affine, grid.frame),
    )


def _closed_right(labels: Labels, grid: Grid, axes: Axes) -> Labels:
    """Return labels in which the right cavity is open nowhere: an `OPENING` lies before each end of it.

    The outflow ends above the base plane, wherever the image or the segmentation stopped.
    """
    from scipy.ndimage import binary_dilation

    lids = _lids(labels, RV_CAVITY)
    span = axes.to_heart(grid.to_world(np.argwhere(labels == LV_WALL)))[:, 2].max()
    depth = [float(axes.to_heart(grid.to_world(lid))[:, 2].mean()) for lid in lids]
    if any(z > 0.5 * span for z in depth) or len(lids) > 2:
        where = "towards the apex" if len(lids) < 3 else f"in {len(lids)} places"
        raise InputError(
            f"a right cavity that is open {where}",
            needed="a wall around it, open at its valves only",
            fix="choose a finer spacing, or mend the wall: it is thinner than a voxel in places",
        )
    out = labels.copy()
    for lid in lids:
        points = grid.to_world(lid)
        centre = points.mean(axis=0)
        up = np.linalg.svd(points - centre, full_matrices=False)[2][2]
        up *= -np.sign(up @ axes.matrix[2]) or 1.0
        near = np.zeros(labels.shape, np.bool_)
        near[tuple(lid.T)] = True
        around = np.argwhere(binary_dilation(near, iterations=5) & (labels == BACKGROUND))
        height = (grid.to_world(around) - centre) @ up
        cap = (height > 0.0) & (height < BAND_VOXELS * max(grid.spacing_mm))
        out[tuple(around[cap].T)] = OPENING
    return out


def _three(v: Floats) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
