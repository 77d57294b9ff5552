"""Computed ratio and drop of pressure in the artery of a kidney."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.apps.vessel_pressure import items, lumen
from carna.apps.vessel_pressure.history import RENAL, outside
from carna.apps.vessel_pressure.pressures import mean_pressure
from carna.findings import Item, Region, Shape
from carna.flow import renal
from carna.flow.assess import assess
from carna.flow.geometry import named, reference_radius
from carna.study import Geometry, Record

SIZES: Final = lumen.Sizes("a renal artery", (2.5, 12.0), (10.0, 200.0))
NUMBERS: Final = (
    ("ratio", codes.PD_PA_COMPUTED),
    ("lesions.low", codes.PD_PA_LOW),
)
# A verdict is given where at least this share of the samples stands behind it.
SURE: Final = 0.9


@application(
    version="1.0",
    gives=(codes.FLOW_APPLICABLE, codes.PD_PA_COMPUTED, codes.PD_PA_LOW),
    may_give=(
        *(codes.ARTERY_LUMEN, codes.STENOTIC_SEGMENT, codes.LESION_PLACE, codes.DIAMETER_STENOSIS),
        *(codes.MIN_LUMEN_DIAMETER, codes.LESION_LENGTH, codes.PRESSURE_DROP, codes.PD_PA_IF_OPEN),
    ),
    cites=("doi:10.1016/j.jacc.2006.05.074", "doi:10.1016/0021-9290(73)90099-7"),
    stakes="high",
)
def renal_ffr(
    vessels: Annotated[
        Region | Shape | Geometry,
        Need(
            "one kidney's artery: labels of its lumen, its centre lines with radii, or its surface",
            vessel="renal",
            finding=codes.RENAL_ARTERY,
        ),
    ],
    record: Annotated[Record | None, Need("pressure, age, earlier treatment")],
    *,
    history: Annotated[
        Literal[
            "not stated",
            "none of these",
            "a stent",
            "a transplanted kidney",
            "an occluded artery",
            "fibromuscular dysplasia",
        ],
        Setting(doc="what is known of the patient, beside the record"),
    ] = "not stated",
    pressure: Annotated[
        float, Setting("mm[Hg]", 0, 200, "mean aortic pressure; 0: from the record, else 93")
    ] = 0.0,
    flow: Annotated[
        float, Setting("mL/s", 0, 20, "measured resting flow to this kidney; 0: 8 is assumed")
    ] = 0.0,
    state: Annotated[Literal["rest", "hyperaemia"], Setting(doc="at rest, or dilated by a drug")] = "rest",
    cut: Annotated[float, Setting("1", 0.7, 0.95, "criterion: computed Pd/Pa at or below this")] = 0.90,
    narrowest: Annotated[
        float, Setting("mm", 1.0, 4.0, "vessels with a smaller healthy diameter are not spoken of")
    ] = 2.0,
    samples: Annotated[int, Setting("1", 200, 5000, "samples of what is not known exactly")] = 1000,
    job: Job,
) -> tuple[Item, ...]:
    """Compute the ratio and the drop of pressure over a renal artery, with their uncertainty.

    A steady solver takes the shape of the artery to pressures, a thousand times with what is not known
    exactly drawn anew. The value of record lies 10 to 20 mm beyond a lesion, not at the tip.
    """
    job.progress(0.0, "vessels")
    found = lumen.trace(vessels, SIZES)
    today = found.time or (record.origin.time if record is not None else "")
    why, rests_on = outside(history, record, today, RENAL)
    if why or found.poor:
        return tuple(items.nothing(why or found.poor, found.seen, codes.RENAL_ARTERY, NUMBERS))
    tree = named(found.vessels, side=None)
    healthy = reference_radius(tree)
    mean, measured = mean_pressure(pressure, record)
    boundary = renal(tree, pressure_mmHg=mean, flow_ml_s=flow or None, state=state, reference_mm=healthy)
    told = [measured, f"resting flow {flow:g} mL/s (given)" if flow else ""]
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
        return tuple(items.nothing(why, found.seen, codes.RENAL_ARTERY, NUMBERS))
    speech = items.Speech(
        f"computed Pd/Pa {'at rest' if state == 'rest' else 'under hyperaemia'}", codes.PD_PA_COMPUTED,
        codes.PD_PA_IF_OPEN, codes.PD_PA_LOW, None, codes.RENAL_ARTERY, cut,
        lambda name: codes.RENAL_ARTERY, lambda value, below: _verdict(below),
    )  # fmt: skip
    return (
        *items.applies(rests_on, items.described(judged, found.notes, narrowest), found.seen),
        items.assumed(boundary, tuple(filter(None, told)), found.seen),
        *items.spoken(judged, speech, found.seen),
    )


def _verdict(below: float) -> tuple[Literal["met", "not met", "not assessable"], str]:
    if below >= SURE:
        return "met", f"at or below the cut-off in at least {SURE:.0%} of the samples"
    if below <= 1 - SURE:
        return "not met", f"above the cut-off in at least {SURE:.0%} of the samples"
    return "not assessable", "the samples lie on both sides of the cut-off, indeterminate: measure"
