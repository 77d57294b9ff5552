"""The heart seen from outside: for every pixel the first voxel that a straight ray meets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from carna.heart.segments import cavity_end, middle_of_septum, place_of
from carna.heart.ventricles import Ventricles

PIXEL_MM = 0.7


@dataclass(frozen=True)
class View:
    """A picture of a heart without its colours.

    Parameters
    ----------
    voxel : (h, w) int
        Flat index of the voxel seen, -1 beside the heart.
    shade : (h, w) float
        0 to 1, by how the surface is turned to the light.
    frame : (4, 4) float
        From LPS mm to (row, column, depth) of the picture.
    """

    voxel: np.ndarray
    shade: np.ndarray
    frame: np.ndarray

    def paint(self, colours: np.ndarray) -> np.ndarray:
        """Return (h, w, 3) uint8 from a colour for every voxel of the grid, (voxels, 3) in 0 to 1."""
        seen = self.voxel >= 0
        picture = np.ones((*self.voxel.shape, 3))
        picture[seen] = colours[self.voxel[seen]] * (0.35 + 0.65 * self.shade[seen, None])
        return (255 * np.clip(picture, 0, 1)).astype(np.uint8)

    def at(self, points_lps: np.ndarray) -> np.ndarray:
        """Return (row, column) of points."""
        return np.asarray((points_lps @ self.frame[:3, :3].T + self.frame[:3, 3])[..., :2])


def outside(heart: Ventricles, segment: int, tilt_deg: float = 12.0) -> View:
    """Return the heart with a segment's middle turned to the eye and the base up."""
    middle = middle_of_septum(heart.labels, heart.at)
    angle, _ = place_of(segment, middle, cavity_end(heart.labels, heart.grid, heart.axes, heart.at))
    tilt = np.radians(tilt_deg)
    away = np.array([-np.cos(angle) * np.cos(tilt), -np.sin(angle) * np.cos(tilt), np.sin(tilt)])
    right = np.cross(np.array([0.0, 0.0, 1.0]), away)
    right /= np.linalg.norm(right)
    down = np.cross(away, right)
    place = heart.axes.to_heart(heart.points_lps)
    own = np.stack([place @ down, place @ right, place @ away], 1)
    low, high = own.min(0) - 3.0, own.max(0) + 3.0
    shape = np.ceil((high - low) / PIXEL_MM).astype(int)
    turn = np.stack([down, right, away])
    to_index = np.linalg.inv(heart.axes.of_index(heart.grid))
    row, column = np.meshgrid(*(np.arange(n) * PIXEL_MM for n in shape[:2]), indexing="ij")
    found, depth = np.full(shape[:2], -1), np.full(shape[:2], np.nan)
    for step in range(shape[2]):
        point = np.stack([row + low[0], column + low[1], np.full(row.shape, low[2] + step * PIXEL_MM)], -1)
        index = np.rint(point @ turn @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < heart.grid.shape)).all(-1) & (found < 0)
        hit = np.zeros(inside.shape, bool)
        hit[inside] = heart.mask[tuple(index[inside].T)]
        found[hit] = np.ravel_multi_index(tuple(index[hit].T), heart.grid.shape)
        depth[hit] = step * PIXEL_MM
    known = np.isfinite(depth)
    smooth = gaussian_filter(np.where(known, depth, 0), 3) / np.maximum(gaussian_filter(known * 1.0, 3), 1e-6)
    slope = np.stack(np.gradient(smooth, PIXEL_MM))
    normal = np.stack([slope[0], slope[1], -np.ones_like(smooth)]) / np.sqrt(1 + (slope**2).sum(0))
    light = np.array([-0.45, -0.35, -0.82])
    shade = np.clip(np.tensordot(light / np.linalg.norm(light), normal, 1), 0, 1)
    frame = np.eye(4)
    frame[:3, :3] = turn @ heart.axes.matrix / PIXEL_MM
    frame[:3, 3] = (turn @ heart.axes.to_heart(np.zeros(3)) - low) / PIXEL_MM
    return View(found, shade, frame)
