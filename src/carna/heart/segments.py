"""The 17 segments of the left ventricle.

Cerqueira 2002 (doi:10.1161/hc0402.102975): three levels of equal length between base and the end of the
cavity; basal and mid level in six sectors of 60 degrees, two of them septal, counted from where the right
ventricle inserts anteriorly; four sectors of 90 degrees in the apical level; segment 17 is the muscle
beyond the cavity. The sectors here are centred on the middle between the two insertions, found in the
labels, so an image's own right ventricle sets the reference (without one, the direction given with the
axes). Levels are cut straight across the long axis, as short-axis slices are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.anatomy import LV_CAVITY, SEPTUM, Labels
from carna.heart.axes import Axes
from carna.heart.coordinates import Coordinates
from carna.space import Grid

__all__ = ["NAMES", "cavity_end", "insertions", "middle_of_septum", "place_of", "segments"]

NAMES = (
    "basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior", "basal inferolateral",
    "basal anterolateral", "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior",
    "mid inferolateral", "mid anterolateral", "apical anterior", "apical septal", "apical inferior",
    "apical lateral", "apex",
)  # fmt: skip

# Sectors in the order of their angle from the middle of the septum, beginning at -180 degrees.
_OF_SIX = np.array([6, 1, 2, 3, 4, 5], np.uint8)
_OF_FOUR = np.array([16, 13, 14, 15], np.uint8)


def insertions(labels: Labels, at: Coordinates) -> tuple[float, float]:
    """Return the angles [rad] of the anterior (negative) and the inferior insertion of the right ventricle.

    The 1st and 99th percentile of the septum's angle in the upper half of the heart.

    Raises
    ------
    InputError
        No septum is labelled.
    """
    septum = (labels.ravel()[at.where] == SEPTUM) & (at.apicobasal > 0.5)
    if not septum.any():
        raise InputError(
            "labels without a septum", needed="voxels labelled SEPTUM in the upper half of the heart"
        )
    anterior, inferior = np.percentile(at.rotational[septum], (1, 99))
    return float(anterior), float(inferior)


def middle_of_septum(labels: Labels, at: Coordinates) -> float:
    """Return the angle [rad] midway between the insertions; 0, as the axes say, without a labelled septum."""
    return sum(insertions(labels, at)) / 2.0 if (labels == SEPTUM).any() else 0.0


def cavity_end(labels: Labels, grid: Grid, axes: Axes, at: Coordinates) -> float:
    """Return the apicobasal coordinate at the lower end of the left cavity."""
    index = np.flatnonzero((labels == LV_CAVITY).ravel())
    depth = axes.of_index(grid)[2]
    lowest = max(
        float((depth[:3] @ np.array(np.unravel_index(part, grid.shape))).max()) + depth[3]
        for part in np.array_split(index, 8)
        if len(part)
    )
    first = np.array(np.unravel_index(at.where[0], grid.shape))
    span = float(depth[:3] @ first + depth[3]) / (1.0 - float(at.apicobasal[0]))
    return float(1.0 - lowest / span)


def segments(labels: Labels, grid: Grid, axes: Axes, at: Coordinates) -> npt.NDArray[np.uint8]:
    """Return the segment of every voxel of muscle, (n,) uint8: 1 to 17 in the left wall, 0 in the right."""
    middle = middle_of_septum(labels, at)
    turn = np.mod(at.rotational - np.float32(middle) + np.pi, 2 * np.pi)  # 0 to 2 pi, septum in the middle
    end = cavity_end(labels, grid, axes, at)
    level = (1.0 - at.apicobasal) / (1.0 - end) * 3.0
    six = _OF_SIX[np.minimum((turn / np.radians(60)).astype(int), 5)]
    four = _OF_FOUR[np.mod(((turn + np.radians(45)) / np.radians(90)).astype(int), 4)]
    out: npt.NDArray[np.uint8] = np.select(
        [level < 1, level < 2, level <= 3], [six, six + 6, four], 17
    ).astype(np.uint8)
    out[at.right] = 0
    return out


def place_of(segment: int, middle: float, end: float) -> tuple[float, float]:
    """Return the angle [rad] and the apicobasal coordinate of a segment's centre.

    Parameters
    ----------
    segment : int
        1 to 17.
    middle : float
        Angle of the middle between the insertions [rad].
    end : float
        Apicobasal coordinate of the cavity's end (`cavity_end`).
    """
    if not 1 <= segment <= 17:
        raise InputError(f"segment {segment}", needed="1 to 17")
    if segment == 17:
        return middle, end / 2.0
    if segment > 12:
        turn = float(np.flatnonzero(segment == _OF_FOUR)[0]) * 90.0 - 180.0
    else:
        turn = float(np.flatnonzero((segment - 1) % 6 + 1 == _OF_SIX)[0]) * 60.0 - 150.0
    level = (segment - 1) // 6 if segment <= 12 else 2
    angle = float(np.mod(middle + np.radians(turn) + np.pi, 2 * np.pi) - np.pi)
    return angle, 1.0 - (level + 0.5) / 3.0 * (1.0 - end)
