"""Four chambers, left ventricular wall and great vessels in a CT or MR volume, and what each holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np

from carna import codes
from carna.app import Job, Need, application
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import Absent, Evidence, Interval, Item, Measurement, Region, Segment, Statement, Unknown
from carna.image.whole_heart import (
    AORTA,
    LEFT_ATRIUM,
    LV,
    MYOCARDIUM,
    PULMONARY_ARTERY,
    RIGHT_ATRIUM,
    RV,
    Chambers,
    kind_of,
    segment,
)
from carna.study import Image

SEGMENTS: Final = (
    Segment(RV, codes.RV_CAVITY),
    Segment(MYOCARDIUM, codes.LV_MYOCARDIUM),
    Segment(LV, codes.LV_CAVITY),
    Segment(LEFT_ATRIUM, codes.LEFT_ATRIUM),
    Segment(RIGHT_ATRIUM, codes.RIGHT_ATRIUM),
    Segment(AORTA, codes.AORTA),
    Segment(PULMONARY_ARTERY, codes.PULMONARY_ARTERY),
)
# Of chambers and wall; the vessels end where the picture does.
_MEASURED: Final = {
    LV: ("lv", codes.LEFT_VENTRICLE),
    RV: ("rv", codes.RIGHT_VENTRICLE),
    LEFT_ATRIUM: ("la", codes.LEFT_ATRIUM),
    RIGHT_ATRIUM: ("ra", codes.RIGHT_ATRIUM),
    MYOCARDIUM: ("wall", codes.LV_MYOCARDIUM),
}
_IDS: Final[dict[str, Concept]] = {
    "chambers.modality": codes.MODALITY_AGREES,
    "chambers": codes.FOUR_CHAMBERS,
    "chambers.whole": codes.HEART_IN_VOLUME,
    "chambers.trusted": codes.OUTLINES_TRUSTED,
    "chambers.phase": codes.PHASE_KNOWN,
    "chambers.lv": codes.CHAMBER_VOLUME,
}
# True over found volume. Lower ends: fresh virtual CT with contrast, mean less two standard deviations of the
# logarithm, or the least. Upper ends are wider than there: on the one real CT angiogram chambers and wall
# together held four fifths of what another program calls the heart (docs/heart-chambers.md).
_TRUE_OVER_FOUND: Final = {
    LV: (0.85, 1.6),
    RV: (0.85, 1.5),
    LEFT_ATRIUM: (0.54, 1.4),
    RIGHT_ATRIUM: (0.67, 1.4),
    MYOCARDIUM: (0.74, 1.4),
}
_LEAST_CONTRAST = 60.0  # HU between blood and muscle below which shape alone decides
_LEAST_CERTAIN = 0.75
_PERCENT = re.compile(r"(?<!\d)(\d{1,2}(?:\.\d+)?)\s?%")


@application(
    version="1.0",
    gives=tuple(_IDS.values()),
    cites=("doi:10.1007/978-3-319-24574-4_28", "doi:10.1016/j.media.2023.102789"),
)
def heart_chambers(
    image: Annotated[Image, Need("a CT or MR volume that holds the heart", min_slices=20)],
    *,
    job: Job,
) -> tuple[Item, ...]:
    """Label both ventricles, both atria, the left wall, aorta and pulmonary artery in a CT or MR volume.

    One volume is one moment of the beat: unless the header tells which, it is named as unknown, and no
    volume is called end-diastolic or end-systolic. The network was taught with virtual hearts alone.
    """
    evidence = Evidence(image.origin.uid, planes=tuple(range(image.grid.shape[0])))
    said = image.origin.modality
    if said not in ("CT", "MR", "OT", ""):
        return tuple(_nothing(f"a volume of modality {said}: CT or MR is needed", evidence))
    values = image.values.array
    kind = kind_of(values)
    names_one = said in ("CT", "MR")
    agrees = Statement(
        id="chambers.modality",
        code=codes.MODALITY_AGREES,
        verdict="not assessable" if not names_one else "met" if kind == said else "not met",
        rule=f"the header says {said if names_one else 'nothing'}; the values look like {kind}, "
        "and are read as such",
        evidence=(evidence,),
    )
    try:
        seen = segment(values, image.grid.affine, kind=kind, progress=job.progress.part(0.0, 0.95))
    except InputError as error:
        return (agrees, *(i for i in _nothing(str(error), evidence) if i.id != agrees.id))
    items = (agrees, *_items(seen, image, kind, evidence))
    job.progress(1.0, "chambers")
    return items


def _items(seen: Chambers, image: Image, kind: str, evidence: Evidence) -> Iterator[Item]:
    yield Region(
        id="chambers",
        code=codes.FOUR_CHAMBERS,
        site=codes.HEART,
        labels=seen.labels,
        planes=tuple(image.grid.plane(k) for k in range(image.grid.shape[0])),
        segments=tuple(s for s in SEGMENTS if s.label in seen.ml),
        evidence=(evidence,),
    )
    names = {s.label: s.code.meaning for s in SEGMENTS}
    missing = [names[n] for n in _MEASURED if n not in seen.ml]
    cut = [names[n] for n in seen.cut if n in _MEASURED]
    yield Statement(
        id="chambers.whole",
        code=codes.HEART_IN_VOLUME,
        verdict="not met" if cut or missing else "met",
        rule="no chamber touches the edge of the volume"
        + (f"; cut: {', '.join(cut)}" if cut else "")
        + (f"; not seen: {', '.join(missing)}" if missing else ""),
        of=("chambers",),
        evidence=(evidence,),
    )
    certain = float(np.mean([seen.certainty.get(n, 0.0) for n in _MEASURED]))
    told = kind == "MR" or seen.contrast >= _LEAST_CONTRAST
    yield Statement(
        id="chambers.trusted",
        code=codes.OUTLINES_TRUSTED,
        verdict="met" if told and certain >= _LEAST_CERTAIN else "not met",
        rule=f"three views agree with {certain:.2f}, at least {_LEAST_CERTAIN} needed"
        + (
            f"; blood {seen.contrast:.0f} HU above muscle, {_LEAST_CONTRAST:g} needed" if kind == "CT" else ""
        ),
        of=("chambers",),
        evidence=(evidence,),
    )
    phase = _phase(image)
    yield Statement(
        id="chambers.phase",
        code=codes.PHASE_KNOWN,
        verdict="met" if phase else "not assessable",
        rule=f"the volumes are of one moment of the beat: {phase or 'the header does not tell which'}",
        of=("chambers",),
        evidence=(evidence,),
    )
    for label, (id, site) in _MEASURED.items():
        yield _volume(f"chambers.{id}", label, site, seen, kind, told, evidence)


def _volume(
    id: str, label: int, site: Concept, seen: Chambers, kind: str, told: bool, evidence: Evidence
) -> Item:
    """Return the volume of a structure, or why it isn't told."""
    why = ""
    if label not in seen.ml:
        why = "it is not seen"
    elif label in seen.cut:
        why = f"it is cut by the edge of the volume; the part seen holds {seen.ml[label]:.0f} mL"
    if why:
        return Absent(
            id=id,
            code=codes.CHAMBER_VOLUME,
            site=site,
            why=why,
            reason=codes.MEASUREMENT_FAILURE,
            evidence=(evidence,),
        )
    ml = round(seen.ml[label], 2)
    low, high = _TRUE_OVER_FOUND[label]
    return Measurement(
        id=id,
        code=codes.CHAMBER_VOLUME,
        site=site,
        value=ml,
        unit="mL",
        uncertainty=Interval(round(low * ml, 2), round(high * ml, 2), 0.95)
        if told and kind == "CT"
        else Unknown("its error is known for virtual CT with contrast only"),
        of=("chambers",),
        evidence=(evidence,),
    )


def _phase(image: Image) -> str:
    """Return the moment of the beat that the header tells, "" if none."""
    trigger = image.origin.facts.get("TriggerTime")
    if isinstance(trigger, int | float) and trigger > 0:
        return f"{trigger:g} ms after the R wave"
    percent = _PERCENT.search(image.origin.label)
    if percent:
        return f"{percent[1]} % of the beat, as the series is named"
    return ""


def _nothing(why: str, evidence: Evidence) -> Iterator[Absent]:
    for id, code in _IDS.items():
        yield Absent(id=id, code=code, why=why, reason=codes.MEASUREMENT_FAILURE, evidence=(evidence,))
