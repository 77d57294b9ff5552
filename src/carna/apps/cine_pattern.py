"""Whether published criteria for four patterns of the ventricles are met in a short-axis cine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes.cine_patterns import FEATURES, PATTERNS, THICK_MM, Judgement, Pattern, judge
from carna.errors import InputError
from carna.findings import Absent, Evidence, Item, Measurement, Region, Statement, Unknown
from carna.heart.short_axis import short_axis
from carna.image.pattern import ANGLES, Features, features
from carna.image.ventricles import LV, MYOCARDIUM, POOR, RV, cut_at_both_ends
from carna.study import Cine, Record

_MEANING = {codes.RV_CAVITY: RV, codes.LV_MYOCARDIUM: MYOCARDIUM, codes.LV_CAVITY: LV}
_CODES = {
    **{f"pattern.{name}": code for name, code in PATTERNS.items()},
    **{f"pattern.seen.{name}": code for name, code in FEATURES.items()},
}
_WHY = "known on exact outlines only: docs/cine-pattern.md; outlines of a network add their own error"


@application(
    version="1.0",
    gives=tuple(_CODES.values()),
    cites=(
        "doi:10.1093/eurheartj/ehad194",
        "doi:10.1016/j.echo.2014.10.003",
        "doi:10.1038/s41598-018-25259-1",
        "doi:10.1016/j.jacc.2011.06.054",
        "doi:10.1186/s12968-017-0327-9",
        "doi:10.1109/TMI.2018.2837502",
    ),
)
def cine_pattern(
    cine: Annotated[Cine, Need("the short-axis cine", modality="MR", view="SAX", min_phases=2, min_slices=3)],
    ventricles: Annotated[
        Region, Need("both ventricles outlined at every phase", finding=codes.BEATING_VENTRICLES)
    ],
    predicted: Annotated[
        tuple[Measurement, ...], Need("the Dice predicted for the outlines", finding=codes.PREDICTED_DICE)
    ],
    record: Annotated[Record | None, Need("sex, height and weight")],
    *,
    thick: Annotated[
        float, Setting("mm", 12, 20, "wall of a hypertrophic pattern; 13 where a close relative has it")
    ] = THICK_MM,
    job: Job,
) -> tuple[Item, ...]:
    """Say which of four published patterns the ventricles meet: dilated, hypertrophic, regional, right.

    Criteria met, not met or not assessable, with the features that decided. A pattern is no disease: what
    caused it is not in these pictures.
    """
    seen = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    labels = ventricles.relabelled(_MEANING)
    job.progress(0.2, "form and beat")
    try:
        found = _features(labels, cine.spacing_mm, cine.handedness)
    except InputError as error:
        return tuple(
            Absent(id=id, code=code, why=str(error), reason=codes.MEASUREMENT_FAILURE, evidence=(seen,))
            for id, code in _CODES.items()
        )
    seen = replace(seen, frames=tuple(sorted({found.ed, found.es})))
    sex = record.sex if record and record.sex in ("male", "female") else None
    judged = judge(found, sex=sex, surface_m2=record.surface_m2 if record else None, thick_mm=thick)
    items = (*_measured(found, seen), *_statements(judged, found, _doubt(predicted), seen))
    job.progress(1.0, "patterns")
    return items


def _features(labels: np.ndarray, spacing: tuple[float, float, float], handedness: int) -> Features:
    """Return the features; volumes and what follows from them NaN where the stack cuts the ventricle."""
    full = int((labels == LV).sum((1, 2, 3)).argmax())
    try:
        segments = short_axis(labels[full], spacing, handedness=handedness).segments(ANGLES)
    except InputError:
        segments = None  # no right ventricle says where the septum is; equal sectors do
    found = features(labels, spacing, segments)
    if not cut_at_both_ends(labels[full]):
        return found
    unknown = float("nan")
    return replace(
        found, lvef=unknown, rvef=unknown, ratio=unknown, lv_edv_ml=unknown, rv_edv_ml=unknown, mass_g=unknown
    )


def _doubt(predicted: tuple[Measurement, ...]) -> str:
    """Return why no pattern is judged, "" if it may be."""
    worst = min((m.value for m in predicted if m.id.endswith(".lv")), default=1.0)
    if worst >= POOR:
        return ""
    return f"the outlines are not trusted: predicted Dice of the left cavity {worst:.2f}, {POOR} needed"


def _measured(found: Features, seen: Evidence) -> Iterator[Item]:
    """Yield the features that decide, each a number or why there is none."""
    still = codes.AHA17[found.stillest_segment - 1] if found.named and found.stillest_segment else None
    values = {
        "thickest": (found.thickest_mm, "mm", codes.LEFT_VENTRICLE),
        "relative_wall": (found.relative_wall, "1", codes.LEFT_VENTRICLE),
        "ratio": (found.ratio, "1", None),
        "stillest": (found.stillest, "1", still),
        "thickening": (100 * found.stillest_thickening, "%", still),
    }
    for name, (value, unit, site) in values.items():
        id = f"pattern.seen.{name}"
        if np.isfinite(value):
            yield Measurement(
                id=id,
                code=FEATURES[name],
                site=site,
                value=round(float(value), 3),
                unit=unit,
                uncertainty=Unknown(_WHY),
                of=("ventricles",),
                evidence=(seen,),
            )
        else:
            yield Absent(
                id=id,
                code=FEATURES[name],
                why=_UNSEEN[name],
                reason=codes.VALUE_UNKNOWN,
                of=("ventricles",),
                evidence=(seen,),
            )


_UNSEEN = {
    "thickest": "the size of a pixel is not known",
    "relative_wall": "no closed ring of muscle",
    "ratio": "no whole right and left ventricle are outlined",
    "stillest": "the cavity does not shrink: no part of the wall can be compared with the rest",
    "thickening": "the wall of the stillest place is not seen at both phases",
}


def _statements(
    judged: Mapping[Pattern, Judgement], found: Features, doubt: str, seen: Evidence
) -> Iterator[Statement]:
    """Yield the patterns: criteria that decided first, the others after them."""
    for name, one in judged.items():
        rest = [c for c in one.criteria if c not in one.deciding]
        words = "; ".join(c.words for c in (*one.deciding, *rest))
        verdict = one.verdict
        if doubt:
            verdict, words = "not assessable", f"{doubt}; by these outlines: {words}"
        used = [f"pattern.seen.{c.feature}" for c in one.deciding if c.feature in FEATURES]
        if name == "none":
            used = [f"pattern.{c.feature}" for c in one.deciding]
        elif "pattern.seen.stillest" in used:
            used.append("pattern.seen.thickening")
        yield Statement(
            id=f"pattern.{name}",
            code=PATTERNS[name],
            site=codes.RIGHT_VENTRICLE
            if name == "right"
            else codes.LEFT_VENTRICLE
            if name != "none"
            else None,
            verdict=verdict,
            rule=words,
            of=tuple(dict.fromkeys(used)) or ("ventricles",),
            evidence=(replace(seen, frames=(found.ed,)),) if name == "hypertrophic" else (seen,),
        )
