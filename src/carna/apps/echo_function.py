"""Left ventricle in apical echo clips: outlines, beats, volumes, ejection fraction. Unproven on patients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.errors import InputError
from carna.findings import (
    Absent,
    Curve,
    Evidence,
    Interval,
    Item,
    Measurement,
    Region,
    Segment,
    Statement,
    Uncertainty,
    Unknown,
)
from carna.image.echo import (
    ATRIUM,
    CAVITY,
    MUSCLE,
    NETWORK,
    Reading,
    biplane_volumes,
    ejection_fraction,
    read,
)
from carna.image.network import Network
from carna.space import Floats, Grid
from carna.study import Picture

View = Literal["4CH", "2CH", ""]

SEGMENTS = (
    Segment(CAVITY, codes.LV_CAVITY),
    Segment(MUSCLE, codes.LV_MYOCARDIUM),
    Segment(ATRIUM, codes.LEFT_ATRIUM),
)
_VIEWS: tuple[tuple[View, str], ...] = (
    ("4CH", r"a(p)?[ _-]?4|(4|four)[ _-]*ch"),
    ("2CH", r"a(p)?[ _-]?2|(2|two)[ _-]*ch"),
)
_UNPROVEN = (
    "the reading was proven on echocardiograms of patients: it was made from simulated ultrasound of virtual "
    "hearts alone; every value here is unvalidated, and its interval is that of other virtual hearts"
)
_WITHOUT_SCALE = 1.0  # mm a pixel, where a clip has no calibration: only ratios are said then


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    """One clip that was read: its item prefix, what was seen, whether its pixels have a size."""

    id: str
    part: Picture
    view: View
    reading: Reading
    times_ms: Floats
    scale: str  # why there is no scale, "" where there is one


@application(
    version="1.0",
    gives=(
        codes.ECHO_OUTLINES,
        codes.LV_APICAL_AREA,
        codes.END_DIASTOLE,
        codes.END_SYSTOLE,
        codes.LVEF_US,
        codes.LV_EDV_US,
        codes.LV_ESV_US,
        codes.ECHO_MEASURABLE,
        codes.ECHO_PROVEN,
    ),
    cites=("doi:10.1016/j.echo.2014.10.003", "doi:10.1007/978-3-319-24574-4_28"),
    models=(f"{NETWORK}.onnx",),
)
def echo_function(
    clips: Annotated[
        tuple[Picture, ...], Need("apical clips of the left ventricle", modality="US", min_phases=8)
    ],
    *,
    pixel_mm: Annotated[
        float, Setting("mm", 0.0, 3.0, "size of a pixel, in place of the header's; 0: as the header says")
    ] = 0.0,
    job: Job,
) -> tuple[Item, ...]:
    """Outline the left ventricle in apical echo clips and measure how much it ejects; unproven on patients.

    End-diastole and end-systole are told by the cavity's area, without an electrocardiogram. Where a
    four-chamber and a two-chamber clip are named so, volumes are biplane, else of one plane.
    """
    network = Network(NETWORK)
    items: list[Item] = [
        Statement(id="echo.proven", code=codes.ECHO_PROVEN, verdict="not met", rule=_UNPROVEN)
    ]
    readable: list[_Clip] = []
    for n, part in enumerate(clips):
        id = f"clip{n + 1}"
        progress = job.progress.part(n / len(clips), (n + 0.95) / len(clips))
        times = _times(part)
        spacing, why = _spacing(part, pixel_mm)
        try:
            seen = read(
                part.values.array, network=network, times_ms=times, spacing=spacing, progress=progress
            )
        except InputError as error:
            items += _unread(id, part, str(error))
            continue
        clip = _Clip(id, part, _view(part), seen, times, why)
        items += _of_clip(clip, spacing)
        if not _why_not(seen):
            readable.append(clip)
    items += _function(readable, network)
    job.progress(1.0, "echo")
    return tuple(items)


def _view(part: Picture) -> View:
    """Return the view a clip's label names, "" if none: no picture is trusted to say it."""
    return next((view for view, words in _VIEWS if re.search(words, part.origin.label.lower())), "")


def _times(part: Picture) -> Floats:
    frames = part.values.shape[0]
    if part.times_ms is None or np.any(np.diff(part.times_ms) <= 0):
        return np.arange(frames, dtype=np.float64) * (1000.0 / 30.0)
    return np.array(part.times_ms, np.float64)


def _spacing(part: Picture, pixel_mm: float) -> tuple[tuple[float, float] | None, str]:
    """Return the size of a pixel in mm, and why there is none."""
    if pixel_mm > 0.0:
        return (pixel_mm, pixel_mm), ""
    if part.spacing_mm is None:
        return None, "the clip has no calibration: the size of a pixel is not known"
    rows, columns = part.values.shape[1:3]
    for _, _, right, bottom, *_ in part.origin.facts.get("UltrasoundRegions", ()):
        if right > columns or bottom > rows:
            return None, (
                f"the calibrated region reaches to column {right}, row {bottom} of a picture of {columns} x "
                f"{rows}: it was made smaller after its calibration, so the size of a pixel is not known"
            )
    return part.spacing_mm, ""


def _why_not(seen: Reading) -> str:
    return seen.quality.why_not or ("" if seen.beats else "no whole beat is seen")


def _unread(id: str, part: Picture, why: str) -> Iterator[Item]:
    seen_in = (Evidence(part.origin.uid),)
    yield Statement(
        id=f"{id}.measurable", code=codes.ECHO_MEASURABLE, verdict="not met", rule=why, evidence=seen_in
    )
    for name, code in (
        ("outlines", codes.ECHO_OUTLINES),
        ("area", codes.LV_APICAL_AREA),
        ("ed", codes.END_DIASTOLE),
        ("es", codes.END_SYSTOLE),
    ):
        yield Absent(
            id=f"{id}.{name}", code=code, why=why, reason=codes.MEASUREMENT_FAILURE, evidence=seen_in
        )


def _of_clip(clip: _Clip, spacing: tuple[float, float] | None) -> Iterator[Item]:
    """Yield outlines, area, beats and quality of one clip."""
    uid, seen, id = clip.part.origin.uid, clip.reading, clip.id
    here = (Evidence(uid),)
    height, width = spacing or (_WITHOUT_SCALE, _WITHOUT_SCALE)
    affine = np.diag([width, height, 1.0, 1.0])[:, [2, 1, 0, 3]]
    yield Region(
        id=f"{id}.outlines",
        code=codes.ECHO_OUTLINES,
        site=codes.HEART,
        labels=seen.labels[:, None],
        # A clip has no place in the patient: the plane is the picture's own.
        planes=(Grid((1, *seen.labels.shape[1:]), affine, f"{uid}.1"),),
        segments=SEGMENTS,
        times_ms=clip.times_ms,
        frames=tuple(range(len(seen.labels))),
        evidence=here,
    )
    area = np.asarray(seen.area, np.float64)
    yield Curve(
        id=f"{id}.area",
        code=codes.LV_APICAL_AREA,
        x=clip.times_ms,
        y=area / (100.0 if spacing else max(float(area.max()), 1e-9)),
        x_unit="ms",
        y_unit="cm2" if spacing else "1",
        of=(f"{id}.outlines",),
        evidence=here,
    )
    yield from _frames(clip)
    why = _why_not(seen)
    q = seen.quality
    view = f"named a {clip.view} view" if clip.view else "of an unnamed view"
    said = f"the outlines are believed by {q.belief:.2f}, the area changes by {100 * q.swing:.0f} %"
    yield Statement(
        id=f"{id}.measurable",
        code=codes.ECHO_MEASURABLE,
        verdict="not met" if why else "met",
        rule=f"a clip {view} can be measured: {why or said}",
        of=(f"{id}.outlines",),
        evidence=here,
    )


def _frames(clip: _Clip) -> Iterator[Item]:
    for name, code in (("ed", codes.END_DIASTOLE), ("es", codes.END_SYSTOLE)):
        if not clip.reading.beats:
            yield Absent(
                id=f"{clip.id}.{name}",
                code=code,
                why="no whole beat is seen",
                reason=codes.VALUE_INDETERMINATE,
                of=(f"{clip.id}.area",),
            )
        for n, beat in enumerate(clip.reading.beats):
            at = getattr(beat, name)
            yield Measurement(
                id=f"{clip.id}.{name}" + (f".beat{n + 1}" if n else ""),
                code=code,
                value=float(at + 1),
                unit="1",
                uncertainty=Interval(max(float(at), 1.0), float(at + 2), 0.95),
                of=(f"{clip.id}.area",),
                evidence=(Evidence(clip.part.origin.uid, frames=(at,)),),
            )


def _function(readable: list[_Clip], network: Network) -> Iterator[Item]:
    """Yield ejection fraction and volumes: of two planes where both are named, else of one."""
    named = {view: [c for c in readable if c.view == view] for view in ("4CH", "2CH")}
    if not readable:
        why = "no clip can be measured"
        yield from _without(why, why)
        return
    four, two = named["4CH"][:1], named["2CH"][:1]
    both = (*four, *two)
    scales = [c.scale for c in both if c.scale]
    if len(both) == 2 and not scales:
        volumes = biplane_volumes(four[0].reading, two[0].reading)
        yield from _values(1.0 - volumes[1] / volumes[0], volumes, "", both, "biplane", network)
        return
    one = (four or two or readable)[0]
    curve = one.reading.volumes
    found = one.reading.beats
    full, empty = (float(np.mean([curve[getattr(b, at)] for b in found])) for at in ("ed", "es"))
    yield from _values(
        ejection_fraction(curve, found), (full, empty), one.scale, (one,), "single plane", network
    )


def _values(
    ejected: float,
    volumes: tuple[float, float],
    no_scale: str,
    clips: tuple[_Clip, ...],
    method: str,
    network: Network,
) -> Iterator[Item]:
    of = tuple(f"{c.id}.outlines" for c in clips)
    seen_in = tuple(Evidence(c.part.origin.uid, frames=_at(c)) for c in clips)
    how = codes.DISCS_BIPLANE if method == "biplane" else codes.DISCS_SINGLE
    errors = network.card["errors"][method]
    spread = errors["volume_sd"]
    ef = 100.0 * ejected
    yield Measurement(
        id="lv.ef",
        code=codes.LVEF_US,
        value=ef,
        unit="%",
        uncertainty=_around(ef, errors["ef_sd"], 100.0),
        method=how,
        of=of,
        evidence=seen_in,
    )
    for id, code, cubic in (("lv.edv", codes.LV_EDV_US, volumes[0]), ("lv.esv", codes.LV_ESV_US, volumes[1])):
        if no_scale:
            yield Absent(id=id, code=code, why=no_scale, reason=codes.VALUE_UNKNOWN, of=of, evidence=seen_in)
            continue
        ml = cubic / 1e3
        yield Measurement(
            id=id,
            code=code,
            value=ml,
            unit="mL",
            uncertainty=_around(ml, spread and ml * spread, np.inf),
            method=how,
            of=of,
            evidence=seen_in,
        )


def _at(clip: _Clip) -> tuple[int, ...]:
    return tuple(sorted({frame for b in clip.reading.beats for frame in (b.ed, b.es)}))


def _around(value: float, sd: float | None, most: float) -> Uncertainty:
    """Return the interval that other virtual hearts had; nothing is known of patients."""
    if sd is None:
        return Unknown("its error was not measured, not even on virtual hearts")
    return Interval(max(value - 1.96 * sd, 0.0), min(value + 1.96 * sd, most), 0.95)


def _without(why_ef: str, why_ml: str) -> Iterator[Item]:
    for id, code, why in (
        ("lv.ef", codes.LVEF_US, why_ef),
        ("lv.edv", codes.LV_EDV_US, why_ml),
        ("lv.esv", codes.LV_ESV_US, why_ml),
    ):
        yield Absent(id=id, code=code, why=why, reason=codes.MEASUREMENT_FAILURE)
