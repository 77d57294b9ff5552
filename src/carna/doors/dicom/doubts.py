"""Doubts: what is wrong with a series although each of its files can be read.

A series without a place, a stack with planes missing, of two pixel sizes, or with planes sent
twice is read for what it is; whoever sent it is told which file, what was found and what would
mend it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carna.case import Problem
from carna.space import EQUAL_MM, Grid
from carna.study import Cine, Image, Part, Picture, Planes

__all__ = ["doubtful"]

# A step this many times the usual one has room for a missing plane.
_MISSING_FROM = 1.5
_FEWEST = 3


def doubtful(parts: Sequence[Part], file_of: Mapping[str, str]) -> list[Problem]:
    """Return a problem for each series whose geometry is missing or contradicts itself.

    Parameters
    ----------
    parts : sequence of Part
        The image parts of one study.
    file_of : mapping
        The name of the file that holds a SOP Instance UID.
    """
    problems: list[Problem] = []
    for part in parts:
        file = file_of.get(part.origin.sources[0].uid, part.origin.uid) if part.origin.sources else ""
        lost = next((n for n in part.origin.notes if isinstance(part, Picture) and "is not known" in n), "")
        if lost:
            problems.append(
                Problem(file, lost, "position, orientation and pixel spacing", "send the original series")
            )
        if isinstance(part, Cine | Planes):
            problems += [Problem(file, *said) for said in _uneven(part.planes)]
        if isinstance(part, Planes) and any(_holds(other, part) for other in parts):
            problems.append(
                Problem(
                    file,
                    f"{len(part.planes)} frames at places that the same series has already",
                    "one frame a place, or a time that tells them apart",
                    "kept apart; ask the sender which is right",
                )
            )
    return problems


def _uneven(planes: Sequence[Grid]) -> list[tuple[str, str, str]]:
    """Return what a stack of parallel planes has of gaps and of unequal planes: found, needed, fix."""
    first = planes[0]
    if len(planes) < _FEWEST or not all(p.parallel(first) for p in planes):
        return []
    said: list[tuple[str, str, str]] = []
    heights = np.unique(np.round([float(p.origin @ first.normal) for p in planes], 1))
    steps = np.diff(heights)
    if len(steps) >= _FEWEST - 1 and steps.max() > _MISSING_FROM * np.median(steps):
        found = f"planes {steps.min():.1f} to {steps.max():.1f} mm apart in one stack"
        said.append((found, "equal distances", "send the planes that are missing"))
    sizes = {tuple(np.round(p.spacing_mm[1:], 3).tolist()) for p in planes}
    if max(np.ptp(list(sizes), axis=0)) > EQUAL_MM:
        found = "pixels of " + " and ".join(f"{r:g} x {c:g} mm" for r, c in sorted(sizes)) + " in one stack"
        said.append((found, "one pixel spacing", "each plane keeps its own; ask the sender which is right"))
    return said


def _holds(other: Part, part: Planes) -> bool:
    """Whether the planes of a part are a few of those of another one of the same series."""
    if other is part or not isinstance(other, Image | Planes) or other.unit != part.unit:
        return False
    if other.origin.sources[0].series != part.origin.sources[0].series:
        return False
    if isinstance(other, Image):
        planes = tuple(other.grid.plane(k) for k in range(other.grid.shape[0]))
    else:
        planes = other.planes
    return len(planes) > len(part.planes) and all(any(p.same(q) for q in planes) for p in part.planes)
