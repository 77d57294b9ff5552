"""What a short-axis slice measures: areas, three dimensions of the left cavity, six wall thicknesses.

The eleven indices of Xue 2018 (doi:10.1016/j.media.2017.10.002), and the right cavity's area. Regions are
sixths of a turn around the left cavity's middle, counted clockwise on the picture from the middle of the
right cavity: in a picture seen from the apex with its front up, anteroseptal, anterior, anterolateral,
inferolateral, inferior, inferoseptal. A mirrored picture counts the other way round.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["AREAS", "DIMENSIONS", "INDICES", "WALLS", "indices"]

Floats = npt.NDArray[np.float64]

AREAS = ("left cavity", "left muscle", "right cavity")
DIMENSIONS = ("anteroseptal to inferolateral", "anterior to inferior", "anterolateral to inferoseptal")
WALLS = ("anteroseptal", "anterior", "anterolateral", "inferolateral", "inferior", "inferoseptal")
INDICES = (*AREAS, *DIMENSIONS, *WALLS)

_RV, _MUSCLE, _CAVITY = 1, 2, 3
_RAYS = 72
_STEP = 0.5  # pixels along a ray
_LEAST = 12  # pixels: a smaller cavity has no dimensions


def indices(labels: npt.NDArray[np.uint8]) -> Floats:
    """Return the indices of a labelled slice, ``(12,)`` in the order of `INDICES`.

    Parameters
    ----------
    labels : (r, c) uint8
        0 outside, 1 right cavity, 2 left muscle, 3 left cavity; square pixels.

    Returns
    -------
    (12,) float64
        Areas in pixels (0 where there is none); lengths in pixels. NaN: dimensions without both cavities,
        which orient the slice, and the wall of a region that is mostly open (there the plane cuts a valve).
    """
    out = np.full(len(INDICES), np.nan)
    out[:3] = [(labels == c).sum() for c in (_CAVITY, _MUSCLE, _RV)]
    if out[0] < _LEAST or out[2] < _LEAST:
        return out
    row, column = (float(x.mean()) for x in np.nonzero(labels == _CAVITY))
    right = [float(x.mean()) for x in np.nonzero(labels == _RV)]
    start = np.arctan2(right[0] - row, right[1] - column)
    angle = start + 2 * np.pi * (np.arange(_RAYS) + 0.5) / _RAYS
    away = np.arange(_STEP / 2, max(labels.shape) / 1.5, _STEP)
    rows = np.rint(row + np.sin(angle)[:, None] * away).astype(int)
    columns = np.rint(column + np.cos(angle)[:, None] * away).astype(int)
    inside = (rows >= 0) & (columns >= 0) & (rows < labels.shape[0]) & (columns < labels.shape[1])
    seen = np.where(inside, labels[rows * inside, columns * inside], 0)
    cavity, wall = ((seen == c).sum(1) * _STEP for c in (_CAVITY, _MUSCLE))
    sixths = cavity.reshape(6, -1).mean(1)
    out[3:6] = sixths[:3] + sixths[3:]
    of = wall.reshape(6, -1)
    closed = (of > 0).mean(1) > 0.7
    out[6:] = np.where(closed, of.sum(1) / np.maximum((of > 0).sum(1), 1), np.nan)
    return out
