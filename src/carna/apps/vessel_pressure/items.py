"""An assessment in findings: the tree with its ratio, the pull-backs, and one set of numbers for each lesion.

``tree`` is the part of the vessels that is spoken of, ``tree.narrow`` the rest; ``ratio``, ``ratio.low`` and
``ratio.high`` are the median and the 90 % band on it. ``pullback.v1`` is the main vessel from the inlet,
``lesion1`` the narrowing nearest to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from carna import codes
from carna.codes import Concept
from carna.findings import (
    Absent,
    Curve,
    Evidence,
    Field,
    Interval,
    Item,
    Measurement,
    Shape,
    Statement,
)
from carna.flow.assess import Assessment, Band, Judged
from carna.flow.boundary import DEFAULTS, Boundary
from carna.space import VesselTree
from carna.units import display

LEVEL: Final = 0.9
# A ratio is read beyond a lesion or not at all: this far at least, mm.
BEYOND_MM: Final = 3.0
# What the inputs of `carna.flow.uncertain` are called where a person reads them.
INPUTS: Final = {
    "resistance": "resistance of the small vessels",
    "radius": "the radii",
    "pressure_mmHg": "pressure at the inlet",
    "viscosity_mPas": "viscosity",
    "expansion": "the jet's loss coefficient",
    "exponent": "how flow is shared among branches",
}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """How the ratio of one kind of artery is spoken of.

    Attributes
    ----------
    name : str
        ``computed FFR``.
    ratio, opened, low : Concept
        Codes of the ratio, of the ratio without the lesion, of the verdict.
    drop : Concept or None
        Code of the ratio's drop, where it is given.
    site : Concept
    cut : float
    site_of : callable
        The name of a segment to its site.
    verdict : callable
        Median and probability to the verdict and what is said of it.
    calibration : str
        Record that calibrates the probability, "" if there is none.
    """

    name: str
    ratio: Concept
    opened: Concept
    low: Concept
    drop: Concept | None
    site: Concept
    cut: float
    site_of: Callable[[str], Concept]
    verdict: Callable[[float, float], tuple[Literal["met", "not met", "not assessable"], str]]
    calibration: str = ""


def spoken(found: Assessment, speech: Speech, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    """Yield all that is said of an assessment."""
    yield from _trees(found, speech, seen)
    yield from _pulls(found, speech, seen)
    for n, one in enumerate(found.lesions, 1):
        yield from _lesion(found, one, n, speech, seen)
    if not found.lesions:
        why = "no narrowing of 30 % of the diameter where the vessels are wide enough: no place of record"
        yield Absent(
            id="lesions.low", code=speech.low, why=why, reason=codes.VALUE_INDETERMINATE, evidence=seen
        )


def applies(rests_on: str, lumen: str, seen: tuple[Evidence, ...]) -> Iterator[Statement]:
    """Yield that nothing known rules the computation out, and what the vessels are like."""
    known = not rests_on.startswith("not known")
    rows: tuple[tuple[str, Literal["met", "not assessable"], str], ...] = (
        ("history", "met" if known else "not assessable", rests_on),
        ("lumen", "met", lumen),
    )
    for id, verdict, rule in rows:
        yield Statement(
            id=f"applies.{id}", code=codes.FLOW_APPLICABLE, verdict=verdict, rule=rule, evidence=seen
        )


def nothing(
    why: str, seen: tuple[Evidence, ...], site: Concept, numbers: tuple[tuple[str, Concept], ...]
) -> Iterator[Item]:
    """Yield what is said outside the conditions: why, and for each number by its id that it is absent."""
    yield Statement(id="applies", code=codes.FLOW_APPLICABLE, verdict="not met", rule=why, evidence=seen)
    for id, code in numbers:
        yield Absent(id=id, code=code, site=site, why=why, reason=codes.OUT_OF_RANGE)


def described(found: Assessment, notes: tuple[str, ...], narrowest_mm: float) -> str:
    """Return the vessels in words: how much of them is spoken of, what was mended, what was left out."""
    length = sum(float(found.vessels.along_mm(n)[-1]) for n in range(len(found.vessels)))
    told = [
        f"lumen: {len(found.vessels)} segments of {length:.0f} mm together",
        f"{found.shown.mean():.0%} of the points lie in vessels of {narrowest_mm:g} mm and more",
    ]
    if found.narrow:
        told.append(f"narrowings in vessels smaller than that, not judged: {len(found.narrow)}")
    return "; ".join((*told, *notes))


def assumed(boundary: Boundary, measured: tuple[str, ...], seen: tuple[Evidence, ...]) -> Statement:
    """Return what was measured of the patient and what was taken for want of a measurement, with sources."""
    lines = [
        f"{k.value:g} {display(k.unit)}".strip() + f" ({k.low:g} to {k.high:g}; {k.source})"
        for k in (DEFAULTS[name] for name in boundary.assumed)
    ]
    rule = f"measured: {'; '.join(measured) or 'nothing'}"
    rule += f"; assumed: {'; '.join(lines)}" if lines else ""
    return Statement(
        id="applies.inputs",
        code=codes.FLOW_APPLICABLE,
        verdict="met" if measured else "not met",
        rule=f"pressure or flow of the patient was measured; {rule}",
        evidence=seen,
    )


def _trees(found: Assessment, speech: Speech, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    """Yield the vessels that are spoken of with their ratio, and the rest without."""
    edges = np.concatenate([np.stack([at[:-1], at[1:]], 1) for at in found.vessels.segments])
    inside = found.shown[edges].all(1)
    for id, rows in (("tree", edges[inside]), ("tree.narrow", edges[~inside])):
        if not len(rows):
            continue
        used, index = np.unique(rows, return_inverse=True)
        shape = VesselTree(
            found.vessels.points[used], index.reshape(rows.shape), found.vessels.radius_mm[used]
        )
        yield Shape(id=id, code=codes.ARTERY_LUMEN, site=speech.site, shape=shape, evidence=seen)
        if id == "tree":
            for suffix, values in (
                ("", found.sure.median),
                (".low", found.sure.low),
                (".high", found.sure.high),
            ):
                yield Field(
                    id=f"ratio{suffix}",
                    code=speech.ratio,
                    site=speech.site,
                    values=values[used],
                    unit="1",
                    on="tree",
                    of=("tree",),
                    evidence=seen,
                )


def _pulls(found: Assessment, speech: Speech, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    for n, one in enumerate(found.pulled, 1):
        site = speech.site_of(found.vessels.names[one.line[-1]])
        for suffix, y in (("", one.median), (".low", one.low), (".high", one.high)):
            yield Curve(
                id=f"pullback.v{n}{suffix}",
                code=speech.ratio,
                site=site,
                x=one.curve.along_mm,
                y=y,
                x_unit="mm",
                y_unit="1",
                of=("ratio",),
                evidence=seen,
            )
        if speech.drop is None:
            continue
        id, of = f"ppg.v{n}", (f"pullback.v{n}",)
        if one.index is None:
            why = "the whole loss along this vessel is below 0.05 in part of the samples: it has no pattern"
            yield Absent(
                id=id, code=codes.PULL_BACK_INDEX, site=site, why=why, reason=codes.VALUE_INDETERMINATE, of=of
            )
        else:
            yield _number(id, codes.PULL_BACK_INDEX, one.index, "1", site, of, seen)


def _lesion(
    found: Assessment, one: Judged, n: int, speech: Speech, seen: tuple[Evidence, ...]
) -> Iterator[Item]:
    lesion, vessels = one.read.lesion, found.vessels
    name = vessels.names[lesion.segment]
    site = speech.site_of(name)
    mine = f"lesion{n}"
    at = next((k for k, p in enumerate(found.pulled, 1) if p.line == lesion.line), None)
    of = (mine, *((f"pullback.v{at}",) if at else ()))
    line = np.arange(len(lesion.points))
    points = vessels.points[lesion.points]
    if len(points) > 1:
        shape = VesselTree(points, np.stack([line[:-1], line[1:]], 1), vessels.radius_mm[lesion.points])
        yield Shape(id=mine, code=codes.STENOTIC_SEGMENT, site=site, shape=shape, evidence=seen)
    step = float(np.diff(vessels.from_inlet_mm[lesion.points]).max())
    place = Band(lesion.throat_mm, max(0.0, lesion.throat_mm - step), lesion.throat_mm + step)
    depth = Band(*(100 * x for x in (one.stenosis.median, one.stenosis.low, one.stenosis.high)))
    rows = (
        ("place", codes.LESION_PLACE, place, "mm"),
        ("stenosis", codes.DIAMETER_STENOSIS, depth, "%"),
        ("throat", codes.MIN_LUMEN_DIAMETER, one.throat_mm, "mm"),
        ("length", codes.LESION_LENGTH, one.length_mm, "mm"),
    )
    for suffix, code, band, unit in rows:
        yield _number(f"{mine}.{suffix}", code, band, unit, site, of, seen)
    where = f"lesion {n} ({name}, {lesion.start_mm:.0f} to {lesion.end_mm:.0f} mm from the inlet)"
    if one.read.beyond_mm < BEYOND_MM:
        why = f"{where} reaches the end of its vessel: the {speech.name} of record is read beyond a lesion"
        yield Absent(
            id=f"{mine}.ratio", code=speech.ratio, site=site, why=why,
            reason=codes.VALUE_INDETERMINATE, of=of, evidence=seen,
        )  # fmt: skip
        yield Statement(
            id=f"{mine}.low", code=speech.low, verdict="not assessable", rule=why, of=of, evidence=seen
        )  # fmt: skip
        return
    yield _number(f"{mine}.ratio", speech.ratio, one.value, "1", site, ("ratio", *of), seen)
    if speech.drop is not None:
        yield _number(f"{mine}.drop", speech.drop, one.drop, "1", site, ("ratio", *of), seen)
    yield _number(f"{mine}.gradient", codes.PRESSURE_DROP, one.gradient_mmHg, "mm[Hg]", site, of, seen)
    yield _number(f"{mine}.if_open", speech.opened, one.opened, "1", site, ("ratio", *of), seen)
    verdict, said = speech.verdict(round(one.value.median, 2), one.below)
    rule = (
        f"{speech.name} {_say(one.value)}, {one.read.beyond_mm:.0f} mm beyond {where}; {said}",
        "" if speech.calibration else f"at or below {speech.cut:.2f} in {one.below:.0%} of the samples",
        f"if this segment had its reference radius, {speech.name} would be {_say(one.opened)}",
        "what matters most: "
        + ", ".join(f"{INPUTS[k]} ({a:.2f}-{b:.2f})" for k, (a, b) in list(one.tornado.items())[:2]),
        one.read.note,
    )
    yield Statement(
        id=f"{mine}.low",
        code=speech.low,
        verdict=verdict,
        rule="; ".join(filter(None, rule)),
        probability=one.below if speech.calibration else None,
        calibration=speech.calibration,
        of=(f"{mine}.ratio", f"{mine}.if_open"),
        evidence=seen,
    )


def _say(band: Band) -> str:
    return f"{band.median:.2f} ({band.low:.2f}-{band.high:.2f})"


def _number(
    id: str,
    code: Concept,
    band: Band,
    unit: str,
    site: Concept,
    of: tuple[str, ...],
    seen: tuple[Evidence, ...],
) -> Measurement:
    interval = Interval(min(band.low, band.median), max(band.high, band.median), LEVEL)
    return Measurement(
        id=id, code=code, site=site, value=band.median, unit=unit, uncertainty=interval, of=of, evidence=seen
    )
