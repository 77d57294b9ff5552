"""Tiles: which slices and moments of a cine are shown, cut to the heart, with the outlines found in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.findings import Findings, Item, Region
from carna.space import Grid
from carna.study import Cine

__all__ = ["Tile", "letters", "moments", "pick_slices", "tile", "window"]

# The cut is a square around the outlines with a margin, never smaller than a heart.
MARGIN, LEAST_MM = 0.30, 110.0
# A direction of the patient is named when its share is larger than this (about 20 degrees).
NAMED_FROM = 0.34


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture to show.

    Parameters
    ----------
    pixels : (r, c) float
        0 black to 1 white.
    outlines : tuple of ((r, c) bool, int)
        A mask and the number of its segment, from 0.
    letters : tuple of str
        What lies beyond the left, right, upper and lower edge: L R A P H F.
    spacing_mm : (between rows, between columns)
    """

    pixels: npt.NDArray[np.float64]
    outlines: tuple[tuple[npt.NDArray[np.bool_], int], ...]
    letters: tuple[str, str, str, str]
    spacing_mm: tuple[float, float]


def letters(plane: Grid) -> tuple[str, str, str, str]:
    """Return the patient's directions beyond the left, right, upper and lower edge of a picture."""

    def name(direction: npt.NDArray[np.float64]) -> str:
        order = np.argsort(-np.abs(direction))
        names = [("LR", "PA", "HF")[axis][int(direction[axis] < 0)] for axis in order]
        kept = [n for n, axis in zip(names, order, strict=True) if abs(direction[axis]) > NAMED_FROM]
        return "".join(kept[:2])

    along_rows, along_columns = plane.axes[:, 2], plane.axes[:, 1]
    return name(-along_rows), name(along_rows), name(-along_columns), name(along_columns)


def moments(cine: Cine, findings: Iterable[Findings]) -> tuple[tuple[Concept | None, int], ...]:
    """Return (end diastole, frame) and (end systole, frame) as found in a cine.

    Without such findings the frames that a region was drawn in, with None; without those the first.
    """
    items = [item for one in findings for item in one.items]
    found: dict[Concept, int] = {}
    drawn: set[int] = set()
    for item in items:
        frames = [f for e in item.evidence if e.part == cine.origin.uid for f in e.frames]
        for phase in (codes.END_DIASTOLE, codes.END_SYSTOLE):
            if phase in (item.code, item.site) and len(frames) == 1:
                found[phase] = frames[0]
        if isinstance(item, Region) and any(e.part == cine.origin.uid for e in item.evidence):
            drawn |= set(item.frames)
    if found:
        return tuple(found.items())
    return tuple((None, frame) for frame in sorted(drawn)[:2]) or ((None, 0),)


def pick_slices(cine: Cine, regions: Iterable[Region], most: int) -> tuple[int, ...]:
    """Return at most ``most`` slices, evenly spread over those with an outline, else over all."""
    outlined = [k for k in range(len(cine.planes)) if any(_mask(r, cine.planes[k], None) for r in regions)]
    among = outlined or list(range(len(cine.planes)))
    places = np.linspace(0, len(among) - 1, min(most, len(among))).round().astype(int)
    return tuple(among[n] for n in places)


def window(values: npt.NDArray[np.floating | np.integer]) -> tuple[float, float]:
    """Return the values shown black and white: the 1st and the 99.5th percentile."""
    low, high = np.percentile(values, (1.0, 99.5))
    return float(low), float(max(high, low + 1e-6))


def tile(cine: Cine, regions: Iterable[Region], k: int, frame: int) -> Tile:
    """Return slice ``k`` at a frame, cut to what the regions outline anywhere in the cine."""
    regions = tuple(regions)
    rows, columns = cut(cine, regions)
    pixels = np.asarray(cine.values.array[frame, k, rows, columns], float)
    low, high = window(cine.values.array[:, :, rows, columns])
    found = [m for r in regions for m in _mask(r, cine.planes[k], frame)]
    _, between_rows, between_columns = cine.planes[k].spacing_mm
    return Tile(
        np.clip((pixels - low) / (high - low), 0.0, 1.0),
        tuple((mask[rows, columns], n) for mask, n in found if mask[rows, columns].any()),
        letters(cine.planes[k]),
        (between_rows, between_columns),
    )


def cut(cine: Cine, regions: Iterable[Region]) -> tuple[slice, slice]:
    """Return the rows and columns of the square that holds all outlines, or what others lie near.

    Regions on other planes of the same frame of reference are projected onto this one; without any
    the whole picture is shown.
    """
    first, shape = cine.planes[0], cine.planes[0].shape[1:]
    regions = tuple(regions)
    masks = [m for r in regions for plane in cine.planes for m, _ in _mask(r, plane, None)]
    if masks:
        places = np.argwhere(np.any(masks, axis=0)).astype(float)
    else:
        corners = [_corners(r) for r in regions if r.planes[0].frame == first.frame]
        places = first.to_index(np.concatenate(corners))[:, 1:] if corners else np.empty((0, 2))
    if not places.size:
        return slice(0, shape[0]), slice(0, shape[1])
    steps_mm = first.spacing_mm[1:]
    size_mm = max(span * mm for span, mm in zip(np.ptp(places, axis=0) + 1, steps_mm, strict=True))
    side_mm = max(size_mm * (1 + 2 * MARGIN), LEAST_MM)
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    out = []
    for centre, mm, n in zip(middle, steps_mm, shape, strict=True):
        length = min(round(side_mm / mm), n)
        start = min(max(round(float(centre) - length / 2), 0), n - length)
        out.append(slice(start, start + length))
    return out[0], out[1]


def _corners(region: Region) -> npt.NDArray[np.float64]:
    """Return where the labels of each plane begin and end, LPS mm."""
    anywhere = np.asarray((region.labels if region.labels.ndim == 4 else region.labels[None]).any(axis=0))
    found = [np.empty((0, 3))]
    for plane, mask in zip(region.planes, anywhere, strict=True):
        places = np.argwhere(mask)
        if len(places):
            (r0, c0), (r1, c1) = places.min(axis=0), places.max(axis=0)
            found.append(plane.to_world([(0, r, c) for r in (r0, r1) for c in (c0, c1)]))
    return np.concatenate(found)


def _mask(region: Region, plane: Grid, frame: int | None) -> list[tuple[npt.NDArray[np.bool_], int]]:
    """Return the masks of a region's segments on a plane at a frame, at any time for None."""
    j = next((n for n, p in enumerate(region.planes) if p.same(plane)), None)
    if j is None:
        return []
    labels = region.labels if region.labels.ndim == 4 else region.labels[None]
    if frame is not None and region.frames:
        if frame not in region.frames:
            return []
        labels = labels[[region.frames.index(frame)]]
    here = labels[:, j]
    masks = [((here == s.label).any(axis=0), n) for n, s in enumerate(region.segments)]
    return [(mask, n) for mask, n in masks if mask.any()]


def regions_on(findings: Iterable[Findings], part: str) -> tuple[Region, ...]:
    """Return the regions that were drawn in a part."""
    items: list[Item] = [item for one in findings for item in one.items]
    return tuple(i for i in items if isinstance(i, Region) and part in {e.part for e in i.evidence})
