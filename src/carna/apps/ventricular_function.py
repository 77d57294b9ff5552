"""Volumes, ejection fractions, output and mass of both ventricles, from their outlines in a short-axis
cine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import (
    Absent,
    Curve,
    Evidence,
    Interval,
    Item,
    Measurement,
    Region,
    Statement,
    Uncertainty,
    Unknown,
)
from carna.image.long_axis import LA as LEFT_ATRIUM
from carna.image.long_axis import Measured, biplane, fractions_of_beat, measure
from carna.image.ventricles import LV, MUSCLE_G_PER_ML, MYOCARDIUM, RV, cut_at_both_ends
from carna.image.ventricles.drivers import drivers
from carna.image.ventricles.expected import ef_sd, volume_sd
from carna.study import Cine, Record

FARTHEST_MM = 20.0  # between slices: what lies in a wider gap is not known
_MEANING = {codes.RV_CAVITY: RV, codes.LV_MYOCARDIUM: MYOCARDIUM, codes.LV_CAVITY: LV}
_LONG_AXIS = _MEANING | {codes.LEFT_ATRIUM: LEFT_ATRIUM}
# The left atrium is largest at the ventricle's end-systole and smallest at its end-diastole.
_ATRIUM: dict[str, Concept] = {"la.max": codes.LA_ESV, "la.min": codes.LA_EDV, "la.curve": codes.LA_VOLUME}
_ATRIUM_SHARE = (
    0.15  # standard deviation of its volumes by two planes, on virtual hearts (docs/cmr-long-axis.md)
)
_CODES: dict[str, Concept] = {
    "lv.edv": codes.LV_EDV,
    "lv.esv": codes.LV_ESV,
    "lv.sv": codes.STROKE_VOLUME,
    "lv.ef": codes.LVEF_MR,
    "lv.co": codes.CARDIAC_OUTPUT,
    "lv.mass": codes.LV_MASS,
    "lv.curve": codes.LV_VOLUME,
    "rv.edv": codes.RV_EDV,
    "rv.esv": codes.RV_ESV,
    "rv.sv": codes.RV_STROKE_VOLUME,
    "rv.ef": codes.RVEF_MR,
    "rv.curve": codes.RV_VOLUME,
}
_INDEXED: dict[str, tuple[Concept, str]] = {
    "lv.edv": (codes.LV_EDV_INDEX, "mL/m2"),
    "lv.esv": (codes.LV_ESV_INDEX, "mL/m2"),
    "lv.sv": (codes.STROKE_INDEX, "mL/m2"),
    "lv.co": (codes.CARDIAC_INDEX, "L/min/m2"),
    "lv.mass": (codes.LV_MASS_INDEX, "g/m2"),
    "rv.edv": (codes.RV_EDV_INDEX, "mL/m2"),
    "rv.esv": (codes.RV_ESV_INDEX, "mL/m2"),
}
# Mean and standard deviation of healthy people of 45 to 74 years, 1.5 T, papillary muscles in the volume:
# Petersen 2017 (doi:10.1186/s12968-017-0327-9), abstract; the range is mean plus and minus two.
_REFERENCE = {
    ("lv.ef", "male"): (58.0, 5.0, "%"),
    ("lv.ef", "female"): (61.0, 5.0, "%"),
    ("lv.mass.index", "male"): (53.0, 9.0, "g/m2"),
    ("lv.mass.index", "female"): (42.0, 7.0, "g/m2"),
}
_REFERENCE_YEARS = (45.0, 75.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Beat:
    """Volumes (t,) mL of left cavity, right cavity and left muscle, the fullest and the emptiest frame."""

    lv: np.ndarray
    rv: np.ndarray
    wall: np.ndarray
    ed: int
    es: int


@application(
    version="1.0",
    gives=(
        *_CODES.values(),
        *_ATRIUM.values(),
        codes.END_DIASTOLE,
        codes.END_SYSTOLE,
        codes.VENTRICLES_COVERED,
    ),
    may_give=(
        *(code for code, _ in _INDEXED.values()),
        codes.LA_ESV_INDEX,
        codes.IN_REFERENCE,
        codes.EJECTED_BY_SLICE,
    ),
    cites=(
        "doi:10.1186/s12968-017-0327-9",
        "doi:10.1056/NEJM198710223171717",
        "doi:10.1016/j.echo.2014.10.003",
    ),
)
def ventricular_function(
    cine: Annotated[Cine, Need("the short-axis cine", modality="MR", view="SAX", min_phases=2, min_slices=3)],
    ventricles: Annotated[
        Region, Need("both ventricles outlined at every phase", finding=codes.BEATING_VENTRICLES)
    ],
    predicted: Annotated[
        tuple[Measurement, ...], Need("the Dice predicted for the outlines", finding=codes.PREDICTED_DICE)
    ],
    record: Annotated[Record | None, Need("age, sex, height and weight")],
    four: Annotated[
        Region | None, Need("the chambers outlined in a 4-chamber cine", finding=codes.CHAMBERS_4CH)
    ],
    two: Annotated[
        Region | None, Need("the chambers outlined in a 2-chamber cine", finding=codes.CHAMBERS_2CH)
    ],
    *,
    density: Annotated[float, Setting("g/mL", 1.0, 1.1, "of heart muscle")] = MUSCLE_G_PER_ML,
    job: Job,
) -> tuple[Item, ...]:
    """Measure both ventricles over the beat by summation of discs.

    Papillary muscles and trabeculae count as cavity, so mass is that of the compact wall. End-diastole and
    end-systole are the fullest and emptiest frame of the left ventricle, for both ventricles. The left atrium
    is measured by area and length in a 4-chamber and a 2-chamber plane, where both are outlined.
    """
    heights = _heights_mm(ventricles)
    labels = ventricles.relabelled(_MEANING)
    beat = _beat(ventricles, labels, heights)
    seen = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    why = _why_not(labels, heights, beat)
    job.progress(0.3, "volumes")
    atrium = tuple(_atrium(four, two, record))
    if why:
        return (
            *atrium,
            *_absent(why, codes.MEASUREMENT_FAILURE),
            Absent(id="ed", code=codes.END_DIASTOLE, why=why, reason=codes.MEASUREMENT_FAILURE),
            Absent(id="es", code=codes.END_SYSTOLE, why=why, reason=codes.MEASUREMENT_FAILURE),
            Absent(id="covered", code=codes.VENTRICLES_COVERED, why=why, reason=codes.MEASUREMENT_FAILURE),
        )
    expected = {_label_of(m): m.value for m in predicted}
    values = dict(_values(beat, float(np.median(cine.rr_ms)), density, expected))
    items: list[Item] = [
        *_measurements(values, seen),
        *_indexed(values, record),
        *_curves(beat, ventricles, seen),
        *_ejected(labels, heights, beat, seen),
        *_frames(beat, ventricles, cine),
        _covered(labels, beat),
        *atrium,
    ]
    if "rv.edv" not in values:
        items += _absent("no right ventricle is outlined at end-diastole", codes.VALUE_UNKNOWN, "rv")
    items += _compared([i for i in items if isinstance(i, Measurement)], record)
    job.progress(1.0, "function")
    return tuple(items)


def _heights_mm(region: Region) -> np.ndarray:
    """Return how much of the long axis each slice stands for, mm: half-way to its neighbours."""
    at = np.array([p.origin @ region.planes[0].normal for p in region.planes])
    steps = np.abs(np.diff(at))
    if not len(steps):
        return np.array([region.planes[0].spacing_mm[0]])
    return np.concatenate([[steps[0]], (steps[:-1] + steps[1:]) / 2, [steps[-1]]])


def _beat(region: Region, labels: np.ndarray, heights: np.ndarray) -> _Beat:
    pixel = np.array([np.prod(p.spacing_mm[1:]) for p in region.planes])
    ml = heights * pixel / 1e3
    lv, rv, wall = ((labels == label).sum((2, 3)) @ ml for label in (LV, RV, MYOCARDIUM))
    return _Beat(lv, rv, wall, int(lv.argmax()), int(lv.argmin()))


def _why_not(labels: np.ndarray, heights: np.ndarray, beat: _Beat) -> str:
    """Return why there is no volume, "" if there is."""
    if len(labels) < 2:
        return "outlines of one phase only: a beat has two at least"
    if heights.max() > FARTHEST_MM:
        return f"slices lie {heights.max():.0f} mm apart: what is between them was not seen"
    area = (labels[beat.ed] == LV).sum((1, 2))
    if (area > 0).sum() < 3:
        return f"the left ventricle is outlined in {int((area > 0).sum())} slices, 3 needed"
    if cut_at_both_ends(labels[beat.ed]):
        return "the stack ends within the left ventricle at both ends: the apex is missing"
    return ""


def _values(
    beat: _Beat, rr_ms: float, density: float, expected: dict[str, float]
) -> Iterator[tuple[str, tuple[float, str, Uncertainty]]]:
    """Yield id, and value, unit and uncertainty."""
    for side, volume in (("lv", beat.lv), ("rv", beat.rv)):
        edv, esv = float(volume[beat.ed]), float(volume[beat.es])
        if edv <= 0:
            continue
        dice = expected.get(side)
        yield f"{side}.edv", (edv, "mL", _spread(edv, dice, edv))
        yield f"{side}.esv", (esv, "mL", _spread(esv, dice, esv))
        yield f"{side}.sv", (edv - esv, "mL", _spread(edv - esv, dice, edv))
        ef = 100 * (1 - esv / edv)
        yield f"{side}.ef", (ef, "%", _of_sd(ef, None if dice is None else ef_sd(side, dice), 100.0))
        if side == "lv":
            output = (edv - esv) * 60.0 / rr_ms
            yield "lv.co", (output, "L/min", _spread(output, dice, edv * 60.0 / rr_ms))
    mass = float(beat.wall[beat.ed]) * density
    yield "lv.mass", (mass, "g", _spread(mass, expected.get("muscle"), mass))


def _spread(value: float, dice: float | None, scale: float) -> Uncertainty:
    return _of_sd(value, None if dice is None else scale * volume_sd(dice))


def _of_sd(value: float, sd: float | None, most: float = np.inf) -> Uncertainty:
    if sd is None:
        return Unknown("nothing is predicted of these outlines' error")
    low = value - 1.96 * sd
    return Interval(min(max(low, 0.0), value), max(min(value + 1.96 * sd, most), value), 0.95)


def _label_of(predicted: Measurement) -> str:
    return predicted.id.rsplit(".", 1)[-1]


def _measurements(values: dict[str, tuple[float, str, Uncertainty]], seen: Evidence) -> Iterator[Measurement]:
    for id, (value, unit, uncertainty) in values.items():
        yield Measurement(
            id=id,
            code=_CODES[id],
            value=value,
            unit=unit,
            uncertainty=uncertainty,
            of=("ventricles",),
            evidence=(seen,),
        )


def _indexed(values: dict[str, tuple[float, str, Uncertainty]], record: Record | None) -> Iterator[Item]:
    surface = record.surface_m2 if record else None
    if surface is None:
        return
    for id, (code, unit) in _INDEXED.items():
        if id not in values:
            continue
        value, _, uncertainty = values[id]
        if isinstance(uncertainty, Interval):
            uncertainty = Interval(uncertainty.low / surface, uncertainty.high / surface, uncertainty.level)
        yield Measurement(
            id=f"{id}.index",
            code=code,
            value=value / surface,
            unit=unit,
            uncertainty=uncertainty,
            of=(id,),
        )


def _curves(beat: _Beat, region: Region, seen: Evidence) -> Iterator[Item]:
    times = np.arange(len(beat.lv), dtype=float) if region.times_ms is None else np.asarray(region.times_ms)
    for side, volume in (("lv", beat.lv), ("rv", beat.rv)):
        if volume.any():
            yield Curve(
                id=f"{side}.curve",
                code=_CODES[f"{side}.curve"],
                x=times,
                y=volume,
                x_unit="ms",
                y_unit="mL",
                of=("ventricles",),
                evidence=(seen,),
            )


def _ejected(labels: np.ndarray, heights: np.ndarray, beat: _Beat, seen: Evidence) -> Iterator[Curve]:
    """Yield what the ejection fraction rests on: the share of the stroke volume of each slice."""
    if beat.lv[beat.ed] <= beat.lv[beat.es]:
        return
    share = 100.0 * drivers(labels, beat.ed, beat.es, heights).slices
    yield Curve(
        id="lv.ef.slices", code=codes.EJECTED_BY_SLICE, site=codes.LEFT_VENTRICLE,
        x=np.arange(1.0, len(share) + 1), y=share, x_unit="1", y_unit="%", of=("lv.ef",), evidence=(seen,),
    )  # fmt: skip


def _frames(beat: _Beat, region: Region, cine: Cine) -> Iterator[Item]:
    for id, code, frame in (("ed", codes.END_DIASTOLE, beat.ed), ("es", codes.END_SYSTOLE, beat.es)):
        yield Measurement(
            id=id,
            code=code,
            value=float(frame + 1),
            unit="1",
            uncertainty=Unknown("the fullest and emptiest frame; frames between two are not told apart"),
            of=("lv.curve",),
            evidence=(Evidence(cine.origin.uid, frames=(frame,)),),
        )


def _atrium(four: Region | None, two: Region | None, record: Record | None) -> Iterator[Item]:
    """Yield the volumes of the left atrium from two planes, or why there are none."""
    if four is None or two is None:
        missing = " and ".join(n for n, plane in (("4", four), ("2", two)) if plane is None)
        why = f"no outlines of a {missing}-chamber cine: the left atrium is measured in two planes"
        yield from _no_atrium(why, codes.VALUE_UNKNOWN)
        return
    try:
        found = biplane(_measured(four), _measured(two), (_phases(four), _phases(two)))
    except InputError as error:
        yield from _no_atrium(str(error), codes.MEASUREMENT_FAILURE)
        return
    volume, of, seen = found.atrium_ml, (four.id, two.id), (*four.evidence, *two.evidence)
    for id, value in (("la.max", float(volume.max())), ("la.min", float(volume.min()))):
        spread = _of_sd(value, _ATRIUM_SHARE * value)
        yield Measurement(
            id=id, code=_ATRIUM[id], site=codes.LEFT_ATRIUM, value=value, unit="mL", uncertainty=spread,
            of=of, evidence=seen,
        )  # fmt: skip
    surface = record.surface_m2 if record else None
    if surface is not None:
        index = float(volume.max()) / surface
        yield Measurement(
            id="la.max.index", code=codes.LA_ESV_INDEX, site=codes.LEFT_ATRIUM, value=index, unit="mL/m2",
            uncertainty=_of_sd(index, _ATRIUM_SHARE * index), of=("la.max",),
        )  # fmt: skip
    yield Curve(
        id="la.curve", code=_ATRIUM["la.curve"], site=codes.LEFT_ATRIUM, x=found.phases, y=volume, x_unit="1",
        y_unit="mL", of=of, evidence=seen,
    )  # fmt: skip


def _no_atrium(why: str, reason: Concept) -> Iterator[Absent]:
    for id, code in _ATRIUM.items():
        yield Absent(id=id, code=code, site=codes.LEFT_ATRIUM, why=why, reason=reason)


def _measured(plane: Region) -> Measured:
    rows, columns = plane.planes[0].spacing_mm[1:]
    return measure(plane.relabelled(_LONG_AXIS)[:, 0], (rows, columns))


def _phases(plane: Region) -> np.ndarray:
    """Return when the frames of a plane lie, as fractions of the beat."""
    times = np.arange(len(plane.frames)) if plane.times_ms is None else plane.times_ms
    return fractions_of_beat(np.asarray(times, float))


def _covered(labels: np.ndarray, beat: _Beat) -> Statement:
    """Say whether a slice without left ventricle lies beyond both ends."""
    area = (labels[beat.ed] == LV).sum((1, 2))
    ends = [name for name, at in (("first", 0), ("last", -1)) if area[at] > 0.3 * area.max()]
    rule = "at end-diastole the cavity ends within the stack"
    if ends:
        rule += f": the {' and the '.join(ends)} slice still shows much of it, and volumes may be too small"
    return Statement(
        id="covered",
        code=codes.VENTRICLES_COVERED,
        verdict="not met" if ends else "met",
        rule=rule,
        of=("ventricles",),
    )


def _compared(measured: list[Measurement], record: Record | None) -> Iterator[Statement]:
    """Compare with what healthy people of that sex and age have, where a publication says."""
    if record is None or record.age_a is None or record.sex is None:
        return
    low_a, high_a = _REFERENCE_YEARS
    if not low_a <= record.age_a < high_a:
        return
    for item in measured:
        found = _REFERENCE.get((item.id, record.sex))
        if found is None:
            continue
        mean, sd, unit = found
        low, high = mean - 2 * sd, mean + 2 * sd
        yield Statement(
            id=f"{item.id}.reference",
            code=codes.IN_REFERENCE,
            verdict="met" if low <= item.value <= high else "not met",
            rule=f"{low:g} to {high:g} {unit}: mean +- 2 SD of healthy {record.sex} people of 45-74 years, "
            "UK Biobank (Petersen 2017), 1.5 T, papillary muscles in the volume",
            of=(item.id,),
        )


def _absent(why: str, reason: Concept, side: str = "") -> tuple[Absent, ...]:
    return tuple(
        Absent(id=id, code=code, why=why, reason=reason, of=("ventricles",))
        for id, code in _CODES.items()
        if id.startswith(side)
    )
