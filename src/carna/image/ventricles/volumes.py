"""From outlines to volumes, ejection fractions and mass.

Discs are summed: area times the distance of slice centres. Papillary muscles and trabeculae count as
cavity, so the mass is that of the compact wall. End-diastole and end-systole are the fullest and the
emptiest frame of the left ventricle, for both ventricles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.ventricles.segment import LV, MYOCARDIUM, RV

__all__ = ["MUSCLE_G_PER_ML", "Volumes", "cut_at_both_ends", "volumes"]

Floats = npt.NDArray[np.float64]
MUSCLE_G_PER_ML = 1.05
_CUT_OFF = 0.6  # share of the widest slice's cavity that the last one may have: else the apex is missing


@dataclass(frozen=True, slots=True, eq=False)
class Volumes:
    """Volumes over the beat.

    Parameters
    ----------
    lv_ml, rv_ml, wall_ml : (t,) float64
        Left cavity, right cavity, left muscle; in voxels where the spacing is unknown.
    ed, es : int
        Fullest and emptiest frame of the left cavity.
    """

    lv_ml: Floats
    rv_ml: Floats
    wall_ml: Floats
    ed: int
    es: int

    @property
    def lvef(self) -> float:
        """Share of the left end-diastolic volume that is ejected, -inf to 1."""
        return float(1.0 - self.lv_ml[self.es] / self.lv_ml[self.ed])

    @property
    def rvef(self) -> float:
        """Share of the right end-diastolic volume ejected; NaN without a right ventricle."""
        full = float(self.rv_ml[self.ed])
        return float(1.0 - self.rv_ml[self.es] / full) if full > 0 else float("nan")

    @property
    def mass_g(self) -> float:
        """Mass of the left wall at end-diastole."""
        return MUSCLE_G_PER_ML * float(self.wall_ml[self.ed])


def volumes(labels: npt.NDArray[np.uint8], spacing_mm: tuple[float, float, float] | None) -> Volumes:
    """Return the volumes of labelled ventricles.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        As of `carna.image.ventricles.Ventricles`.
    spacing_mm : (k, r, c) or None
        Distance of slice centres, rows, columns. None counts voxels: only ratios mean anything then.

    Raises
    ------
    InputError
        No left ventricle in any frame.
    """
    ml = float(np.prod(spacing_mm)) / 1e3 if spacing_mm else 1.0
    left, right, wall = ((labels == one).sum((1, 2, 3)) * ml for one in (LV, RV, MYOCARDIUM))
    if not left.any():
        raise InputError("no left ventricle is labelled", needed="labels with a left cavity")
    return Volumes(left, right, wall, int(left.argmax()), int(left.argmin()))


def cut_at_both_ends(labels: npt.NDArray[np.uint8]) -> bool:
    """Return whether a frame (k, r, c) ends within the left cavity at both ends: the apex is missing."""
    area = (labels == LV).sum((1, 2))
    return bool(min(area[0], area[-1]) > _CUT_OFF * area.max())
