"""Where the blood is: distances to a wall, in millimetres, negative inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """A lumen.

    Attributes
    ----------
    distance : callable (n, 3) mm -> (n,) mm
        Distance to the wall, negative inside; the sign must be right everywhere, the size near the wall.
    halfway : bool
        Walls lie halfway between nodes (a voxel mask, which knows no better), else where the sign changes.
    """

    distance: Callable[[Floats], Floats]
    halfway: bool = False

    def __or__(self, other: Shape) -> Shape:
        """Return the union."""
        return Shape(lambda at: np.minimum(self.distance(at), other.distance(at)))


def revolved(along_mm: npt.ArrayLike, radius_mm: npt.ArrayLike) -> Shape:
    """Return a body of revolution about z: radii (n,) at growing z (n,), linear between, constant beyond."""
    z, r = np.asarray(along_mm, float), np.asarray(radius_mm, float)
    if z.ndim != 1 or z.shape != r.shape or (np.diff(z) < 0).any() or (r <= 0).any():
        raise InputError(
            f"a profile of {z.shape} stations and {r.shape} radii", needed="growing z, positive radii"
        )
    return Shape(lambda at: np.hypot(at[:, 0], at[:, 1]) - np.interp(at[:, 2], z, r))


def pipe(radius_mm: float) -> Shape:
    """Return an endless round pipe about z."""
    return revolved([0.0, 1.0], [radius_mm, radius_mm])


def ball(centre_mm: npt.ArrayLike, radius_mm: float) -> Shape:
    """Return a sphere."""
    centre = np.asarray(centre_mm, float)
    return Shape(lambda at: np.linalg.norm(at - centre, axis=1) - radius_mm)


def tube(points_mm: npt.ArrayLike, radius_mm: npt.ArrayLike) -> Shape:
    """Return a tube along a centreline, points (n, 3), radii (n,), both linear between points.

    Beyond its ends the tube is closed by half a sphere: put the openings at or before the end points.
    """
    p, r = np.asarray(points_mm, float), np.asarray(radius_mm, float)
    if p.ndim != 2 or p.shape[1] != 3 or r.shape != (len(p),) or len(p) < 2 or (r <= 0).any():
        raise InputError(
            f"a centreline of {p.shape} points and {r.shape} radii", needed="(n, 3) points, (n,) radii > 0"
        )

    def distance(at: Floats) -> Floats:
        nearest = np.full(len(at), np.inf)
        for a, b, ra, rb in zip(p[:-1], p[1:], r[:-1], r[1:], strict=True):
            t = np.clip((at - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            nearest = np.minimum(
                nearest, np.linalg.norm(at - a - t[:, None] * (b - a), axis=1) - ra - t * (rb - ra)
            )
        return nearest

    return Shape(distance)


def voxels(mask: npt.ArrayLike, spacing_mm: float, origin_mm: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Shape:
    """Return the set voxels of a mask (x, y, z), cubes of one spacing, first corner at the origin."""
    from scipy.ndimage import distance_transform_edt

    inside = np.asarray(mask, bool)
    # Half a voxel: the transform measures between centres, the wall lies between them.
    field = (
        np.where(inside, 0.5 - distance_transform_edt(inside), distance_transform_edt(~inside) - 0.5)
        * spacing_mm
    )

    def distance(at: Floats) -> Floats:
        where = np.floor((at - np.asarray(origin_mm, float)) / spacing_mm).astype(np.int64)
        safe = np.clip(where, 0, np.array(inside.shape) - 1)
        value: Floats = field[tuple(safe.T)]
        return np.where((safe == where).all(axis=1), value, np.maximum(value, spacing_mm))

    return Shape(distance, halfway=True)
