"""Where the heart is in a short-axis cine, and when it is full and empty: from motion alone."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
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
    Unknown,
)
from carna.image import HeartRegion, locate_heart
from carna.study import Cine

# Below this margin a right ventricle may be taken for the left one: see docs/heart-locate.md.
SURE = 0.4
_NO_TRUTH = "the fullest and emptiest frame of a curve; frames between two samples are not told apart"


@application(
    version="1.0",
    gives=(
        codes.REGION_OF_INTEREST,
        codes.PLACE_SURE,
        codes.END_DIASTOLE,
        codes.END_SYSTOLE,
        codes.TIME_TO_END_SYSTOLE,
        codes.BRIGHT_BLOOD,
    ),
    cites=("doi:10.1145/360666.360677",),
)
def heart_locate(
    cine: Annotated[Cine, Need("a short-axis cine of at least two phases", view="SAX", min_phases=2)],
    *,
    margin: Annotated[float, Setting("mm", 0, 40, "margin kept around the moving heart")] = 0.0,
    job: Job,
) -> tuple[Item, ...]:
    """Locate the beating heart in a short-axis cine, with its end-diastolic and end-systolic frame.

    No network and no training: the heart is what moves once a beat, the left ventricle is the
    bright disc in the dark ring there, and it is full when there is most bright blood.
    """
    times = np.median(cine.times_ms, axis=1)
    found = locate_heart(
        cine.values.array,
        spacing_mm=cine.spacing_mm,
        times_ms=times,
        progress=job.progress,
    )
    seen = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    if found.status == "not assessable":
        return tuple(
            Absent(id=id, code=code, why=found.reason, reason=codes.MEASUREMENT_FAILURE, evidence=(seen,))
            for id, code in _IDS.items()
        )
    region = Region(
        id="heart",
        # What moves is a place to look, not a segmentation of the heart.
        code=codes.REGION_OF_INTEREST,
        site=codes.HEART,
        labels=_labels(found, margin / cine.planes[0].spacing_mm[1]),
        planes=cine.planes,
        segments=(Segment(1, codes.HEART),),
        evidence=(seen,),
    )
    curve = Curve(
        id="heart.blood",
        code=codes.BRIGHT_BLOOD,
        x=times,
        y=np.asarray(found.curve, float),
        x_unit="ms",
        y_unit="1",
        of=("heart",),
        evidence=(seen,),
    )
    sure = Statement(
        id="heart.sure",
        code=codes.PLACE_SURE,
        verdict="met" if found.confidence >= SURE else "not met",
        rule=f"the place stands out: {found.confidence:.2f} ahead of the second best, at least {SURE} needed",
        of=("heart",),
        evidence=(seen,),
    )
    return (region, sure, curve, *_frames(found, cine, times))


_IDS = {
    "heart": codes.REGION_OF_INTEREST,
    "heart.sure": codes.PLACE_SURE,
    "heart.blood": codes.BRIGHT_BLOOD,
    "heart.ed": codes.END_DIASTOLE,
    "heart.es": codes.END_SYSTOLE,
    "heart.es.time": codes.TIME_TO_END_SYSTOLE,
}


def _frames(found: HeartRegion, cine: Cine, times: np.ndarray) -> tuple[Item, ...]:
    """Return end-diastole and end-systole, or why they are not told."""
    part = cine.origin.uid
    if found.ed is None or found.es is None:
        return tuple(
            Absent(id=id, code=code, why=found.reason, reason=codes.VALUE_INDETERMINATE, of=("heart.blood",))
            for id, code in _IDS.items()
            if id.startswith("heart.e")
        )
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    last = len(times)

    def spread_of(at: int, spread: float) -> Interval | Unknown:
        if last <= 2:
            return Unknown(_NO_TRUTH)
        # The beat is a circle: past its last frame comes its first, and no interval says that.
        if spread > 0 and not 0 <= at - spread <= at + spread <= last - 1:
            reach = range(-math.ceil(spread), math.ceil(spread) + 1)
            around = ", ".join(str((at + k) % last + 1) for k in reach)
            return Unknown(f"frames {around} look alike within the stated spread; the beat is a circle")
        return Interval(at + 1 - spread, at + 1 + spread, 0.95)

    def frame(id: str, at: int, spread: float) -> Measurement:
        return Measurement(
            id=id,
            code=_IDS[id],
            value=float(at + 1),
            unit="1",
            uncertainty=spread_of(at, spread),
            of=("heart.blood",),
            evidence=(Evidence(part, frames=(at,)),),
        )

    half = max(found.es_spread, 0.5) * step
    return (
        frame("heart.ed", found.ed, found.ed_spread),
        frame("heart.es", found.es, found.es_spread),
        Measurement(
            id="heart.es.time",
            code=codes.TIME_TO_END_SYSTOLE,
            value=float(times[found.es]),
            unit="ms",
            uncertainty=Interval(max(0.0, times[found.es] - half), times[found.es] + half, 0.95)
            if last > 2
            else Unknown(_NO_TRUTH),
            of=("heart.es",),
            evidence=(Evidence(part, frames=(found.es,)),),
        ),
    )


def _labels(found: HeartRegion, margin_px: float) -> np.ndarray:
    """Return the mask as labels, grown in the plane by a margin."""
    if margin_px < 0.5:
        return found.mask.astype(np.uint8)
    from scipy.ndimage import distance_transform_edt

    outside = [
        distance_transform_edt(~plane) if plane.any() else np.full(plane.shape, np.inf)
        for plane in found.mask
    ]
    return (np.stack(outside) <= margin_px).astype(np.uint8)
