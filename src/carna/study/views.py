"""Which cardiac view a plane is, from where it lies in the chest.

The left ventricle's axis is the normal of the short-axis stack, taken from base to apex
(left, anterior, inferior). A long-axis plane holds the axis, and what remains is one angle
about it: the standard planes are planned about 60 degrees apart,

    4-chamber   0    towards the right ventricle (the patient's right)
    3-chamber   60   towards the anterior septum and the aortic root
    2-chamber   120  towards the anterior wall

A plane of the same direction that misses the left ventricle belongs to the right one.
Without a short-axis stack a typical axis is assumed, the tolerance is smaller, and the
answer says so. In a heart on the right side (dextrocardia) none of this holds; a label that
disagrees is the only sign of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carna.space import Floats, Grid

View = Literal["SAX", "2CH", "3CH", "4CH", "RVOT", "RV2CH", "axial", "sagittal", "coronal"]

# Base to apex in LPS of an average adult: left, anterior, inferior.
TYPICAL_AXIS = np.array([0.62, -0.60, -0.50]) / np.linalg.norm([0.62, -0.60, -0.50])
SAX_WITHIN_DEG = 35.0
LONG_AXIS_WITHIN_DEG = 25.0
BODY_PLANE_WITHIN_DEG = 12.0
# Half the distance between two standard planes; less where the axis is only assumed.
TURN_WITHIN_DEG = 30.0
TURN_WITHIN_ASSUMED_DEG = 20.0
OFF_AXIS_RV_MM = 28.0
OFF_AXIS_RVOT_MM = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The left ventricle's long axis: a point on it, the direction base to apex, measured or assumed."""

    point: Floats | None
    direction: Floats

    @property
    def measured(self) -> bool:
        """Whether it comes from a short-axis stack of this study."""
        return self.point is not None


ASSUMED = Axis(None, TYPICAL_AXIS)


def axis_of(stacks: Sequence[Sequence[Grid]]) -> Axis:
    """Return the axis given by the deepest stack that lies like a short axis, else the assumed one."""
    short = [s for s in stacks if len(s) >= 3 and _angle(s[0].normal, TYPICAL_AXIS) < SAX_WITHIN_DEG]
    if not short:
        return ASSUMED
    deepest = max(short, key=len)
    normal = deepest[0].normal
    direction = normal if normal @ TYPICAL_AXIS > 0 else -normal
    return Axis(np.mean([p.centre for p in deepest], axis=0), np.asarray(direction))


def view_of(planes: Sequence[Grid], axis: Axis) -> View | None:
    """Return the view of parallel planes, None if they lie like none of them."""
    if any(not p.parallel(planes[0]) for p in planes[1:]):
        return None
    plane = planes[len(planes) // 2]
    for body, direction in (("axial", (0, 0, 1)), ("sagittal", (1, 0, 0)), ("coronal", (0, 1, 0))):
        if _angle(plane.normal, np.array(direction, float)) < BODY_PLANE_WITHIN_DEG and body != "sagittal":
            return "axial" if body == "axial" else "coronal"
    tilt = _angle(plane.normal, axis.direction)
    if tilt < (LONG_AXIS_WITHIN_DEG if axis.measured else SAX_WITHIN_DEG):
        return "SAX"
    if tilt > 90 - LONG_AXIS_WITHIN_DEG:
        found = _long_axis(plane, axis)
        if found is not None:
            return found
    return "sagittal" if _angle(plane.normal, np.array([1.0, 0, 0])) < BODY_PLANE_WITHIN_DEG else None


def _long_axis(plane: Grid, axis: Axis) -> View | None:
    """Tell the long-axis views apart by the turn about the axis and the distance from it."""
    turn = turn_deg(plane, axis)
    if axis.point is not None:
        off = float(plane.normal @ (axis.point - plane.centre))
        to_the_right = off * plane.normal[0] > 0  # the axis lies to the left of the plane
        sagittal = _angle(plane.normal, np.array([1.0, 0, 0])) < 2 * BODY_PLANE_WITHIN_DEG
        if abs(off) > OFF_AXIS_RVOT_MM and to_the_right and sagittal:
            return "RVOT"
        if abs(off) > OFF_AXIS_RV_MM:
            return "RV2CH" if to_the_right and _turn_between(turn, 120) < TURN_WITHIN_DEG else None
    within = TURN_WITHIN_DEG if axis.measured else TURN_WITHIN_ASSUMED_DEG
    standard: tuple[tuple[View, float], ...] = (("4CH", 0.0), ("3CH", 60.0), ("2CH", 120.0))
    view, nearest = min(standard, key=lambda s: _turn_between(turn, s[1]))
    return view if _turn_between(turn, nearest) <= within else None


def turn_deg(plane: Grid, axis: Axis) -> float:
    """Return the turn of a long-axis plane about the axis, 0 to 180 degrees from the patient's right."""
    right = np.array([-1.0, 0, 0])
    right = right - (right @ axis.direction) * axis.direction
    right /= np.linalg.norm(right)
    up = np.cross(axis.direction, right)  # towards the anterior wall
    if up @ np.array([0.0, -1.0, 1.0]) < 0:
        up = -up
    across = np.cross(plane.normal, axis.direction)
    return float(np.degrees(np.arctan2(across @ up, across @ right)) % 180)


def _turn_between(a: float, b: float) -> float:
    return min((a - b) % 180, (b - a) % 180)


def _angle(a: Floats, b: Floats) -> float:
    """Return the angle between two undirected unit vectors, 0 to 90 degrees."""
    return float(np.degrees(np.arccos(np.clip(abs(a @ b), 0, 1))))
