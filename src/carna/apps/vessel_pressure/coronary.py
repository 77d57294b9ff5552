"""Computed fractional flow reserve of a coronary tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.apps.vessel_pressure import items, lumen
from carna.apps.vessel_pressure.history import CORONARY, outside
from carna.apps.vessel_pressure.pressures import heart_rate, mean_pressure
from carna.codes import Concept
from carna.findings import Absent, Evidence, Interval, Item, Measurement, Region, Shape
from carna.flow import Boundary, coronary
from carna.flow.assess import Assessment, assess
from carna.flow.geometry import named, reference_radius
from carna.flow.uncertain import MEASURED
from carna.study import Geometry, Record

SIZES: Final = lumen.Sizes("a coronary tree", (1.5, 8.0), (12.0, 250.0))
# Of the left ventricle's mass: 12 and 5 of its 17 segments are given to the left and the right tree
# (Cerqueira et al. 2002, doi:10.1161/hc0402.102975); in the single patient they vary widely.
SHARE: Final = {"left": 12 / 17, "right": 5 / 17}
NUMBERS: Final = (
    ("ratio", codes.FFR_COMPUTED),
    ("lesions.low", codes.FFR_LOW),
    ("cfr", codes.CORONARY_FLOW_RESERVE),
    ("imr", codes.IMR),
)
GREY: Final = 0.05
CALIBRATION: Final = (
    "docs/flow.md, virtual lesions: of 99 with 0.5 to 0.8 (mean 0.65) 0.56 were at or below 0.80, of 90 "
    "with 0.2 to 0.5 0.31"
)
_SITES: Final = (
    ("LM", codes.LEFT_MAIN),
    ("LAD", codes.LAD),
    ("LCx", codes.LCX),
    ("RCA", codes.RCA),
    ("PDA", codes.PDA),
    ("D1", codes.FIRST_DIAGONAL),
    ("OM1", codes.FIRST_MARGINAL),
    ("IM", codes.RAMUS),
)
_MEASURED = "given from a measurement only, since an assumed one would return its own assumption"


@application(
    version="1.0",
    gives=(
        codes.FLOW_APPLICABLE,
        codes.FFR_COMPUTED,
        codes.FFR_LOW,
        codes.CORONARY_FLOW_RESERVE,
        codes.IMR,
    ),
    may_give=(
        *(codes.ARTERY_LUMEN, codes.STENOTIC_SEGMENT, codes.LESION_PLACE, codes.DIAMETER_STENOSIS),
        *(codes.MIN_LUMEN_DIAMETER, codes.LESION_LENGTH, codes.FFR_DROP, codes.PRESSURE_DROP),
        *(codes.FFR_IF_OPEN, codes.PULL_BACK_INDEX),
    ),
    cites=(
        "doi:10.1016/j.jacc.2013.11.043",
        "doi:10.1016/0021-9290(73)90099-7",
        "doi:10.1016/j.jacc.2019.07.072",
    ),
    stakes="high",
)
def coronary_ffr(
    vessels: Annotated[
        Region | Shape | Geometry,
        Need(
            "a coronary tree: labels of its lumen, its centre lines with radii, or its surface",
            vessel="coronary",
            finding=codes.CORONARY_ARTERY,
        ),
    ],
    record: Annotated[Record | None, Need("pressure, age, earlier treatment")],
    mass: Annotated[Measurement | None, Need("left ventricular mass", finding=codes.LV_MASS)],
    *,
    history: Annotated[
        Literal[
            "not stated",
            "none of these",
            "a stent",
            "a bypass graft",
            "a prosthetic valve",
            "severe aortic stenosis",
            "an occluded artery",
            "an infarct within 30 days",
        ],
        Setting(doc="what is known of the patient, beside the record"),
    ] = "not stated",
    side: Annotated[
        Literal["as labelled", "left", "right"], Setting(doc="which coronary tree it is")
    ] = "as labelled",
    pressure: Annotated[
        float, Setting("mm[Hg]", 0, 200, "mean aortic pressure; 0: from the record, else 93")
    ] = 0.0,
    muscle: Annotated[
        float,
        Setting(
            "g", 0, 500, "left ventricular mass; 0: from earlier findings, else flow from the inlet's size"
        ),
    ] = 0.0,
    flow: Annotated[
        float, Setting("mL/s", 0, 30, "measured hyperaemic flow into this tree; 0: not measured")
    ] = 0.0,
    rest_flow: Annotated[
        float, Setting("mL/s", 0, 15, "measured resting flow into this tree; 0: not measured")
    ] = 0.0,
    transit: Annotated[
        float,
        Setting("s", 0, 3, "measured mean hyperaemic transit time beyond the lowest value; 0: not measured"),
    ] = 0.0,
    cut: Annotated[float, Setting("1", 0.7, 0.9, "criterion: computed FFR at or below this")] = 0.80,
    narrowest: Annotated[
        float, Setting("mm", 1.0, 3.0, "vessels with a smaller healthy diameter are not spoken of")
    ] = 1.5,
    samples: Annotated[int, Setting("1", 200, 5000, "samples of what is not known exactly")] = 1000,
    job: Job,
) -> tuple[Item, ...]:
    """Compute fractional flow reserve along a coronary tree, with its uncertainty.

    A steady solver takes the shape of the vessels to pressures under hyperaemia, a thousand times with what
    is not known exactly drawn anew. The value of record lies 10 to 20 mm beyond a lesion, not at the tip.
    """
    job.progress(0.0, "vessels")
    found = lumen.trace(vessels, SIZES)
    today = found.time or (record.origin.time if record is not None else "")
    why, rests_on = outside(history, record, today, CORONARY)
    if why or found.poor:
        return tuple(items.nothing(why or found.poor, found.seen, codes.CORONARY_ARTERY, NUMBERS))
    which = found.side if side == "as labelled" else side
    tree = named(found.vessels, side=which, lps=found.placed)
    healthy = reference_radius(tree)
    grams = muscle or (mass.value if mass is not None else 0.0)
    mean, measured = mean_pressure(pressure, record)
    boundary = coronary(
        tree,
        pressure_mmHg=mean,
        mass_g=(grams * SHARE[which] or None) if which else None,
        flow_ml_s=flow or None,
        reference_mm=healthy,
    )
    told = [measured, heart_rate(record)]
    if flow:
        told.append(f"hyperaemic flow {flow:g} mL/s (given)")
    elif grams and which:
        told.append(
            f"left ventricular mass {grams:.0f} g, {SHARE[which]:.0%} of it taken as fed by the {which} tree"
        )
    job.progress(0.1, "pressures")
    judged = assess(
        tree,
        boundary,
        reference_mm=healthy,
        cut=cut,
        least_diameter_mm=narrowest,
        samples=samples,
        seed=job.seed,
        progress=job.progress.part(0.1, 1.0),
    )
    if not judged.shown.any():
        why = f"no vessel is {narrowest:g} mm wide"
        return tuple(items.nothing(why, found.seen, codes.CORONARY_ARTERY, NUMBERS))
    speech = items.Speech(
        "computed FFR", codes.FFR_COMPUTED, codes.FFR_IF_OPEN, codes.FFR_LOW, codes.FFR_DROP,
        codes.CORONARY_ARTERY, cut, _site, lambda value, below: _verdict(value, cut), CALIBRATION,
    )  # fmt: skip
    return (
        *items.applies(rests_on, items.described(judged, found.notes, narrowest), found.seen),
        items.assumed(boundary, tuple(filter(None, told)), found.seen),
        *items.spoken(judged, speech, found.seen),
        *_function(judged, boundary, flow, rest_flow, transit, found.seen),
    )


def _function(
    judged: Assessment,
    boundary: Boundary,
    flow: float,
    rest_flow: float,
    transit: float,
    seen: tuple[Evidence, ...],
) -> Iterator[Item]:
    """Yield coronary flow reserve and the index of microcirculatory resistance, where they were measured."""
    spread = np.log(MEASURED["flow"].high)
    if flow and rest_flow:
        ratio, off = flow / rest_flow, float(np.exp(np.sqrt(2) * spread))
        yield Measurement(
            id="cfr", code=codes.CORONARY_FLOW_RESERVE, site=codes.CORONARY_ARTERY, value=ratio, unit="1",
            uncertainty=Interval(ratio / off, ratio * off, items.LEVEL), evidence=seen,
        )  # fmt: skip
    else:
        yield Absent(
            id="cfr", code=codes.CORONARY_FLOW_RESERVE, site=codes.CORONARY_ARTERY,
            why=f"flow reserve is {_MEASURED}: give the measured flow at rest and under hyperaemia",
            evidence=seen,
        )  # fmt: skip
    if transit and judged.lesions and boundary.pressure_mmHg:
        lowest = min(judged.lesions, key=lambda x: x.value.median).value
        low, middle, high = (
            boundary.pressure_mmHg * x * transit for x in (lowest.low, lowest.median, lowest.high)
        )
        off = float(np.exp(spread))
        yield Measurement(
            id="imr", code=codes.IMR, site=codes.CORONARY_ARTERY, value=middle, unit="mm[Hg].s",
            uncertainty=Interval(low / off, high * off, items.LEVEL), evidence=seen,
        )  # fmt: skip
    else:
        yield Absent(
            id="imr", code=codes.IMR, site=codes.CORONARY_ARTERY,
            why=f"it is distal pressure times transit time, {_MEASURED}: give the measured transit time "
            "beyond a lesion", evidence=seen,
        )  # fmt: skip


def _site(name: str) -> Concept:
    return next((site for part, site in _SITES if part in name.split()), codes.CORONARY_ARTERY)


def _verdict(value: float, cut: float) -> tuple[Literal["met", "not met", "not assessable"], str]:
    if value > cut:
        return "not met", f"above {cut:.2f}"
    if value >= round(cut - GREY, 2):
        return "not assessable", f"from {cut - GREY:.2f} to {cut:.2f}, indeterminate: measure"
    return "met", f"below {cut - GREY:.2f}"
