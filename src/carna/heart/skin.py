"""The outer surface of a heart for a picture: faces of voxels, smoothed.

Faces between inside and outside become triangles, corners shared; ten steps of smoothing that shrink and
swell in turn (Taubin 1995, doi:10.1145/218380.218473) take the stairs out and leave the size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Grid, Surface

__all__ = ["skin"]

Bools = npt.NDArray[np.bool_]
STEPS, SHRINK, SWELL = 10, 0.5, -0.53
# Corners of the face that a voxel shows towards a growing axis, counter-clockwise seen from outside.
_CORNERS = {
    0: np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]]),
    1: np.array([[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0]]),
    2: np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]),
}


def skin(solid: Bools, grid: Grid) -> Surface:
    """Return the surface of what is solid, LPS mm, triangles counter-clockwise seen from outside.

    Parameters
    ----------
    solid : (k, r, c) bool
    grid : Grid

    Raises
    ------
    InputError
        Nothing solid.
    """
    if not solid.any():
        raise InputError("nothing solid", needed="voxels of a heart")
    inside = np.pad(solid, 1)
    quads = []
    for axis, corners in _CORNERS.items():
        low, high = _cut(inside, axis, 0, -1), _cut(inside, axis, 1, None)
        for there, turned in ((low & ~high, corners), (high & ~low, corners[::-1])):
            at = np.argwhere(there)
            quads.append(at[:, None, :] + turned[None])
    face = np.concatenate(quads)
    corner, number = np.unique(face.reshape(-1, 3), axis=0, return_inverse=True)
    square = number.reshape(-1, 4)
    triangles = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    points = _smoothed(grid.to_world(corner - 1.5), square)
    if np.linalg.det(grid.axes) < 0:
        triangles = triangles[:, ::-1]
    return Surface(points, triangles, grid.frame)


def _cut(inside: Bools, axis: int, start: int, stop: int | None) -> Bools:
    where = [slice(None)] * 3
    where[axis] = slice(start, stop)
    return inside[tuple(where)]


def _smoothed(points: npt.NDArray[np.float64], square: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Move every corner towards the middle of its neighbours and back a little further, in turn."""
    edges = np.concatenate([square[:, [i, (i + 1) % 4]] for i in range(4)])
    a, b = np.concatenate([edges, edges[:, ::-1]]).T
    many = np.bincount(a, minlength=len(points))[:, None]
    for step in range(2 * STEPS):
        pull = np.zeros_like(points)
        np.add.at(pull, a, points[b])
        points = points + (SHRINK if step % 2 == 0 else SWELL) * (pull / many - points)
    return points
