"""A tree as voxels: the distance to its wall, and the labels that a scanner's segmentation would give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Grid, VesselTree


def distance(tree: VesselTree, grid: Grid, *, reach_mm: float = 2.0) -> npt.NDArray[np.float32]:
    """Return the signed distance of every voxel to a tree's wall, mm: (k, r, c), negative in blood.

    Every edge is a round cone; ends are round caps. Farther than ``reach_mm`` outside, the value is
    ``reach_mm``. To first order in taper.
    """
    if tree.radius_mm is None:
        raise InputError("a vessel tree without radii", needed="the radius at every point, mm")
    field = np.full(grid.shape, reach_mm, np.float32)
    small = np.array(grid.spacing_mm)
    for a, b in tree.edges:
        ends, wide = tree.points[[a, b]], tree.radius_mm[[a, b]]
        corners = grid.to_index(ends)
        margin = (wide.max() + reach_mm) / small + 1
        low = np.clip(np.floor(corners.min(0) - margin).astype(int), 0, None)
        high = np.minimum(np.ceil(corners.max(0) + margin).astype(int) + 1, grid.shape)
        if (high <= low).any():
            continue
        box = tuple(slice(int(x), int(y)) for x, y in zip(low, high, strict=True))
        index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)
        place = grid.to_world(index)
        way = ends[1] - ends[0]
        share = np.clip((place - ends[0]) @ way / max(float(way @ way), 1e-12), 0, 1)
        off = np.linalg.norm(place - ends[0] - share[..., None] * way, axis=-1)
        field[box] = np.minimum(field[box], off - (wide[0] + share * (wide[1] - wide[0])))
    return field


def around(tree: VesselTree, spacing_mm: float, *, margin_mm: float = 2.0) -> Grid:
    """Return a grid of cubes that holds a tree with a margin."""
    wide = 0.0 if tree.radius_mm is None else float(tree.radius_mm.max())
    low = tree.points.min(0) - wide - margin_mm
    size = np.ceil((np.ptp(tree.points, axis=0) + 2 * (wide + margin_mm)) / spacing_mm).astype(int) + 1
    affine = np.zeros((4, 4))
    # Slices along z, rows along y, columns along x.
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3] = low
    affine[3, 3] = 1
    return Grid((int(size[2]), int(size[1]), int(size[0])), affine, tree.frame)
