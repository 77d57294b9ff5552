"""Volumes from two long-axis planes that cross on the axis of the left ventricle.

Area and length (of an ellipsoid; Dodge 1960, for atria Lang 2015, doi:10.1016/j.echo.2014.10.003) ::

    V = 8 / (3 pi)  A_2 A_4 / L                       L the shorter of the two lengths

and the biplane summation of discs, of ``n`` ellipses whose diameters are the widths in the two planes ::

    V = pi / 4  sum d_2 d_4  L / n                    L the longer of the two lengths

Assumed: the planes stand about upright on each other and both hold the axis. A plane beside the axis makes
either volume too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.long_axis.measure import Measured
from carna.image.long_axis.segment import LA

__all__ = ["Biplane", "area_length_ml", "at_phases", "biplane", "biplane_discs_ml", "fractions_of_beat"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Biplane:
    """Volumes over the beat from a 4-chamber and a 2-chamber plane.

    Parameters
    ----------
    phases : (n,) float64
        Fractions of the beat.
    atrium_ml : (n,) float64
        Left atrium by area and length.
    ventricle_ml : (n,) float64
        Left ventricle by discs.
    length_mm : (n,) float64
        Left ventricle, mitral plane to apex: the longer of the two.
    """

    phases: Array
    atrium_ml: Array
    ventricle_ml: Array
    length_mm: Array


def biplane(four: Measured, two: Measured, phases: tuple[Array, Array], count: int = 30) -> Biplane:
    """Return the volumes of two planes at common phases.

    Parameters
    ----------
    four, two : Measured
    phases : ((t,), (u,))
        Of the frames of each, fractions of the beat from 0, rising (`fractions_of_beat`).
    count : int
        Phases of the answer.

    Raises
    ------
    InputError
        A plane in which the left atrium is missing in a frame.
    """
    for name, plane in (("4", four), ("2", two)):
        missing = int((plane.area_mm2[LA] <= 0).sum())
        if missing:
            raise InputError(
                f"no left atrium in {missing} of {len(plane.atrium_mm)} frames of the {name}-chamber plane",
                needed="a left atrium in every frame",
            )
    wanted = np.arange(count) / count

    def of(values: Array, n: int) -> Array:
        return at_phases(values, phases[n], wanted)

    shorter = np.minimum(of(four.atrium_mm, 0), of(two.atrium_mm, 1))
    longer = np.maximum(of(four.length_mm, 0), of(two.length_mm, 1))
    return Biplane(
        wanted,
        area_length_ml(of(four.area_mm2[LA], 0), of(two.area_mm2[LA], 1), shorter),
        biplane_discs_ml(of(four.width_mm, 0), of(two.width_mm, 1), longer),
        longer,
    )


def fractions_of_beat(times_ms: Array) -> Array:
    """Return times (t,) as fractions of a beat that ends one step after the last."""
    step = float(np.median(np.diff(times_ms))) if len(times_ms) > 1 else 1.0
    fractions: Array = (times_ms - times_ms[0]) / (times_ms[-1] - times_ms[0] + step)
    return fractions


def area_length_ml(first_mm2: Array, second_mm2: Array, length_mm: Array) -> Array:
    """Return the volume (t,) mL of a chamber by its areas in two planes and its length."""
    volume: Array = 8.0 / (3.0 * np.pi) * first_mm2 * second_mm2 / np.maximum(length_mm, 1e-9) / 1e3
    return volume


def biplane_discs_ml(first_mm: Array, second_mm: Array, length_mm: Array) -> Array:
    """Return the volume (t,) mL of discs with the given widths (t, n) in two planes, over a length (t,)."""
    volume: Array = np.pi / 4.0 * (first_mm * second_mm).mean(-1) * length_mm / 1e3
    return volume


def at_phases(values: Array, phases: Array, wanted: Array) -> Array:
    """Return values (t, ...) of a closed beat at other phases; phases are fractions of the beat, rising."""
    flat = values.reshape(len(values), -1)
    moved = np.stack([np.interp(wanted, phases, column, period=1.0) for column in flat.T], axis=-1)
    return np.asarray(moved.reshape(len(wanted), *values.shape[1:]), np.float64)
