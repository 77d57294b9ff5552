"""From a CT or MR volume to the four chambers, the left ventricle's wall, the aorta and the pulmonary artery.

1. *One frame*: the volume is brought to 2 mm voxels along its own axes, which are named up, back and left by
   the patient's.
2. *Where*: every third axial slice is read in overlapping squares of 256 mm; the heart is where most belief
   in chambers hangs together.
3. *What*: in a cube of 256 mm around it every axial, every coronal and every sagittal slice is read by one
   small two-dimensional U-Net, and the beliefs are averaged: three views of each voxel stand in for a third
   dimension.
4. *One heart*: each structure is its largest body (the aorta may be two: it rises and descends), without
   holes.

The network was taught with virtual hearts alone. What touches the edge of the volume is said to be cut: its
volume is that of the part seen.

Known failures: unenhanced CT, where blood and muscle differ by less than the noise (shape alone decides);
situs inversus; congenital hearts; black blood; stacks with gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.progress import SILENT, Progress

__all__ = [
    "AORTA", "CLASSES", "LEFT_ATRIUM", "LV", "MYOCARDIUM", "NETWORK", "PULMONARY_ARTERY", "RIGHT_ATRIUM",
    "RV", "Chambers", "kind_of", "segment",
]  # fmt: skip

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Kind = Literal["CT", "MR"]

RV, MYOCARDIUM, LV, LEFT_ATRIUM, RIGHT_ATRIUM, AORTA, PULMONARY_ARTERY = range(1, 8)
CLASSES = 8
NETWORK = "whole_heart"
WINDOW_HU: Final = (-200.0, 600.0)
_MM = 2.0
_COARSE = 3  # slices from one look to the next, while the heart is sought
_BLANK_HU = -1500.0  # below every tissue: outside the field of the reconstruction
_LEAST_ML = 100.0  # of four chambers and wall below which it is no heart
# And no less of each: kidneys beside a stomach have been taken for a left ventricle, never for both.
_LEAST_OF: Final = {RV: 15.0, LV: 12.0, MYOCARDIUM: 25.0}
_LEAST_CERTAIN = 0.5
_SPECK = 0.2  # of the aorta's largest body: smaller ones are none of it
_COARSEST_MM = 8.0
_OBLIQUE_DEG = 35.0
_CHAMBERS = (RV, MYOCARDIUM, LV, LEFT_ATRIUM, RIGHT_ATRIUM)


@dataclass(frozen=True, slots=True, eq=False)
class Chambers:
    """What is seen of a heart in one volume.

    Parameters
    ----------
    labels : (k, r, c) uint8
        0 outside, `RV` ... `PULMONARY_ARTERY`; the left ventricle with its papillary muscles.
    ml : mapping of int to float
        Volume of each label that is there, mL.
    cut : tuple of int
        Labels that touch the edge of the volume.
    certainty : mapping of int to float
        Mean belief in a label over the voxels that got it, 0 to 1.
    contrast : float
        Mean value of the left ventricle's blood less its muscle's; HU on CT.
    """

    labels: Labels
    ml: Mapping[int, float]
    cut: tuple[int, ...]
    certainty: Mapping[int, float]
    contrast: float


def segment(
    values: npt.NDArray[np.floating | np.integer],
    affine: npt.NDArray[np.float64],
    *,
    kind: Kind,
    network: Network | None = None,
    progress: Progress = SILENT,
) -> Chambers:
    """Label four chambers, left muscle and great vessels.

    Parameters
    ----------
    values : (k, r, c) real
        HU of a CT, or the magnitude of an MR volume; at least 8 voxels a side.
    affine : (4, 4)
        Index (k, r, c, 1) to LPS millimetres; any orientation, voxels of 0.2 to 8 mm.
    kind : str
        "CT" or "MR"; see `kind_of`.
    network : Network, optional
        The package's own unless given.
    progress : Progress

    Raises
    ------
    InputError
        Shapes or voxels out of range, or no heart is seen.
    """
    network = network or Network(NETWORK)
    stack = _checked(values, affine)
    even, valid, to_index = _resampled(stack, affine, kind)
    even = _windowed(even, valid, kind)
    progress(0.1, "seeking the heart")
    centre = _sought(even, network)
    progress(0.25, "reading three views")
    corner, cube, inside = _cube(even, valid, centre, network.side)
    shares = _three_views(cube, inside, network, progress.part(0.25, 0.85))
    labels = _bodies(shares)
    _heart_or_none(labels, shares)
    certainty = {
        n: round(float(shares[n][labels == n].mean()), 4) for n in range(1, CLASSES) if (labels == n).any()
    }
    cut = _cut(labels, inside)
    del even, valid
    full = _back(shares, labels, corner, to_index, stack.shape)
    voxel_ml = round(abs(float(np.linalg.det(affine[:3, :3]))), 6) / 1e3
    counts = np.bincount(full.ravel(), minlength=CLASSES)
    progress(1.0, "whole heart")
    blood, muscle = stack[full == LV], stack[full == MYOCARDIUM]
    contrast = float(blood.mean() - muscle.mean()) if blood.size and muscle.size else 0.0
    ml = {n: float(counts[n]) * voxel_ml for n in range(1, CLASSES) if counts[n]}
    return Chambers(full, ml, cut, certainty, contrast)


def kind_of(values: npt.NDArray[np.floating | np.integer]) -> Kind:
    """Return what the values say a volume is: Hounsfield units reach far below zero, magnitudes do not.

    A CT of a chest holds lung or air, below -400 HU, and soft tissue between -200 and 300 HU.
    """
    sample = np.asarray(values).ravel()[:: max(1, np.size(values) // 200_000)].astype(np.float64)
    low, high = np.percentile(sample, (1.0, 99.0))
    tissue = float(((sample > -200.0) & (sample < 300.0)).mean())
    return "CT" if low < -400.0 and tissue > 0.1 and high < 3100.0 else "MR"


def _checked(values: npt.NDArray[np.floating | np.integer], affine: npt.NDArray[np.float64]) -> Floats:
    stack = np.asarray(values, np.float32)
    if stack.ndim != 3 or min(stack.shape) < 8:
        raise InputError(f"a volume of shape {stack.shape}", needed="(k, r, c), 8 voxels a side or more")
    if not np.isfinite(stack).all():
        raise InputError("values that are not finite", needed="finite values")
    steps = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    if steps.min() < 0.2 or steps.max() > _COARSEST_MM:
        raise InputError(
            f"voxels of {' x '.join(f'{s:.3g}' for s in steps)} mm", needed=f"0.2 to {_COARSEST_MM:g} mm",
            fix="give a volume of thinner slices",
        )  # fmt: skip
    return stack


# ---- one frame -------------------------------------------------------------------------------------------


def _axes(affine: npt.NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return which given axis runs nearest to up, back and left, and whether it runs the other way.

    Raises
    ------
    InputError
        The axes lie too far from the patient's.
    """
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = max(permutations(range(3)), key=lambda p: sum(abs(unit[2 - n, p[n]]) for n in range(3)))
    along = [float(unit[2 - n, order[n]]) for n in range(3)]
    away = np.degrees(np.arccos(np.clip(np.abs(along), 0.0, 1.0)))
    if away.max() > _OBLIQUE_DEG:
        raise InputError(
            f"a volume turned {away.max():.0f} degrees from the patient's axes",
            needed=f"axial, coronal or sagittal slices, at most {_OBLIQUE_DEG:g} degrees off",
        )
    return order, tuple(a < 0.0 for a in along)


def _resampled(
    stack: Floats, affine: npt.NDArray[np.float64], kind: Kind
) -> tuple[Floats, Flags, npt.NDArray[np.float64]]:
    """Return the volume on 2 mm voxels (up, back, left), where it is known, and even index to given index."""
    from scipy.ndimage import affine_transform, gaussian_filter

    order, reverse = _axes(affine)
    # Rounded, so that a patient who is turned as a whole gets the same voxels.
    steps = np.round(np.linalg.norm(affine[:3, :3], axis=0), 6)
    to_index = np.eye(4)
    to_index[:3, :3] = 0.0
    size = []
    for n, (axis, back) in enumerate(zip(order, reverse, strict=True)):
        length = stack.shape[axis]
        to_index[axis, n] = (-1.0 if back else 1.0) * _MM / steps[axis]
        to_index[axis, 3] = length - 1.0 if back else 0.0
        size.append(int(np.floor((length - 1) * steps[axis] / _MM + 1e-6)) + 1)
    # Finer voxels are averaged first, or their noise would be sampled.
    spread = np.where(steps < _MM, 0.35 * np.sqrt(np.maximum((_MM / steps) ** 2 - 1.0, 0.0)), 0.0)
    smooth = gaussian_filter(stack, spread)
    out = affine_transform(smooth, to_index[:3, :3], to_index[:3, 3], tuple(size), order=1, mode="nearest")
    valid = out > _BLANK_HU if kind == "CT" else np.ones(out.shape, bool)
    return np.asarray(out, np.float32), valid, to_index


def _windowed(even: Floats, valid: Flags, kind: Kind) -> Floats:
    """Return brightness 0 to 1."""
    low, high = WINDOW_HU if kind == "CT" else np.percentile(even[valid], (0.5, 99.5))
    return np.asarray(
        np.where(valid, np.clip((even - low) / max(float(high - low), 1e-6), 0.0, 1.0), 0.0), np.float32
    )


# ---- where -----------------------------------------------------------------------------------------------


def _sought(even: Floats, network: Network) -> tuple[int, int, int]:
    """Return the middle of the largest body of belief in chambers, in voxels.

    Raises
    ------
    InputError
        There is none.
    """
    from scipy.ndimage import label

    side = network.side
    slices = even[::_COARSE]
    belief = np.zeros(slices.shape, np.float32)
    for r in _starts(even.shape[1], side):
        for c in _starts(even.shape[2], side):
            part = _padded(slices[:, max(r, 0) : r + side, max(c, 0) : c + side], side)
            found = network.shares(part)[:, list(_CHAMBERS)].sum(1)
            rows, columns = min(side, even.shape[1] - r), min(side, even.shape[2] - c)
            here = belief[:, r : r + rows, c : c + columns]
            np.maximum(here, found[:, :rows, :columns], out=here)
    names, count = label(belief > 0.5)
    sizes = np.bincount(names.ravel(), weights=belief.ravel(), minlength=count + 1)[1:]
    if not count or float(sizes.max()) * _COARSE * _MM**3 / 1e3 < _LEAST_ML / 2.0:
        raise InputError("no heart is seen in the volume", needed="a volume that holds the heart")
    up, back, left = (float(x.mean()) for x in np.nonzero(names == 1 + int(np.argmax(sizes))))
    return round(up * _COARSE), round(back), round(left)


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(x) for x in np.linspace(0, length - side, count)]


def _padded(pictures: Floats, side: int) -> Floats:
    _, r, c = pictures.shape
    return np.pad(pictures, ((0, 0), (0, side - r), (0, side - c)))


def _cube(
    even: Floats, valid: Flags, centre: tuple[int, int, int], side: int
) -> tuple[npt.NDArray[np.int64], Floats, Flags]:
    """Return the first voxel of a cube about the centre, its brightness, and what of it the volume holds."""
    corner = np.array(centre) - side // 2
    cube, inside = np.zeros((side, side, side), np.float32), np.zeros((side, side, side), bool)
    begin = np.maximum(corner, 0)
    end = np.minimum(corner + side, even.shape)
    source = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
    target = tuple(slice(a, b) for a, b in zip(begin - corner, end - corner, strict=True))
    cube[target], inside[target] = even[source], valid[source]
    return corner, cube, inside


# ---- what ------------------------------------------------------------------------------------------------


def _three_views(cube: Floats, inside: Flags, network: Network, progress: Progress) -> Floats:
    """Return the mean of what axial, coronal and sagittal slices say, (classes, n, n, n).

    Rows and columns are those of `carna.phantom.chamber_slices.PLANES`: in side views the feet are down.
    """
    total = np.zeros((CLASSES, *cube.shape), np.float32)
    for n, axis in enumerate((0, 1, 2)):
        view = np.moveaxis(cube, axis, 0)
        held = np.flatnonzero(np.moveaxis(inside, axis, 0).any((1, 2)))
        pictures = view[held] if axis == 0 else view[held][:, ::-1]
        found = network.shares(np.ascontiguousarray(pictures))
        if axis != 0:
            found = found[:, :, ::-1]
        where = np.moveaxis(total, axis + 1, 1)
        where[:, held] += np.moveaxis(found, 1, 0) / 3.0
        progress((n + 1) / 3.0, "reading three views")
    total[0] += 1.0 - total.sum(0)  # slices that no view read are outside
    total[:, ~inside] = 0.0
    total[0, ~inside] = 1.0
    return total


def _bodies(shares: Floats) -> Labels:
    """Return labels in which each structure is one body without holes."""
    from scipy.ndimage import binary_fill_holes, label

    raw: Labels = shares.argmax(0).astype(np.uint8)
    heart = _largest(np.isin(raw, _CHAMBERS))
    out: Labels = np.zeros(raw.shape, np.uint8)
    for n in range(1, CLASSES):
        flags = (raw == n) & heart if n in _CHAMBERS else raw == n
        names, count = label(flags)
        if not count:
            continue
        sizes = np.bincount(names.ravel(), minlength=count + 1)[1:]
        kept = sizes >= _SPECK * sizes.max() if n == AORTA else sizes == sizes.max()
        body = np.concatenate([[False], kept])[names]
        out[body] = n
    for n in (LV, LEFT_ATRIUM, RIGHT_ATRIUM, RV, AORTA, PULMONARY_ARTERY):
        out[binary_fill_holes(out == n) & (out == 0)] = n
    return out


def _largest(flags: Flags) -> Flags:
    from scipy.ndimage import label

    names, count = label(flags)
    if not count:
        return flags
    sizes = np.bincount(names.ravel(), minlength=count + 1)[1:]
    body: Flags = names == 1 + int(np.argmax(sizes))
    return body


def _heart_or_none(labels: Labels, shares: Floats) -> None:
    heart = np.isin(labels, _CHAMBERS)
    ml = float(heart.sum()) * _MM**3 / 1e3
    certain = float(shares[1:].max(0)[heart].mean()) if heart.any() else 0.0
    few = [n for n, least in _LEAST_OF.items() if float((labels == n).sum()) * _MM**3 / 1e3 < least]
    if ml < _LEAST_ML or certain < _LEAST_CERTAIN or few:
        raise InputError(
            f"no heart is seen: {ml:.0f} mL are believed to be chambers with certainty {certain:.2f}"
            + ("; a ventricle is missing or too small" if few else ""),
            needed="a volume that holds both ventricles",
        )


def _cut(labels: Labels, inside: Flags) -> tuple[int, ...]:
    """Return which labels touch the edge of what the volume holds."""
    from scipy.ndimage import binary_erosion

    rim = inside & ~binary_erosion(inside, np.ones((3, 3, 3), bool), border_value=1)
    counts = np.bincount(labels[rim], minlength=CLASSES)
    return tuple(n for n in range(1, CLASSES) if counts[n] >= 4)


# ---- back ------------------------------------------------------------------------------------------------


def _back(
    shares: Floats, labels: Labels, corner: npt.NDArray[np.int64], to_index: npt.NDArray[np.float64],
    shape: tuple[int, ...],
) -> Labels:  # fmt: skip
    """Return labels on the given voxels: the most believed of the bodies that were kept."""
    from scipy.ndimage import affine_transform

    to_even = np.linalg.inv(to_index)
    matrix, offset = to_even[:3, :3], to_even[:3, 3] - corner
    best, full = np.full(shape, -1.0, np.float32), np.zeros(shape, np.uint8)
    for n in range(CLASSES):
        agreed = np.where(labels == n, np.maximum(shares[n], 0.34), np.minimum(shares[n], 0.3)).astype(
            np.float32
        )
        here = affine_transform(
            agreed, matrix, offset, shape, order=1, mode="constant", cval=1.0 if n == 0 else 0.0
        )
        more = here > best
        full[more], best[more] = n, here[more]
    return full
