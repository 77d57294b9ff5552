"""Pictures: images without a place in the patient (echo, angiograms, photographs), and slides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from carna.doors.dicom.frames import Frame
from carna.doors.dicom.header import Header, item, items, number, numbers, origin_of, text, whole
from carna.doors.dicom.pixels import load, unit_of
from carna.errors import InputError
from carna.space import Floats
from carna.study import Lazy, Picture, Slide

_CENTIMETRES = 3  # Physical Units X Direction (0018,6024)
_TISSUE_2D = 1  # Region Spatial Format (0018,6012)


def picture(frames: Sequence[Frame], uid: str, notes: Sequence[str] = ()) -> Picture:
    """Return the frames of one object, or single frames that belong together, as one picture."""
    header, made = frames[0].header, frames[0].store
    ds = header.ds
    times, why = _times(ds, len(frames))
    spacing, about = spacing_of(ds)
    told = [*notes, *filter(None, (why, about))]
    if made.photometric == "MONOCHROME1":
        told.append("MONOCHROME1: low values are meant to look bright; the values are as stored")
    shape = (len(frames), *made.shape, 3) if made.color else (len(frames), *made.shape)
    wanted = [(f.store, f.index, f.scale) for f in frames]
    headers = list(dict.fromkeys(f.header for f in frames))
    facts: dict[str, Any] = {"Color": made.color}
    regions = _regions(ds)
    if regions:
        facts["UltrasoundRegions"] = regions
    beats = numbers(ds, "RWaveTimeVector")
    if beats:
        facts["RWaveTimeVector"] = beats
    return Picture(
        origin=origin_of(headers, uid=uid, notes=told, facts=facts),
        values=Lazy(shape, lambda: load(wanted, shape)),
        unit="1" if made.color else unit_of(f.scale for f in frames),
        spacing_mm=spacing,
        times_ms=times,
    )


def _times(ds: Dataset, count: int) -> tuple[Floats | None, str]:
    """Return the time of each frame from the first, ms, and what a reader must know of it."""
    if count == 1:
        return None, ""
    steps = numbers(ds, "FrameTimeVector")
    if len(steps) == count and min(steps) >= 0 and sum(steps) > 0:
        return np.cumsum(np.array(steps, np.float64)) - steps[0], ""
    step = number(ds, "FrameTime")
    if step and step > 0:
        return np.arange(count, dtype=np.float64) * step, ""
    for keyword, name in (("CineRate", "Cine Rate"), ("RecommendedDisplayFrameRate", "display rate")):
        rate = number(ds, keyword)
        if rate and rate > 0:
            return np.arange(count, dtype=np.float64) * 1000.0 / rate, f"frame times are from the {name}"
    return None, "no frame times"


def spacing_of(ds: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return (between rows, between columns) in mm, and what a reader must know of it.

    An ultrasound region's calibration comes first, then Pixel Spacing, then the spacing at the
    detector, corrected by the magnification where it is given (PS3.3 C.8.5.5, 10.7.1, C.8.7.1).
    """
    found = {
        (round(10 * abs(y), 6), round(10 * abs(x), 6))
        for region in items(ds, "SequenceOfUltrasoundRegions")
        if whole(region, "RegionSpatialFormat") == _TISSUE_2D
        and whole(region, "PhysicalUnitsXDirection")
        == whole(region, "PhysicalUnitsYDirection")
        == _CENTIMETRES
        and (x := number(region, "PhysicalDeltaX"))
        and (y := number(region, "PhysicalDeltaY"))
    }
    if len(found) > 1:
        return None, "ultrasound regions of different scale: no one pixel spacing"
    if found:
        return found.pop(), ""
    spacing = numbers(ds, "PixelSpacing")
    if len(spacing) == 2 and min(spacing) > 0:
        return (spacing[0], spacing[1]), ""
    spacing = numbers(ds, "ImagerPixelSpacing")
    if len(spacing) == 2 and min(spacing) > 0:
        factor = number(ds, "EstimatedRadiographicMagnificationFactor")
        if factor and factor > 0:
            return (spacing[0] / factor, spacing[1] / factor), "pixel spacing by the estimated magnification"
        return (spacing[0], spacing[1]), "pixel spacing is that of the detector, not of the patient"
    return None, ""


def _regions(ds: Dataset) -> tuple[tuple[int, ...], ...]:
    """Return (left, top, right, bottom, spatial format, data type) of each ultrasound region."""
    keywords = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
    return tuple(
        tuple(whole(region, k) for k in (*keywords, "RegionSpatialFormat", "RegionDataType"))
        for region in items(ds, "SequenceOfUltrasoundRegions")
    )


def slide(header: Header, uid: str) -> Slide:
    """Return a whole-slide image: its size and spacing; it is not decoded.

    Raises
    ------
    InputError
        If it has no size.
    """
    ds = header.ds
    size = whole(ds, "TotalPixelMatrixRows"), whole(ds, "TotalPixelMatrixColumns")
    if min(size) < 1:
        raise InputError("a slide without a size", needed="Total Pixel Matrix Rows and Columns")
    measures = item(ds, "SharedFunctionalGroupsSequence", "PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing") if measures is not None else ()
    facts = {"Specimen": text(ds, "ContainerIdentifier"), "NumberOfFrames": whole(ds, "NumberOfFrames", 1)}
    origin = origin_of([header], uid=uid, notes=["a slide: recognised, not decoded"], facts=facts)
    return Slide(origin, size, (spacing[0], spacing[1]) if len(spacing) == 2 else None)
