"""From the labels a segmentation has to the labels the coordinates need.

A segmentation of the heart knows walls and cavities. Two things are missing: where the base is only cut
(`OPENING`: no surface of the muscle is there), and which part of the left wall is the septum.
"""

from __future__ import annotations

import numpy as np

from carna.heart.anatomy import BACKGROUND, LV_WALL, OPENING, RV_CAVITY, RV_WALL, SEPTUM, Labels
from carna.heart.axes import Axes
from carna.space import Grid

__all__ = ["completed"]

BAND_VOXELS = 1.8  # more than the diagonal of a voxel, so that nothing leaks past the band
MARGIN_VOXELS = 3  # beyond the wall's edge: what the smoothing of its outer surface can see


def completed(labels: Labels, grid: Grid, axes: Axes) -> Labels:
    """Return labels with the opening above the base and the septum marked.

    The opening is background just above the base plane that has muscle or a cavity straight below it. The
    septum is left wall that lies nearer to the right cavity than to the outside or the right wall.

    Parameters
    ----------
    labels : (k, r, c) uint8
        ``BACKGROUND``, ``LV_WALL``, ``RV_WALL``, ``LV_CAVITY``, ``RV_CAVITY`` of `carna.heart.anatomy`; marks
        that are there already are found anew.
    grid : Grid
    axes : Axes
        Its base plane is where the segmentation ends.

    Returns
    -------
    (k, r, c) uint8
    """
    from scipy.ndimage import binary_dilation, distance_transform_edt

    bare = np.where(labels == OPENING, BACKGROUND, labels)
    out = np.where(bare == SEPTUM, LV_WALL, bare).astype(np.uint8)
    band = BAND_VOXELS * max(grid.spacing_mm)
    depth = axes.of_index(grid)[2]
    index = np.indices(grid.shape, sparse=True)
    z = sum(depth[i] * index[i] for i in range(3)) + depth[3]
    found = np.argwhere((z < 0.0) & (z >= -band) & (out == BACKGROUND))
    down = grid.axes.T @ axes.matrix[2] / np.array(grid.spacing_mm)  # one mm to the apex, in voxels
    height = -(found @ depth[:3] + depth[3])
    below = np.rint(found + (height[:, None] + 0.5 * min(grid.spacing_mm)) * down).astype(int)
    inside = ((below >= 0) & (below < np.array(grid.shape))).all(1)
    wide = binary_dilation(out != BACKGROUND, iterations=MARGIN_VOXELS)
    covered = np.zeros(len(found), np.bool_)
    covered[inside] = wide[tuple(below[inside].T)]
    out[tuple(found[covered].T)] = OPENING
    if (out == RV_CAVITY).any():
        to_cavity = distance_transform_edt(out != RV_CAVITY, sampling=grid.spacing_mm)
        outside = (out == BACKGROUND) | (out == RV_WALL)
        to_outside = distance_transform_edt(~outside, sampling=grid.spacing_mm)
        out[(out == LV_WALL) & (to_cavity < to_outside)] = SEPTUM
    return out
