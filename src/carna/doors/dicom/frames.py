"""Frames: one object, classic or enhanced, as frames that each know their place and their moment.

A classic object keeps plane, echo and trigger time at the top of its header; an enhanced one
in functional groups, shared by all frames or one set a frame (PS3.3 C.7.6.16). From here on
nobody asks which of the two it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from carna.doors.dicom.header import Header, item, items, number, numbers, text, texts, whole
from carna.doors.dicom.pixels import Scale, Store, scale_of, store
from carna.errors import InputError
from carna.space import Grid

# Directions further than this from unit length or from a right angle are a damaged header.
_ORTHONORMAL = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame: where it is stored, where it lies, when in the heartbeat, what sets it apart.

    Parameters
    ----------
    header, store, index, scale
        The object, how it keeps its frames, which one (from 0), and its real units.
    plane : Grid or None
        None where the header has no full geometry; ``why`` then says what is missing.
    kind : tuple
        Frames of one series with different kinds are different images: size, component, b-value.
    echo_ms : float or None
    trigger_ms, percent, temporal, clock_s : float or None
        Time after the R wave, percentage of the RR interval, temporal position, time of day.
    rr_ms : float or None
        RR interval the headers state.
    inversion_ms : float or None
    order : (instance number, frame)
    """

    header: Header
    store: Store
    index: int
    scale: Scale
    plane: Grid | None
    why: str
    kind: tuple[Any, ...]
    echo_ms: float | None
    trigger_ms: float | None
    percent: float | None
    temporal: float | None
    clock_s: float | None
    rr_ms: float | None
    inversion_ms: float | None
    order: tuple[int, int]


class _Levels:
    """The places to look a value up in, the nearest first: frame group, shared group, object."""

    __slots__ = ("ds", "frame", "shared")

    def __init__(self, ds: Dataset, shared: Dataset | None, frame: Dataset | None) -> None:
        self.ds, self.shared, self.frame = ds, shared, frame

    def group(self, name: str) -> Dataset:
        """Return a functional group's item; for a classic object, the object itself."""
        found = item(self.frame, name) or item(self.shared, name)
        return (
            found
            if found is not None
            else (self.ds if self.shared is None and self.frame is None else Dataset())
        )

    def number(self, group: str, *keywords: str) -> float | None:
        """Return the first number found under one of the keywords."""
        place = self.group(group)
        return next((n for k in keywords if (n := number(place, k)) is not None), None)


def frames_of(header: Header) -> list[Frame]:
    """Return the frames of one image object.

    Raises
    ------
    InputError
        If its pixels can't be read, or frames and functional groups do not agree in number.
    """
    made = store(header)
    shared = item(header.ds, "SharedFunctionalGroupsSequence")
    groups: tuple[Dataset | None, ...] = items(header.ds, "PerFrameFunctionalGroupsSequence")
    if groups and len(groups) != made.frames:
        raise InputError(
            f"{made.frames} frames with {len(groups)} functional groups",
            needed="one each",
            fix="send it again",
        )
    if not groups:
        groups = (None,) * made.frames
    top = scale_of(header.ds) if shared is None and groups[0] is None else None
    return [
        _frame(header, made, n, _Levels(header.ds, shared, group), top or scale_of(header.ds, shared, group))
        for n, group in enumerate(groups)
    ]


def _frame(header: Header, made: Store, index: int, levels: _Levels, scale: Scale) -> Frame:
    ds = header.ds
    enhanced = levels.shared is not None or levels.frame is not None
    if made.frames > 1 and levels.frame is None:
        plane, why = None, "a loop without functional groups"
    elif made.color:
        plane, why = None, "colours"
    else:
        plane, why = _plane(made, levels)
    heart = levels.group("CardiacSynchronizationSequence")
    content = levels.group("FrameContentSequence")
    inversion = levels.number("MRModifierSequence", "InversionTimes", "InversionTime")
    rate = number(ds, "HeartRate")
    return Frame(
        header=header,
        store=made,
        index=index,
        scale=scale,
        plane=plane,
        why=why,
        kind=(*made.shape, made.color, *_kind(levels, enhanced)),
        echo_ms=levels.number("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
        trigger_ms=_first(
            heart, "NominalCardiacTriggerDelayTime", "ActualCardiacTriggerDelayTime", "TriggerTime"
        ),
        percent=number(heart, "NominalPercentageOfCardiacPhase"),
        temporal=_first(content, "TemporalPositionIndex", "TemporalPositionIdentifier"),
        clock_s=_clock(content if enhanced else ds),
        rr_ms=_first(heart, "RRIntervalTimeNominal", "NominalInterval") or (60_000 / rate if rate else None),
        inversion_ms=inversion,
        order=(whole(ds, "InstanceNumber"), index),
    )


def _first(ds: Dataset, *keywords: str) -> float | None:
    return next((n for k in keywords if (n := number(ds, k)) is not None), None)


def _plane(made: Store, levels: _Levels) -> tuple[Grid | None, str]:
    """Return the plane, or None and the reason."""
    position = numbers(levels.group("PlanePositionSequence"), "ImagePositionPatient")
    orientation = numbers(levels.group("PlaneOrientationSequence"), "ImageOrientationPatient")
    measures = levels.group("PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing")
    for what, values, count in (
        ("Image Position (Patient)", position, 3),
        ("Image Orientation (Patient)", orientation, 6),
        ("Pixel Spacing", spacing, 2),
    ):
        if len(values) != count:
            return None, f"no {what}"
    axes = np.array(orientation).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > _ORTHONORMAL or abs(float(axes[0] @ axes[1])) > _ORTHONORMAL:
        return None, "an Image Orientation that is not two unit vectors at a right angle"
    if min(spacing) <= 0 or max(spacing) > 1e4 or max(map(abs, position)) > 1e6:
        return None, "a Pixel Spacing or Image Position out of any range"
    thickness = number(measures, "SliceThickness") or number(measures, "SpacingBetweenSlices") or 1.0
    grid = Grid.from_dicom(
        size=made.shape,
        position=position,
        orientation=axes / lengths[:, None],
        spacing_mm=spacing,
        thickness_mm=abs(thickness),
        frame=text(levels.ds, "FrameOfReferenceUID"),
    )
    return grid, ""


_FRAME_TYPES: Final = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


def _kind(levels: _Levels, enhanced: bool) -> tuple[Any, ...]:
    """Return what tells images of one series apart besides place, time and echo."""
    types: tuple[str, ...] = ()
    if enhanced:
        types = next((t for g in _FRAME_TYPES if (t := texts(levels.group(g), "FrameType"))), ())
    types = types or texts(levels.ds, "ImageType")
    # Value 3 tells magnitude from phase, axial from localiser; the first two may differ in a volume.
    return (types[2:3], levels.number("MRDiffusionSequence", "DiffusionBValue"))


_CLOCK: Final = re.compile(r"(\d{2})(\d{2})(\d{2}(?:\.\d+)?)")


def _clock(ds: Dataset) -> float | None:
    """Return seconds since midnight of the acquisition."""
    stamps = [text(ds, "FrameAcquisitionDateTime")[8:], text(ds, "AcquisitionDateTime")[8:]]
    for stamp in (*stamps, text(ds, "AcquisitionTime"), text(ds, "ContentTime")):
        found = _CLOCK.match(stamp)
        if found is not None:
            return int(found[1]) * 3600.0 + int(found[2]) * 60.0 + float(found[3])
    return None


def deep_facts(header: Header) -> dict[str, Any]:
    """Return the facts of an enhanced object that lie in its functional groups, by their classic keywords."""
    shared = item(header.ds, "SharedFunctionalGroupsSequence")
    first = item(header.ds, "PerFrameFunctionalGroupsSequence")
    if shared is None and first is None:
        return {}
    levels = _Levels(header.ds, shared, first)
    found: dict[str, Any] = {
        "EchoTime": levels.number("MREchoSequence", "EffectiveEchoTime"),
        "RepetitionTime": levels.number("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
        "FlipAngle": levels.number("MRTimingAndRelatedParametersSequence", "FlipAngle"),
        "InversionTime": levels.number("MRModifierSequence", "InversionTimes"),
        "SliceThickness": levels.number("PixelMeasuresSequence", "SliceThickness"),
        "SpacingBetweenSlices": levels.number("PixelMeasuresSequence", "SpacingBetweenSlices"),
        "VelocityEncoding": levels.number("MRVelocityEncodingSequence", "VelocityEncodingMaximumValue"),
        "NominalInterval": levels.number("CardiacSynchronizationSequence", "RRIntervalTimeNominal"),
        "BodyPartExamined": text(
            item(levels.group("FrameAnatomySequence"), "AnatomicRegionSequence") or Dataset(), "CodeMeaning"
        ),
    }
    agent = item(header.ds, "ContrastBolusAgentSequence")
    found["ContrastBolusAgent"] = "" if agent is None else text(agent, "CodeMeaning")
    return {keyword: value for keyword, value in found.items() if value not in (None, "")}
