"""Atria and great vessels above the valve plane: scenery whose floor moves with the ventricles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.phantom.labels import ATRIAL_WALL, ATRIUM, BACKGROUND, VESSEL, Labels

Array = npt.NDArray[np.floating]

_ROOF_MM = -44.0  # z of the roof of the atria


def above_the_valves(
    xyz: Array, above: npt.NDArray[np.bool_], valve_mm: float, size: float, axes_lps: Array
) -> Labels:
    """Label what lies above the valve plane.

    Parameters
    ----------
    xyz : (..., 3)
        Points in the heart's own axes (septum, across, base to apex), mm.
    above : (...) bool
        Which of them lie above the valve plane; the others stay background.
    valve_mm : float
        How far the valve plane has descended.
    size : float
        Of the heart, 1 in a usual one.
    axes_lps : (3, 3)
        The heart's axes: vessels rise towards the head.

    Returns
    -------
    (...) uint8
    """
    labels = np.full(xyz.shape[:-1], BACKGROUND, dtype=np.uint8)
    x, y, z = np.moveaxis(xyz[above], -1, 0)
    here = np.full(z.shape, BACKGROUND, dtype=np.uint8)
    middle, half = (valve_mm + _ROOF_MM) / 2.0, (valve_mm - _ROOF_MM) / 2.0
    atria = ((-6.0, 6.0, 25.0, 30.0), (50.0, 10.0, 24.0, 28.0))
    for margin, label in ((3.0, ATRIAL_WALL), (0.0, ATRIUM)):
        for at_x, at_y, wide, deep in atria:
            # A fourth power makes the atrial floor broad where it meets the valve plane.
            form = ((x - at_x * size) / (wide * size + margin)) ** 2
            form += ((y - at_y * size) / (deep * size + margin)) ** 2
            form += ((z - middle) / (half + 2.0 + margin)) ** 4
            here[form < 1.0] = label
    septum, across, axis = axes_lps
    up_x, up_y, up_z = septum[2], across[2], axis[2]  # superior, in the heart's axes
    vessels = (
        ((17.0, -17.0, valve_mm), (up_x + 0.35, up_y, up_z - 0.45), 13.0),  # aorta
        ((26.0, -44.0, valve_mm + 4.0), (up_x - 0.5, up_y + 0.1, up_z - 0.2), 12.0),  # pulmonary trunk
    )
    for margin, label in ((2.0, ATRIAL_WALL), (0.0, VESSEL)):
        for foot, course, radius in vessels:
            way = np.asarray(course) / np.linalg.norm(course)
            rel = (x - foot[0] * size, y - foot[1] * size, z - foot[2])
            run = rel[0] * way[0] + rel[1] * way[1] + rel[2] * way[2]
            off = rel[0] ** 2 + rel[1] ** 2 + rel[2] ** 2 - run**2
            inside = (off < (radius * size + margin) ** 2) & (run > -6.0) & (run < 75.0)
            here[inside & ~((here == VESSEL) & (label == ATRIAL_WALL))] = label
    labels[above] = here
    return labels
