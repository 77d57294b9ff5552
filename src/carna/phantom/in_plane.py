"""What a tracker should see of a virtual heart in a short-axis slice, and what the muscle really does.

A slice stands still while the base descends through it, so a picture shows muscle from nearer the base the
emptier the heart is. Two truths follow for a point of the wall that lies in the slice at end-diastole:

`in_plane`   where the muscle of the same angle and the same share of the wall's area is *in that plane*:
             the motion of the picture, all that a short-axis cine can show;
`of_muscle`  where that very muscle is, seen along the slice's normal: what strain is meant to say.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.phantom.heart import Heart
from carna.phantom.mr import Plane

Array = npt.NDArray[np.floating]


def in_plane(person: Heart, plane: Plane, k: int, points_mm: Array, phases: Array) -> Array:
    """Where the picture of points of the wall goes.

    Parameters
    ----------
    person : Heart
    plane : Plane
        A stack across the long axis of the heart.
    k : int
        Slice.
    points_mm : (..., 2)
        (row, column) times the pixel size, at end-diastole.
    phases : (t,)

    Returns
    -------
    (t, ..., 2) float64
    """
    local = _local(person, plane, k, points_mm)
    theta, z = np.arctan2(local[..., 1], local[..., 0]), local[..., 2]
    inner, outer = person.endocardium_mm(z, theta), person.epicardium_mm(z, theta)
    share = (local[..., 0] ** 2 + local[..., 1] ** 2 - inner**2) / (outer**2 - inner**2)
    out = []
    for phase in phases:
        depth = person.span_mm - (person.span_mm - z) / float(person.along(phase))
        a, b = person.endocardium_mm(depth, theta), person.epicardium_mm(depth, theta)
        r = np.sqrt(np.maximum(a**2 + share * (b**2 - a**2), 0.0))
        there = np.stack([r * np.cos(theta), r * np.sin(theta), depth], axis=-1)
        out.append(_shown(person, plane, person.move(there, float(phase))))
    return np.stack(out)


def of_muscle(person: Heart, plane: Plane, k: int, points_mm: Array, phases: Array) -> Array:
    """Where points of the wall go, seen along the normal of the slice; parameters as `in_plane`."""
    local = _local(person, plane, k, points_mm)
    return np.stack([_shown(person, plane, person.move(local, float(phase))) for phase in phases])


def _steps(plane: Plane) -> Array:
    """Unit vectors (2, 3) along which rows and columns are counted."""
    steps = plane.affine[:3, 1:3].T
    return np.asarray(steps / np.linalg.norm(steps, axis=1, keepdims=True))


def _local(person: Heart, plane: Plane, k: int, points_mm: Array) -> Array:
    lps = plane.affine[:3, 3] + k * plane.affine[:3, 0] + np.asarray(points_mm) @ _steps(plane)
    return np.asarray((lps - np.asarray(person.base_lps)) @ person.axes_lps.T)


def _shown(person: Heart, plane: Plane, local: Array) -> Array:
    lps = local @ person.axes_lps + np.asarray(person.base_lps) - plane.affine[:3, 3]
    return np.asarray(lps @ _steps(plane).T)
