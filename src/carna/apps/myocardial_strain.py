"""Strain and thickening of the left ventricular wall from outlined cines, short axis and long axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import Absent, Curve, Evidence, Field, Interval, Item, Measurement, Region, Unknown
from carna.heart.short_axis import ShortAxis, short_axis
from carna.image.long_axis import LA, LV, MYOCARDIUM, Longitudinal, fractions_of_beat, measure, of_planes
from carna.image.motion import ENDO, EPI, MID, Motion, Strain, strain, track
from carna.study import Cine

_LAYERS = {"inner surface": ENDO, "mid-wall": MID, "outer surface": EPI}
_MEANING = {codes.RV_CAVITY: 1, codes.LV_MYOCARDIUM: 2, codes.LV_CAVITY: 3}
# Root mean square error [points] on virtual hearts from outlines of the network and from outlines off by 0.6
# pixel (docs/myocardial-strain.md): of the ventricle, and of a segment.
_SD: Final = {"cc": (0.5, 2.0), "rr": (5.0, 7.5)}
_SD_LL: Final = 2.7  # the same of global longitudinal strain from long axes (docs/cmr-long-axis.md)
_LONG_AXIS = {codes.LV_MYOCARDIUM: MYOCARDIUM, codes.LV_CAVITY: LV, codes.LEFT_ATRIUM: LA}
_WHOLE_BEAT = 0.9  # of the RR interval that frames must fill to close the beat
_GIVES: dict[str, Concept] = {
    "strain.cc": codes.PEAK_CIRCUMFERENTIAL_STRAIN,
    "strain.rr": codes.PEAK_RADIAL_STRAIN,
    "strain.cc.curve": codes.CIRCUMFERENTIAL_STRAIN,
    "strain.rr.curve": codes.RADIAL_STRAIN,
    "strain.cc.rate": codes.CIRCUMFERENTIAL_STRAIN_RATE,
    "strain.rr.rate": codes.RADIAL_STRAIN_RATE,
    "strain.cc.segments": codes.PEAK_CIRCUMFERENTIAL_STRAIN,
    "strain.rr.segments": codes.PEAK_RADIAL_STRAIN,
    "thickness": codes.WALL_THICKNESS,
    "thickening": codes.WALL_THICKENING,
    "torsion": codes.TORSION_ESTIMATED,
    "strain.ll": codes.PEAK_LONGITUDINAL_STRAIN,
    "strain.ll.curve": codes.LONGITUDINAL_STRAIN,
}
_OF_LONG_AXES = ("strain.ll", "strain.ll.curve")
_NO_LONG_AXIS = "no outlines of a long-axis cine are given: short-axis slices do not show it"
_ESTIMATED = (
    "estimated: muscle in a cine has no texture to turn with; on virtual hearts next to none of it is seen"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Beat:
    """What was followed: the motion, the segments, the strain and what it was seen in."""

    motion: Motion
    stack: ShortAxis
    strain: Strain
    seen: Evidence
    layer: str
    along: Longitudinal | None


@application(
    version="1.0",
    gives=tuple(dict.fromkeys(_GIVES.values())),
    cites=("doi:10.1007/978-3-319-46493-0_29", "doi:10.1161/hc0402.102975"),
)
def myocardial_strain(
    cine: Annotated[Cine, Need("the short-axis cine", modality="MR", view="SAX", min_phases=6)],
    ventricles: Annotated[
        Region, Need("both ventricles outlined at every phase", finding=codes.BEATING_VENTRICLES)
    ],
    four: Annotated[
        Region | None, Need("the chambers outlined in a 4-chamber cine", finding=codes.CHAMBERS_4CH)
    ],
    two: Annotated[
        Region | None, Need("the chambers outlined in a 2-chamber cine", finding=codes.CHAMBERS_2CH)
    ],
    three: Annotated[
        Region | None, Need("the chambers outlined in a 3-chamber cine", finding=codes.CHAMBERS_3CH)
    ],
    *,
    layer: Annotated[
        Literal["inner surface", "mid-wall", "outer surface"],
        Setting(doc="of the wall in which circumferential strain is told"),
    ] = "mid-wall",
    job: Job,
) -> tuple[Item, ...]:
    """Measure circumferential, radial and longitudinal strain and thickening of the left ventricle.

    Lagrangian, in per cent of the length at end-diastole (the fullest frame), in the plane of the slices.
    The outlines say how far the wall moves, the optical flow of the pictures how; in this software; vendor
    values differ. Longitudinal strain is that of the inner contour in the long-axis planes that are outlined,
    their mean; from them too comes the apical cap, segment 17.
    """
    outlined = tuple(plane for plane in (four, two, three) if plane is not None)
    along, why_not = _along(outlined)
    rr_ms = float(np.median(cine.rr_ms))
    seen = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    labels = ventricles.relabelled(_MEANING)
    if labels.shape != cine.values.shape:
        why = f"outlines of shape {labels.shape} on a cine of {cine.values.shape}"
        return (*_nothing(why, seen), *_longitudinal(along, why_not, outlined, rr_ms))
    spacing = cine.spacing_mm
    ed = int((labels == 3).sum(axis=(1, 2, 3)).argmax())
    try:
        motion = track(
            cine.values.array,
            labels,
            spacing,
            reference=ed,
            closed=_whole(cine),
            progress=job.progress.part(0.0, 0.9),
        )
        stack = short_axis(labels[ed], spacing, handedness=cine.handedness)
        found = strain(motion, stack.segments(motion.angles), np.median(cine.times_ms, axis=1))
    except InputError as error:
        return (*_nothing(str(error), seen), *_longitudinal(along, why_not, outlined, rr_ms))
    beat = _Beat(motion, stack, found, seen, layer, along)
    long = _longitudinal(along, why_not, outlined, rr_ms)
    items = (*_global(beat), *_regional(beat), _torsion(beat), *long)
    job.progress(1.0, "strain")
    return items


def _absent(id: str, why: str, seen: Evidence) -> Absent:
    return Absent(id=id, code=_GIVES[id], why=why, reason=codes.MEASUREMENT_FAILURE, evidence=(seen,))


def _nothing(why: str, seen: Evidence) -> tuple[Item, ...]:
    return tuple(_absent(id, why, seen) for id in _GIVES if id not in _OF_LONG_AXES)


def _along(outlined: tuple[Region, ...]) -> tuple[Longitudinal | None, str]:
    """Return what the long axes say, or why they say nothing."""
    planes, reasons = [], []
    for plane in outlined:
        rows, columns = plane.planes[0].spacing_mm[1:]
        times = np.arange(len(plane.frames)) if plane.times_ms is None else plane.times_ms
        try:
            measured = measure(plane.relabelled(_LONG_AXIS)[:, 0], (rows, columns))
        except InputError as error:
            reasons.append(f"{plane.id}: {error}")
            continue
        planes.append((measured, fractions_of_beat(np.asarray(times, float))))
    if not planes:
        return None, "; ".join(reasons) or _NO_LONG_AXIS
    return of_planes(planes), ""


def _longitudinal(
    along: Longitudinal | None, why_not: str, outlined: tuple[Region, ...], rr_ms: float
) -> Iterator[Item]:
    """Yield global longitudinal strain and its curve, or why there is none."""
    seen = tuple(part for plane in outlined for part in plane.evidence)
    if along is None:
        for id in _OF_LONG_AXES:
            yield Absent(id=id, code=_GIVES[id], why=why_not, reason=codes.MEASUREMENT_FAILURE, evidence=seen)
        return
    peak, half = 100.0 * along.peak, 1.96 * _SD_LL
    yield Measurement(
        id="strain.ll",
        code=_GIVES["strain.ll"],
        site=codes.LEFT_VENTRICLE,
        value=round(peak, 2),
        unit="%",
        uncertainty=Interval(round(peak - half, 2), round(peak + half, 2)),
        of=(*(plane.id for plane in outlined), "strain.ll.curve"),
        evidence=seen,
    )
    yield Curve(
        id="strain.ll.curve",
        code=_GIVES["strain.ll.curve"],
        site=codes.LEFT_VENTRICLE,
        x=rr_ms * along.phases,
        y=np.round(100.0 * along.curve, 4),
        x_unit="ms",
        y_unit="%",
        of=tuple(plane.id for plane in outlined),
        evidence=seen,
    )


def _whole(cine: Cine) -> bool:
    times = np.median(cine.times_ms, axis=1)
    covered = (times[-1] - times[0]) * len(times) / max(len(times) - 1, 1)
    return bool(covered >= _WHOLE_BEAT * np.median(cine.rr_ms))


def _global(beat: _Beat) -> Iterator[Item]:
    """Yield the peaks of the ventricle, and its curves."""
    found = beat.strain
    curves = {"cc": found.circumferential[:, _LAYERS[beat.layer]], "rr": found.radial[:, MID]}
    for name, curve in curves.items():
        at = int(curve.argmin() if name == "cc" else curve.argmax())
        value = 100.0 * float(curve[at])
        half = 1.96 * _SD[name][0]
        peak = f"strain.{name}"
        yield Measurement(
            id=peak,
            code=_GIVES[peak],
            site=codes.LEFT_VENTRICLE,
            value=round(value, 2),
            unit="%",
            uncertainty=Interval(round(value - half, 2), round(value + half, 2)),
            of=("ventricles", f"{peak}.curve"),
            evidence=(Evidence(beat.seen.part, frames=(at,), planes=beat.seen.planes),),
        )
        for id, unit, y in (
            (f"{peak}.curve", "%", 100.0 * curve),
            (f"{peak}.rate", "/s", found.rate(curve, closed=beat.motion.closed)),
        ):
            yield Curve(
                id=id,
                code=_GIVES[id],
                site=codes.LEFT_VENTRICLE,
                x=found.times_ms,
                y=np.round(y, 4),
                x_unit="ms",
                y_unit=unit,
                of=("ventricles",),
                evidence=(beat.seen,),
            )


def _regional(beat: _Beat) -> Iterator[Item]:
    """Yield the 17 segments: peaks, courses, thickness and thickening; NaN where none was followed."""
    found, layer = beat.strain, _LAYERS[beat.layer]
    over_time = {"cc": found.of_segments_cc[:, layer], "rr": found.of_segments_rr[:, MID]}
    peaks = {"cc": found.peaks_cc[layer], "rr": found.peaks_rr[MID]}
    fields: list[tuple[str, Concept, np.ndarray, str]] = [
        (f"strain.{name}.segments", _GIVES[f"strain.{name}"], 100.0 * peaks[name], "%") for name in peaks
    ]
    thickness, thickening = found.thickness_mm[found.reference].copy(), found.thickening.copy()
    if beat.along is not None:  # only long axes show the apical cap
        thickness[16], thickening[16] = beat.along.cap_thickness_mm, beat.along.cap_thickening
    fields += [
        ("thickness", codes.WALL_THICKNESS, thickness, "mm"),
        ("thickening", codes.WALL_THICKENING, 100.0 * thickening, "%"),
    ]
    for id, code, values, unit in fields:
        yield Field(
            id=id, code=code, site=codes.LEFT_VENTRICLE, values=np.round(values, 2), unit=unit, on="AHA17",
            of=("ventricles",), evidence=(beat.seen,),
        )  # fmt: skip
    for name, values in over_time.items():
        yield Field(
            id=f"strain.{name}.segments.curve",
            code=_GIVES[f"strain.{name}.curve"],
            site=codes.LEFT_VENTRICLE,
            values=np.round(100.0 * values, 2),
            unit="%",
            on="AHA17",
            times_ms=found.times_ms,
            of=(f"strain.{name}.segments",),
            evidence=(beat.seen,),
        )
    for name, values in peaks.items():
        yield from _segments(f"strain.{name}", 100.0 * values, beat)


def _segments(id: str, values: np.ndarray, beat: _Beat) -> Iterator[Item]:
    """Yield the peak of each segment that was followed, with its interval."""
    half = 1.96 * _SD[id.removeprefix("strain.")][1]
    for n in np.flatnonzero(np.isfinite(values)):
        value = float(values[n])
        yield Measurement(
            id=f"{id}.segment{n + 1}",
            code=_GIVES[id],
            site=codes.AHA17[n],
            value=round(value, 2),
            unit="%",
            uncertainty=Interval(round(value - half, 2), round(value + half, 2)),
            of=(f"{id}.segments",),
            evidence=(beat.seen,),
        )


def _torsion(beat: _Beat) -> Item:
    """Return the turning of the apical against the basal slices at end-systole: an estimate."""
    turned = beat.motion.turning_deg[beat.strain.end_systole]
    mean = {
        level: float(np.nanmean(turned[here]))
        for level in ("basal", "apical")
        if (here := np.array([at == level for at in beat.stack.levels]) & beat.motion.followed).any()
    }
    if len(mean) < 2:
        return _absent("torsion", "no basal or no apical slice was followed", beat.seen)
    # Counted from the apex: an apex that turns against the clock of the usual picture is positive.
    sign = -1.0 if beat.stack.clockwise else 1.0
    return Measurement(
        id="torsion",
        code=codes.TORSION_ESTIMATED,
        site=codes.LEFT_VENTRICLE,
        value=round(sign * (mean["apical"] - mean["basal"]), 1),
        unit="deg",
        uncertainty=Unknown(_ESTIMATED),
        of=("ventricles",),
        evidence=(beat.seen,),
    )
