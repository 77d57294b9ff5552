"""Global longitudinal strain and the apical cap, from long-axis planes.

The strain of a plane is the change of the length of its inner contour, in fractions of that at end-diastole
(Lagrangian; Voigt 2015, doi:10.1016/j.echo.2014.11.003) ::

    e(t) = (L(t) - L(ed)) / L(ed)

and the global one the mean of the planes at the same phase. End-diastole is the fullest frame of each plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.long_axis.measure import Measured
from carna.image.long_axis.segment import LV
from carna.image.long_axis.volumes import at_phases
from carna.image.motion import longitudinal

__all__ = ["Longitudinal", "of_planes"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Longitudinal:
    """Longitudinal strain over the beat; fractions, negative where the contour shortens.

    Parameters
    ----------
    phases : (n,) float64
        Fractions of the beat.
    planes : (m, n) float64
        Strain of each plane.
    cap_mm : (m, n) float64
        Thickness of the apical cap in each plane; NaN where it was not outlined.
    """

    phases: Array
    planes: Array
    cap_mm: Array

    @property
    def curve(self) -> Array:
        """Global strain (n,): the mean of the planes."""
        mean: Array = self.planes.mean(0)
        return mean

    @property
    def peak(self) -> float:
        """Most negative global strain."""
        return float(self.curve.min())

    @property
    def cap_thickness_mm(self) -> float:
        """Thickness of the apical cap at end-diastole, mean of the planes; NaN without any."""
        return _mean(self.cap_mm[:, 0])

    @property
    def cap_thickening(self) -> float:
        """Its thickening at the phase of the peak strain, fraction; NaN without any."""
        return _mean(self.cap_mm[:, int(self.curve.argmin())] / self.cap_mm[:, 0]) - 1.0


def of_planes(planes: Sequence[tuple[Measured, Array]], count: int = 30) -> Longitudinal:
    """Return the longitudinal strain of planes, each with its phases as fractions of the beat.

    Parameters
    ----------
    planes : sequence of (Measured, (t,) phases)
        Phases rise from 0 to below 1; the first is the R wave.
    count : int
        Phases of the answer, the first end-diastole.

    Raises
    ------
    InputError
        No plane.
    """
    if not planes:
        raise InputError("no long-axis plane", needed="one at least")
    wanted = np.arange(count) / count
    strains, caps = [], []
    for measured, phases in planes:
        ed = int(measured.area_mm2[LV].argmax())
        line = np.asarray(longitudinal(measured.contour_mm, ed), np.float64)
        strains.append(at_phases(line, phases, wanted + phases[ed]))
        caps.append(at_phases(measured.cap_mm, phases, wanted + phases[ed]))
    return Longitudinal(wanted, np.stack(strains), np.stack(caps))


def _mean(values: Array) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
