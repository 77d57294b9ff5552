"""Where a heart lies: its base, its long axis and the side of its right ventricle.

Every coordinate of this room is counted from three things a reader can find in an image: the centre of the
left ventricle's base, the direction from base to apex, and the direction from the left ventricle to the
middle of the septum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Floats, Grid

__all__ = ["Axes"]


@dataclass(frozen=True, slots=True)
class Axes:
    """The frame of a heart in the patient.

    Its own coordinates, in millimetres: ``x`` towards the middle of the septum, ``y`` across (towards the
    inferior wall), ``z`` from the base plane (0) to the apex: a right-handed frame. The angle ``theta`` =
    atan2(y, x) is 0 at the middle of the septum, positive inferiorly, negative anteriorly.

    Parameters
    ----------
    base_lps : 3 floats
        Centre of the left ventricle's base plane, LPS mm.
    axis_lps : 3 floats
        From base to apex, any length but 0.
    septum_lps : 3 floats
        From the left ventricle to the middle of the septum; made perpendicular to the axis.

    Raises
    ------
    InputError
        A direction without length, or both along one line.
    """

    base_lps: tuple[float, float, float] = (12.0, -18.0, 10.0)
    axis_lps: tuple[float, float, float] = (0.66, -0.57, -0.49)
    septum_lps: tuple[float, float, float] = (-0.736, -0.411, -0.51)

    def __post_init__(self) -> None:
        """Refuse axes that span no plane."""
        if np.linalg.norm(np.cross(self.axis_lps, self.septum_lps)) < 1e-6:
            raise InputError(
                f"axis {self.axis_lps} and septum {self.septum_lps} lie on one line",
                needed="two directions that span a plane",
            )

    @property
    def matrix(self) -> Floats:
        """Unit vectors x, y, z of the heart as rows of a (3, 3) matrix, LPS."""
        axis = np.asarray(self.axis_lps, float) / np.linalg.norm(self.axis_lps)
        septum = np.asarray(self.septum_lps, float) - np.dot(self.septum_lps, axis) * axis
        septum /= np.linalg.norm(septum)
        return np.stack([septum, np.cross(axis, septum), axis])

    def to_heart(self, points_lps: npt.ArrayLike) -> Floats:
        """Return heart coordinates (..., 3) mm of LPS points (..., 3)."""
        return np.asarray((np.asarray(points_lps, float) - np.asarray(self.base_lps)) @ self.matrix.T)

    def to_lps(self, points_mm: npt.ArrayLike) -> Floats:
        """Return LPS points (..., 3) of heart coordinates (..., 3) mm."""
        return np.asarray(np.asarray(points_mm, float) @ self.matrix + np.asarray(self.base_lps))

    def of_index(self, grid: Grid) -> Floats:
        """Return the affine (4, 4) that takes a voxel's index to heart coordinates."""
        whole = np.eye(4)
        whole[:3, :3] = self.matrix @ grid.affine[:3, :3]
        whole[:3, 3] = self.to_heart(grid.affine[:3, 3])
        return whole

    def moved(self, motion: npt.ArrayLike) -> Axes:
        """Return the axes after a rigid motion (4, 4) of the patient."""
        turn, shift = np.asarray(motion, float)[:3, :3], np.asarray(motion, float)[:3, 3]
        base, axis, septum = turn @ self.base_lps + shift, turn @ self.axis_lps, turn @ self.septum_lps
        return Axes(_three(base), _three(axis), _three(septum))


def _three(v: Floats) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
