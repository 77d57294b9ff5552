"""Rule-based fibres: how the muscle's fibres run, from where they lie in the wall.

At every voxel three directions are known: ``t`` outwards across the wall, ``l`` towards the base within it,
and ``c = l x t`` around. The fibre lies in the wall at the helix angle ``alpha`` from ``c`` towards ``l``::

    f = c cos(alpha) + l sin(alpha)        alpha linear from endocardium to epicardium

so positive angles make a right-handed helix (subendocardium), negative ones a left-handed one. The sheet is
``t`` turned by ``beta`` about the fibre, the sheet normal ``f x s``. This is the idea of Bayer 2012
(doi:10.1007/s10439-012-0593-5: fibres by angles between solutions of Laplace's equation) with two
differences: the angle is linear in the distance across the wall, and the two ventricles are ruled apart and
then blended within `SEAM_MM` of the seam where the right wall grows out of the left one, by averaging ``f
f^T`` (fibres have no sign). The septum belongs to the left ventricle: its fibres turn from the left angle
at the left side to the outer left angle at the right side, which is where the right ventricle's inner
fibres are on the seam if both ventricles have the same angles.

Default angles: +60 / -60 degrees in both (the range of Streeter 1969, doi:10.1161/01.RES.24.3.339; the usual
choice in models). `DOSTE` has the angles that public models use after Doste 2019 (doi:10.1002/cnm.3185;
right ventricle +90 / -25, read there and not in the paper), without its separate rule for the outflow tract;
they turn sharply at the seam. Known failures: at the very tip of the left ventricle no direction goes up, and
fibres meet there in a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.axes import Axes
from carna.heart.coordinates import Coordinates, number
from carna.space import Grid

__all__ = ["BAYER", "DOSTE", "Angles", "fibres"]

Floats32 = npt.NDArray[np.float32]

SEAM_MM = 2.5


@dataclass(frozen=True, slots=True)
class Angles:
    """Angles of the rule [degrees], each -90 to 90.

    Parameters
    ----------
    lv_endo, lv_epi, rv_endo, rv_epi : float
        Helix angle at the inner and the outer surface of each ventricle.
    lv_sheet_endo, lv_sheet_epi, rv_sheet_endo, rv_sheet_epi : float
        Sheet angle: 0 is straight across the wall.
    """

    lv_endo: float = 60.0
    lv_epi: float = -60.0
    rv_endo: float = 60.0
    rv_epi: float = -60.0
    lv_sheet_endo: float = -65.0
    lv_sheet_epi: float = 25.0
    rv_sheet_endo: float = -65.0
    rv_sheet_epi: float = 25.0

    def __post_init__(self) -> None:
        """Refuse angles that are none."""
        for name in self.__slots__:
            if not -90.0 <= getattr(self, name) <= 90.0:
                raise InputError(f"{name} = {getattr(self, name)}", needed="-90 to 90 degrees")

    @property
    def radians(self) -> npt.NDArray[np.float64]:
        """Rows left, right; columns helix inner, outer, sheet inner, outer [rad]."""
        left = (self.lv_endo, self.lv_epi, self.lv_sheet_endo, self.lv_sheet_epi)
        right = (self.rv_endo, self.rv_epi, self.rv_sheet_endo, self.rv_sheet_epi)
        return np.radians([left, right])


BAYER = Angles(40.0, -50.0, 40.0, -50.0)
DOSTE = Angles(60.0, -60.0, 90.0, -25.0, -20.0, 20.0, 0.0, 20.0)


def fibres(
    at: Coordinates, grid: Grid, axes: Axes, angles: Angles | None = None
) -> tuple[Floats32, Floats32]:
    """Return the fibre and the sheet direction of every voxel of muscle.

    Parameters
    ----------
    at : Coordinates
        Of the same grid and axes.
    grid : Grid
    axes : Axes
    angles : Angles, optional
        Of the rule; `Angles()` when absent.

    Returns
    -------
    fibre, sheet : (n, 3) float32
        Unit vectors in grid axes (k, r, c), perpendicular to each other; the sheet normal is their cross
        product. In LPS: ``fibre @ grid.axes.T``.
    """
    from carna.heart import wall_kernels as wall

    up, side = (grid.axes.T @ v for v in (-axes.matrix[2], axes.matrix[0]))
    hand = float(np.sign(np.linalg.det(grid.axes)))
    rule = (angles or Angles()).radians
    fibre, sheet = np.empty((2, len(at.where), 3), np.float32)
    wall.lay(at.outwards, at.transmural, at.right, up, side, hand, rule, fibre, sheet)
    if at.right.any() and not at.right.all():
        numbers = number(grid.shape, at.where)
        spacing = min(grid.spacing_mm)
        stride = max(1, int(SEAM_MM / spacing / 4))
        reach = max(1, round(SEAM_MM / spacing / stride))
        bell = np.exp(-0.5 * (2.0 * np.arange(-reach, reach + 1) / reach) ** 2)
        seam = wall.near_seam(numbers, at.where, at.right, reach * stride)
        wall.blend(
            numbers,
            at.where,
            at.right,
            seam,
            bell,
            stride,
            at.outwards,
            at.transmural,
            hand,
            rule,
            fibre,
            sheet,
        )
    return fibre, sheet
