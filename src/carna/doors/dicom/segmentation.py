"""Segmentation objects as regions (PS3.3 A.51 and C.8.20): labels on the planes they were drawn in.

A binary object stores one frame for each segment and plane, a label map one for each plane.
Segments that overlap can't share one array of labels: they are laid on as many regions as it
takes. Frames of one plane at several moments become a time axis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.coded import Ids, coded, name_of, word
from carna.doors.dicom.header import (
    Header,
    item,
    items,
    number,
    numbers,
    patient_of,
    study_uid,
    text,
    whole,
)
from carna.errors import InputError
from carna.findings import Evidence, Findings, Input, Manifest, Region, Segment
from carna.space import Grid

# Above every heart at every phase we know of; a header that asks for more is damaged.
MAX_VOXELS = 1 << 31
MAX_LABEL = 255
_BACKGROUND: Final = Concept("125040", "DCM", "Background")
# Segments that together are what an application calls the ventricles.
_VENTRICULAR: Final = frozenset(
    {codes.LV_CAVITY, codes.LV_MYOCARDIUM, codes.RV_CAVITY, codes.RV_MYOCARDIUM, codes.LEFT_VENTRICLE}
    | {codes.RIGHT_VENTRICLE, codes.SCAR, codes.GREY_ZONE}
)
_OUR_ID: Final = re.compile(r"(?P<id>[a-z0-9][a-z0-9_.]*)\.(?P<label>\d{1,3})")
_OUR_TIME: Final = re.compile(r"(?P<what>.*?)(?: at (?P<ms>-?\d+) ms| in frame (?P<frame>\d+))?")
_BY_MEANING: Final = {row.meaning[:64]: row for row in reversed(tuple(codes.ALL.values()))}

Mask = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Named:
    """What one segment is: ``label`` is the number it gets in the region."""

    code: Concept
    site: Concept | None
    words: str
    label: int
    tracking: str


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """One stored frame: its plane and its moment; ``mask`` holds segment numbers, 0 for none."""

    plane: Grid
    mask: Mask
    segment: int
    time_ms: float | None
    moment: int | None


def belongs(header: Header) -> tuple[str, str]:
    """Return a key that objects to be read together share: the moments of one region, written by Carna."""
    base = _our_base(header.ds)
    return ("segmentation", f"{header.series}/{base}") if base else ("segmentation", header.uid)


def findings(headers: Sequence[Header]) -> tuple[Findings, tuple[str, ...]]:
    """Return the regions of segmentation objects that belong together, and what was changed in reading.

    Raises
    ------
    InputError
        If they have no place in the patient, or are too large.
    """
    frames: list[_Frame] = []
    named: dict[int, _Named] = {}
    notes: dict[str, None] = {}
    series: dict[str, None] = {}
    objects = [header.full() for header in headers]
    for ds in objects:
        _refuse(ds)
        named |= _segments(ds)
        got, said = _frames(ds, named)
        frames += got
        notes |= dict.fromkeys(said)
        series |= dict.fromkeys(_sources(ds))
    first = objects[0]
    regions, more = _regions(frames, named, tuple(series), first)
    who = patient_of(first)
    maker = "/".join(filter(None, (text(first, "Manufacturer"), _algorithm(first))))
    words = {str(n): s.words for n, s in named.items() if s.words and s.words != s.code.meaning}
    settings: dict[str, Any] = {"object": headers[0].uid, "type": text(first, "SegmentationType")}
    if words:
        settings["segments"] = words
    found = Findings(
        study=study_uid(first),
        patient=who.id,
        items=regions,
        manifest=Manifest(
            application=f"prior: {maker or 'maker not named'}",
            version=text(first, "SoftwareVersions"),
            settings=settings,
            inputs=tuple(Input("images", uid) for uid in series),
        ),
        synthetic=who.synthetic,
    )
    return found, (*notes, *more)


def _refuse(ds: Dataset) -> None:
    tiled = (
        text(ds, "DimensionOrganizationType").startswith("TILED")
        or number(ds, "TotalPixelMatrixColumns") is not None
        or item(ds, "PerFrameFunctionalGroupsSequence", "PlanePositionSlideSequence") is not None
    )
    if tiled:
        raise InputError(
            "a segmentation of a pathology slide",
            needed="a segmentation in the patient",
            fix="leave it out: slides are shown, their segmentations are not read yet",
        )
    size = whole(ds, "Rows") * whole(ds, "Columns") * max(whole(ds, "NumberOfFrames", 1), 1)
    if not 0 < size <= MAX_VOXELS:
        raise InputError(
            f"a segmentation of {size} voxels",
            needed=f"1 to {MAX_VOXELS}",
            fix="send one object for each part of the body or moment",
        )


def _our_base(ds: Dataset) -> str:
    """Return the id of the region that Carna wrote into an object, "" if it is of another make."""
    if text(ds, "Manufacturer") != "Carna":
        return ""
    for segment in items(ds, "SegmentSequence"):
        found = _OUR_ID.fullmatch(text(segment, "TrackingID"))
        if found:
            return found["id"]
    return ""


def _segments(ds: Dataset) -> dict[int, _Named]:
    """Return what each segment number is, without the background of a label map."""
    ours = _our_base(ds)
    found: dict[int, _Named] = {}
    for entry in items(ds, "SegmentSequence"):
        figure = whole(entry, "SegmentNumber")
        words, tracking = text(entry, "SegmentLabel"), text(entry, "TrackingID")
        code = coded(entry, "SegmentedPropertyTypeCodeSequence")
        if code == _BACKGROUND or (figure == 0 and text(ds, "SegmentationType") == "LABELMAP"):
            continue
        mine = _OUR_ID.fullmatch(tracking) if ours else None
        found[figure] = _Named(
            code or Concept(words[:16] or str(figure), "99UNKNOWN", words or f"segment {figure}"),
            coded(entry, "AnatomicRegionSequence"),
            words,
            int(mine["label"]) if mine and 0 < int(mine["label"]) <= MAX_LABEL else 0,
            tracking,
        )
    if not found:
        raise InputError(
            "a segmentation without segments",
            needed="a Segment Sequence",
            fix="have the sender write it again",
        )
    return found


def _algorithm(ds: Dataset) -> str:
    names = dict.fromkeys(text(s, "SegmentAlgorithmName") for s in items(ds, "SegmentSequence"))
    return ", ".join(filter(None, names)) or text(ds, "ManufacturerModelName")


def _sources(ds: Dataset) -> tuple[str, ...]:
    return tuple(filter(None, (text(s, "SeriesInstanceUID") for s in items(ds, "ReferencedSeriesSequence"))))


# Frames ----------------------------------------------------------------------------------------


def _frames(ds: Dataset, named: dict[int, _Named]) -> tuple[list[_Frame], tuple[str, ...]]:
    kind = text(ds, "SegmentationType").upper()
    pixels, notes = _pixels(ds, kind)
    shared = item(ds, "SharedFunctionalGroupsSequence")
    groups = items(ds, "PerFrameFunctionalGroupsSequence")
    if len(groups) != len(pixels):
        raise InputError(
            f"{len(pixels)} frames with {len(groups)} functional groups", needed="one group for each frame"
        )
    when = _OUR_TIME.fullmatch(text(ds, "ContentDescription")) if _our_base(ds) else None
    planes: dict[tuple[float, ...], Grid] = {}
    seen: dict[tuple[int, int], int] = {}
    found: list[_Frame] = []
    for mask, group in zip(pixels, groups, strict=True):
        plane = _plane(ds, group, shared, planes)
        segment = 0
        if kind != "LABELMAP":
            sub = item(group, "SegmentIdentificationSequence") or item(
                shared, "SegmentIdentificationSequence"
            )
            segment = whole(sub, "ReferencedSegmentNumber") if sub is not None else 0
            if segment not in named:
                raise InputError(f"a frame of segment {segment}", needed=f"one of {sorted(named)}")
        time_ms, moment = _moment(group)
        if when is not None:
            time_ms = float(when["ms"]) if when["ms"] else time_ms
            moment = int(when["frame"]) - 1 if when["frame"] else moment
        if time_ms is None and moment is None:
            again = seen.get((segment, id(plane)), 0)
            seen[segment, id(plane)] = again + 1
            moment = again if again else None
        found.append(_Frame(plane, mask, segment, time_ms, moment))
    if any(seen[key] > 1 for key in seen):
        notes = (
            *notes,
            "several frames of one segment in one plane without a time: read as moments in stored order",
        )
        found = [_Frame(f.plane, f.mask, f.segment, None, f.moment or 0) for f in found]
    return found, notes


def _pixels(ds: Dataset, kind: str) -> tuple[Mask, tuple[str, ...]]:
    """Return ``(frames, r, c)``: 0 and 1, or segment numbers of a label map."""
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise InputError(
            f"a segmentation of type {kind!r}",
            needed="BINARY, FRACTIONAL or LABELMAP",
            fix="have the sender write one of these",
        )
    stored = np.asarray(ds.pixel_array)
    stored = stored.reshape(-1, *stored.shape[-2:])
    if kind == "LABELMAP":
        padding = number(ds, "PixelPaddingValue")
        return (np.where(stored == int(padding), 0, stored) if padding else stored), ()
    if kind == "BINARY":
        return stored, ()
    top = number(ds, "MaximumFractionalValue") or 255.0
    half = (stored >= top / 2) & (stored > 0)
    if bool(((stored == 0) | (stored == top)).all()):
        return half, ()
    what = text(ds, "SegmentationFractionalType").lower() or "fraction"
    return half, (f"a fractional segmentation ({what}): read as labels where it is at least half",)


def _plane(ds: Dataset, group: Dataset, shared: Dataset | None, known: dict[tuple[float, ...], Grid]) -> Grid:
    """Return the plane of a frame; frames within 0.01 mm share one."""

    def read(sequence: str, keyword: str) -> tuple[float, ...]:
        for place in (group, shared):
            entry = item(place, sequence)
            if entry is not None and (got := numbers(entry, keyword)):
                return got
        return ()

    position = read("PlanePositionSequence", "ImagePositionPatient")
    turned = read("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = read("PixelMeasuresSequence", "PixelSpacing")
    if len(position) != 3 or len(turned) != 6 or len(spacing) != 2:
        raise InputError(
            "a segmentation with no place in the patient",
            needed="position, orientation and spacing of each frame",
            fix="have the sender write it with the frame of the images it was drawn on",
        )
    thick = read("PixelMeasuresSequence", "SliceThickness") or read(
        "PixelMeasuresSequence", "SpacingBetweenSlices"
    )
    key = (*(round(x, 2) for x in position), *(round(x, 4) for x in (*turned, *spacing)))
    if key not in known:
        known[key] = Grid.from_dicom(
            size=(whole(ds, "Rows"), whole(ds, "Columns")),
            position=position,
            orientation=turned,
            spacing_mm=spacing,
            thickness_mm=abs(thick[0]) if thick and thick[0] else 1.0,
            frame=text(ds, "FrameOfReferenceUID"),
        )
    return known[key]


def _moment(group: Dataset) -> tuple[float | None, int | None]:
    """Return the time after the R wave and the temporal position (from 0) of a frame."""
    content, beat = item(group, "FrameContentSequence"), item(group, "CardiacSynchronizationSequence")
    time_ms = number(beat, "NominalCardiacTriggerDelayTime") if beat is not None else None
    position = whole(content, "TemporalPositionIndex") if content is not None else 0
    return time_ms, position - 1 if position > 0 else None


# Regions ---------------------------------------------------------------------------------------


def _regions(
    frames: list[_Frame], named: dict[int, _Named], series: tuple[str, ...], ds: Dataset
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    planes = _sorted_planes(frames)
    times = sorted({(f.time_ms, f.moment) for f in frames}, key=lambda m: (m[0] or 0.0, m[1] or 0))
    timed = all(t is not None for t, _ in times)
    shape = (len(times), len(planes), *frames[0].mask.shape)
    if int(np.prod(shape)) > MAX_VOXELS:
        raise InputError(
            f"labels of shape {shape}",
            needed=f"at most {MAX_VOXELS} voxels",
            fix="send one object for each part of the body or moment",
        )
    layers, notes = _layers(frames, named, planes, times, shape)
    ids, made = Ids(), []
    ours, base = _our_base(ds), _our_base(ds) or "prior"
    for labels, numbers_ in layers:
        segments = tuple(Segment(label, named[n].code) for n, label in numbers_.items())
        code = _what(segments, ds) if ours else _together(segments)
        sites = {named[n].site for n in numbers_}
        name = base if ours else f"{base}.{_one_word(numbers_, named) or name_of(code)}"
        evidence = tuple(Evidence(uid) for uid in series)
        moments = [range(len(times))] if timed else [range(t, t + 1) for t in range(len(times))]
        for chosen in moments:
            some = [times[t] for t in chosen]
            told = [m for _, m in some if m is not None]
            made.append(
                Region(
                    id=ids.new(name),
                    code=code,
                    site=sites.pop() if len(sites) == 1 else None,
                    evidence=evidence,
                    labels=labels[chosen.start : chosen.stop] if timed else labels[chosen.start],
                    planes=planes,
                    segments=segments,
                    times_ms=np.array([t for t, _ in some], float) if timed else None,
                    frames=tuple(told) if len(told) == len(some) else (),
                )
            )
    return tuple(made), notes


def _sorted_planes(frames: list[_Frame]) -> tuple[Grid, ...]:
    """Return the planes once each: stacks in the order they came, each sorted along its normal."""
    unique: dict[tuple[float, ...], Grid] = {}
    for frame in frames:
        unique.setdefault(_key(frame.plane), frame.plane)
    stacks: list[list[Grid]] = []
    for plane in unique.values():
        for stack in stacks:
            if float(stack[0].normal @ plane.normal) > 0.9999:
                stack.append(plane)
                break
        else:
            stacks.append([plane])
    return tuple(
        p for stack in stacks for p in sorted(stack, key=lambda p: float(p.origin @ stack[0].normal))
    )


def _key(plane: Grid) -> tuple[float, ...]:
    return (*(round(float(x), 2) for x in plane.origin), *(round(x, 4) for x in plane.orientation))


_Layer = tuple[npt.NDArray[np.uint8], dict[int, int]]


def _layers(
    frames: list[_Frame],
    named: dict[int, _Named],
    planes: tuple[Grid, ...],
    times: list[tuple[float | None, int | None]],
    shape: tuple[int, ...],
) -> tuple[list[_Layer], tuple[str, ...]]:
    """Return label arrays ``(t, k, r, c)``, each with segment number -> label; no two segments overlap."""
    where_k = {_key(p): k for k, p in enumerate(planes)}
    where_t = {m: t for t, m in enumerate(times)}
    by_segment: dict[int, list[tuple[int, int, Mask]]] = {n: [] for n in named}
    unknown: set[int] = set()
    for frame in frames:
        t, k = where_t[frame.time_ms, frame.moment], where_k[_key(frame.plane)]
        if frame.segment:
            by_segment[frame.segment].append((t, k, frame.mask.astype(bool)))
            continue
        for n in np.unique(frame.mask):
            if n and int(n) in named:
                by_segment[int(n)].append((t, k, frame.mask == n))
            elif n:
                unknown.add(int(n))
    layers: list[_Layer] = []
    for n, parts in by_segment.items():
        for labels, members in layers:
            free = len(members) < MAX_LABEL and named[n].label not in members.values()
            if free and not any((labels[t, k] > 0)[mask].any() for t, k, mask in parts):
                break
        else:
            labels, members = np.zeros(shape, np.uint8), {}
            layers.append((labels, members))
        label = named[n].label or (n if 0 < n <= MAX_LABEL and n not in members.values() else 0)
        label = label or next(x for x in range(1, MAX_LABEL + 1) if x not in members.values())
        members[n] = label
        for t, k, mask in parts:
            labels[t, k][mask] = label
    notes = (f"labels {sorted(unknown)[:8]} stand for no segment; left out",) if unknown else ()
    return layers, notes


def _what(segments: tuple[Segment, ...], ds: Dataset) -> Concept:
    """Return the code of a region that Carna wrote: its meaning stands in the description."""
    when = _OUR_TIME.fullmatch(text(ds, "ContentDescription"))
    return _BY_MEANING.get(when["what"] if when else "") or _together(segments)


def _together(segments: tuple[Segment, ...]) -> Concept:
    """Return what several segments are together."""
    meant = {s.code for s in segments}
    if len(meant) == 1:
        return meant.pop()
    return codes.VENTRICLES if meant <= _VENTRICULAR else codes.REGION_OF_INTEREST


def _one_word(numbers_: dict[int, int], named: dict[int, _Named]) -> str:
    """Return the tracking identifier of a lone segment as a word of an id."""
    return word(named[next(iter(numbers_))].tracking) if len(numbers_) == 1 else ""
