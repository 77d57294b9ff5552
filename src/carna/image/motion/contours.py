"""The two surfaces of the left ventricular wall in short-axis labels, as smooth closed curves.

A surface that every ray from a centre meets once has a radius ``r(theta)``, and whatever is smooth in the
picture is smooth in ``r^2 / 2``, the area swept per angle. Its Fourier coefficients are sums over the pixels
inside::

    a_m = 1/pi  sum over pixels of  cos(m theta) dA       (half of that for m = 0; sin likewise)

No edge is followed and nothing is interpolated: the area inside the curve is the area of the pixels, and the
staircase of the labels averages out (about 0.04 pixel a coefficient). Angles run from the columns towards the
rows, so clockwise on a screen.

Assumed: both surfaces are star-shaped about the middle of the cavity, true of short-axis sections between
valve and apex. Where a ring is open (outflow tract), the cavity is gone, or a slice shows no ventricle, the
frame is not `Contours.known`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["CAVITY", "MUSCLE", "ORDER", "Contours", "contours", "on_angles", "resolved", "waves"]

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

MUSCLE: Final = 2
CAVITY: Final = 3
ORDER: Final = 8  # harmonics: the finest is 22 degrees wide, an eighth of a wall's way around
_FEWEST_PIXELS = 8  # of a cavity; below, its form is that of the grid
_THINNEST_MM = 1.0  # a wall below this is a gap in the ring
_CLOSED = 0.97  # share of the angles at which there is a wall


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """Inner and outer surface of the wall in every slice of every frame.

    Parameters
    ----------
    centre_mm : (t, k, 2) float64
        Middle of the cavity, (row, column) times the spacing; NaN where there is none.
    area : (t, k, 2, 2 * ORDER + 1) float64
        Fourier coefficients of ``r^2 / 2`` [mm^2] of the inner and the outer surface, in the order of
        `waves`; NaN where there is none.
    known : (t, k) bool
        Whether there is a closed ring of muscle around a cavity.
    labelled : (t,) bool
        Whether the frame has any left ventricle at all.
    """

    centre_mm: Floats
    area: Floats
    known: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]

    def radius(self, angles: Floats) -> Floats:
        """Radii [mm] (t, k, 2, n) at angles (n,) [rad]."""
        return on_angles(self.area, angles)


def waves(angles: npt.NDArray[np.floating]) -> Floats:
    """Fourier basis (..., 2 * ORDER + 1): 1, cos and sin of each harmonic in turn."""
    turn = np.exp(1j * np.asarray(angles, float))
    out = np.empty((*turn.shape, 2 * ORDER + 1))
    out[..., 0] = 1.0
    power = np.ones_like(turn)
    for m in range(1, ORDER + 1):
        power = power * turn
        out[..., 2 * m - 1], out[..., 2 * m] = power.real, power.imag
    return out


def on_angles(area: Floats, angles: Floats) -> Floats:
    """Radii [mm] (..., n) of surfaces with these coefficients (..., 2 * ORDER + 1) at angles (n,) [rad]."""
    return np.asarray(np.sqrt(np.maximum(2.0 * area @ waves(angles).T, 0.01)))


def resolved(area: Floats, pixel_mm2: float) -> Floats:
    """Return coefficients (..., 2 * ORDER + 1) without harmonics that have more turns than the radius pixels.

    A small cavity has no fine form; what looks like one is the grid's.
    """
    harmonic = (np.arange(2 * ORDER + 1) + 1) // 2
    radius_px = np.sqrt(2.0 * np.maximum(area[..., :1], 0.0) / pixel_mm2)
    return np.asarray(np.where(harmonic > np.maximum(radius_px, 2.0), 0.0, area))


def contours(labels: Labels, spacing_mm: tuple[float, float]) -> Contours:
    """Describe the wall in labelled short-axis slices.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
        2 left ventricular muscle, 3 its cavity with the papillary muscles; other values are ignored.
    spacing_mm : (r, c)
        Size of a pixel.
    """
    t, k = labels.shape[:2]
    size = float(spacing_mm[0] * spacing_mm[1])
    centre = np.full((t, k, 2), np.nan)
    area = np.full((t, k, 2, 2 * ORDER + 1), np.nan)
    known = np.zeros((t, k), bool)
    around = np.linspace(0.0, 2 * np.pi, 72, endpoint=False)
    scale = np.full(2 * ORDER + 1, 1.0 / np.pi)
    scale[0] /= 2.0
    for n in range(t):
        for s in range(k):
            rows, columns = np.nonzero(labels[n, s] >= MUSCLE)
            inside = labels[n, s, rows, columns] == CAVITY
            if inside.sum() < _FEWEST_PIXELS:
                continue
            y, x = rows * spacing_mm[0], columns * spacing_mm[1]
            middle = np.array([y[inside].mean(), x[inside].mean()])
            wave = waves(np.arctan2(y - middle[0], x - middle[1]))
            sums = np.stack([wave[inside].sum(axis=0), wave.sum(axis=0)])
            both = resolved(sums * (scale * size), size)
            inner, outer = on_angles(both, around)
            centre[n, s], area[n, s] = middle, both
            known[n, s] = np.mean(outer - inner > _THINNEST_MM) >= _CLOSED
    labelled = (labels == CAVITY).any(axis=(1, 2, 3))
    return Contours(centre, area, known, labelled)
