"""Volume of the left ventricle from its outline in apical views, by summation of discs.

The long axis runs from the middle of the mitral annulus to the farthest point of the cavity; 20 slices of
equal height ``h`` across it are discs, round in one view and elliptic in two ::

    V = pi/4 h sum w^2        V = pi/4 h sum w_4CH w_2CH,   h = L / 20

(Lang 2015, doi:10.1016/j.echo.2014.10.003; with two views ``L`` is the longer of both). The width of a slice
is its area over its height, so an outline of any form has one. A foreshortened view makes it too short:
nothing here can see that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

DISCS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The left ventricle in one picture; lengths in the unit of the spacing.

    Parameters
    ----------
    annulus : (2, 2) float
        The two hinges of the mitral valve as (row, column) in pixels, left and right.
    apex : (2,) float
        Farthest point from their middle, (row, column) in pixels.
    length : float
        From the middle of the annulus to the apex.
    widths : (20,) float
        Of the discs, from annulus to apex.
    area : float
        Of the cavity.
    """

    annulus: Array
    apex: Array
    length: float
    widths: Array
    area: float


def outline(cavity: Flags, atrium: Flags, spacing: tuple[float, float] = (1.0, 1.0)) -> Outline | None:
    """Measure a cavity.

    Parameters
    ----------
    cavity, atrium : (r, c) bool
        Left ventricle and left atrium; without the atrium the lowest part of the cavity is taken for the
        annulus, which supposes the apex on top.
    spacing : 2 floats
        Distance of rows and of columns.

    Returns
    -------
    Outline or None
        None where there is too little cavity to measure (50 pixels).
    """
    if cavity.sum() < 50:
        return None
    scale = np.asarray(spacing)
    at = np.argwhere(cavity) * scale
    hinges = _hinges(cavity, atrium, scale)
    middle = hinges.mean(axis=0)
    reach = np.linalg.norm(at - middle, axis=1)
    # The mean of the farthest hundredth: one pixel shall not be the apex.
    apex = at[reach >= np.quantile(reach, 0.99)].mean(axis=0)
    axis = (apex - middle) / np.linalg.norm(apex - middle)
    along = (at - middle) @ axis
    length = float(along.max() + 0.5 * scale.mean())
    step = length / DISCS
    counts = np.histogram(along, bins=DISCS, range=(0.0, length))[0]
    pixel = float(scale.prod())
    return Outline(hinges / scale, apex / scale, length, counts * pixel / step, float(cavity.sum()) * pixel)


def _hinges(cavity: Flags, atrium: Flags, scale: Array) -> Array:
    """Return the ends of where ventricle and atrium touch; (2, 2), left first."""
    import cv2

    reach = max(2, round(0.012 * max(cavity.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    touching = cavity & np.asarray(cv2.dilate(atrium.astype(np.uint8), disc), bool)
    at = np.argwhere(touching) * scale
    if len(at) < 8:
        rows = np.flatnonzero(cavity.any(axis=1))
        low = rows[-max(2, round(0.06 * len(rows))) :]
        at = np.argwhere(cavity & np.isin(np.arange(len(cavity)), low)[:, None]) * scale
    middle = at.mean(axis=0)
    _, _, directions = np.linalg.svd(at - middle, full_matrices=False)
    way = directions[0] * (1.0 if directions[0][1] >= 0 else -1.0)
    run = (at - middle) @ way
    low, high = np.quantile(run, (0.02, 0.98))
    return np.stack([middle + low * way, middle + high * way])


def single_plane(one: Outline) -> float:
    """Volume of round discs, in the cube of the spacing's unit."""
    return float(np.pi / 4.0 * one.length / DISCS * np.sum(one.widths**2))


def biplane(four: Outline, two: Outline) -> float:
    """Volume of elliptic discs of two views turned about the long axis, in the cube of the spacing's unit."""
    length = max(four.length, two.length)
    return float(np.pi / 4.0 * length / DISCS * np.sum(four.widths * two.widths))
