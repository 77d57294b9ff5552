"""Scar core and grey zone in a late enhancement stack, and how they hang on the threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

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
    Segment,
    Statement,
)
from carna.heart.short_axis import bullseye, short_axis
from carna.image.scar import BLOODY, CORE, GREY, RAYS, Deviations, HalfMaximum, Rule, Scar, segment_scar
from carna.space import Grid
from carna.study import Image, Planes

_MUSCLE = (codes.LV_MYOCARDIUM, codes.INTERVENTRICULAR_SEPTUM, codes.SCAR, codes.GREY_ZONE)
_RIGHT = (codes.RV_CAVITY, codes.RIGHT_VENTRICLE)
_CAVITY = (codes.LV_CAVITY, codes.LEFT_VENTRICLE)
_GIVES: dict[str, Concept] = {
    "applies.scar": codes.SCAR_APPLICABLE,
    "scar.mass": codes.SCAR_MASS,
    "scar.grey.mass": codes.GREY_ZONE_MASS,
    "scar.share": codes.SCAR_SHARE,
    "scar.curve": codes.SCAR_BY_THRESHOLD,
    "scar.depth": codes.SCAR_DEPTH,
}
# True over measured mass in 95 % of 100 virtual stacks whose wall was given exactly (docs/cmr-scar.md): core,
# grey zone, by rule at its default thresholds.
_TRUE_OVER_FOUND: Final = {
    HalfMaximum: ((0.46, 1.65), (1.0, 5.9)),
    Deviations: ((0.32, 1.40), (0.49, 6.5)),
}
_SHALLOW = 1.0  # per cent of a segment's wall below which nothing is told of it


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The picture and the labels on one stack of planes."""

    planes: tuple[Grid, ...]
    spacing_mm: tuple[float, float, float]
    picture: np.ndarray
    labels: np.ndarray
    region: Region
    evidence: Evidence

    def of(self, concepts: tuple[Concept, ...]) -> np.ndarray:
        """Return where the labels mean one of some concepts."""
        mine = [s.label for s in self.region.segments if s.code in concepts]
        return np.isin(self.labels, mine)


@application(
    version="1.0",
    gives=tuple(_GIVES.values()),
    may_give=(codes.VENTRICLES, codes.SCAR),
    cites=(
        "doi:10.1016/j.jacc.2004.09.020",
        "doi:10.1161/CIRCIMAGING.108.826529",
        "doi:10.1002/jmri.25285",
        "doi:10.1186/1532-429X-12-S1-O41",
        "doi:10.1161/hc0402.102975",
    ),
    stakes="high",
)
def lge_scar(
    image: Annotated[
        Image | Planes, Need("late enhancement, short axis", modality="MR", technique="LGE", view="SAX")
    ],
    wall: Annotated[
        Region, Need("the left ventricular wall on the enhancement picture", finding=codes.VENTRICLES)
    ],
    *,
    rule: Annotated[
        Literal["half maximum", "deviations"],
        Setting(doc="what scar is: half its maximum, or far from remote"),
    ] = "half maximum",
    core_share: Annotated[float, Setting("%", 20, 80, "half maximum: where core begins")] = 50.0,
    grey_share: Annotated[float, Setting("%", 10, 80, "half maximum: where grey zone begins")] = 35.0,
    core_deviations: Annotated[float, Setting("1", 2, 10, "deviations: where core begins")] = 6.0,
    grey_deviations: Annotated[float, Setting("1", 1, 10, "deviations: where grey zone begins")] = 3.0,
    smallest: Annotated[float, Setting("mL", 0, 5, "smaller clusters are noise")] = 0.15,
    job: Job,
) -> tuple[Item, ...]:
    """Measure scar core and grey zone in the left ventricular wall by late enhancement.

    Bright is what lies above a threshold inside the given wall, so both the wall and the threshold decide:
    the share by every other threshold comes along. The labels that come back are those that were given with
    scar core and grey zone written into the wall.
    """
    how: Rule = HalfMaximum(core_share / 100.0, min(grey_share, core_share) / 100.0)
    if rule == "deviations":
        how = Deviations(core_deviations, min(grey_deviations, core_deviations))
    seen = _seen(image, wall)
    muscle = seen.of(_MUSCLE)
    try:
        found = segment_scar(
            seen.picture, muscle, seen.spacing_mm, rule=how, smallest_ml=smallest,
            progress=job.progress.part(0.0, 0.9),
        )  # fmt: skip
    except InputError as error:
        return (_absent("applies.scar", str(error), seen), *_nothing(str(error), seen))
    gaps = _gap_mm(seen)
    applies = _applies(seen, found, gaps)
    if found.edge_blood > BLOODY:
        why = f"the wall that was given holds blood in {100 * found.edge_blood:.0f} % of its inner edge"
        return (applies, *_nothing(f"{why}: draw it nearer to the muscle", seen))
    items = (applies, *_scar(seen, found, how, gaps, smallest))
    job.progress(1.0, "scar")
    return items


def _seen(image: Image | Planes, wall: Region) -> _Seen:
    """Bring the labels to the planes of the picture.

    Raises
    ------
    InputError
        Labels over time, planes that do not lie on those of the picture, or too few of them.
    """
    if wall.labels.ndim != 3:
        raise InputError(
            "outlines that beat", needed="the wall at rest, outlined on the enhancement picture itself"
        )
    if isinstance(image, Image):
        planes = tuple(image.grid.plane(k) for k in range(image.grid.shape[0]))
    else:
        planes = image.planes
    if len(planes) < 3:
        raise InputError(f"{len(planes)} slices", needed="a short-axis stack of three or more")
    along = np.array([p.origin @ planes[0].normal for p in planes])
    step = float(np.median(np.abs(np.diff(along))))
    _, down, across = planes[0].spacing_mm
    spacing = (round(step, 6), round(down, 6), round(across, 6))
    if len(wall.planes) != len(planes) or not all(
        a.same(b) for a, b in zip(planes, wall.planes, strict=True)
    ):
        raise InputError(
            "a wall outlined on other planes than the picture's", needed="one labelled plane for each slice",
            fix="outline the wall on the enhancement picture",
        )  # fmt: skip
    evidence = Evidence(image.origin.uid, planes=tuple(range(len(planes))))
    return _Seen(planes, spacing, np.asarray(image.values.array, float), wall.labels, wall, evidence)


def _gap_mm(seen: _Seen) -> float:
    """Millimetres between slices that nothing shows; 0 where they touch."""
    return 0.0 if seen.region.gapless else seen.spacing_mm[0] - seen.planes[0].spacing_mm[0]


def _applies(seen: _Seen, found: Scar, gap_mm: float) -> Statement:
    rings = int(seen.of(_MUSCLE).any(axis=(1, 2)).sum())
    contrast = (found.peak - found.remote.mean) / max(found.remote.sd, 1e-9) if found.peak else 0.0
    told = [
        f"a wall in {rings} slices",
        f"blood in {100 * found.edge_blood:.0f} % of its inner edge beside remote muscle",
        f"remote muscle {found.remote.mean:.4g}, standard deviation {found.remote.sd:.3g}",
        f"maximum of the scar {contrast:.1f} deviations above it" if found.peak else "no bright cluster",
        "slices touch" if gap_mm == 0.0 else f"{gap_mm:.1f} mm unseen between slices: no masses",
    ]
    return Statement(
        id="applies.scar",
        code=codes.SCAR_APPLICABLE,
        verdict="met" if rings >= 3 and gap_mm == 0.0 and found.edge_blood <= BLOODY else "not met",
        rule="; ".join(told),
        evidence=(seen.evidence,),
    )


def _scar(seen: _Seen, found: Scar, how: Rule, gap_mm: float, smallest: float) -> Iterator[Item]:
    bright = found.peak is not None and bool((found.labels == CORE).any())
    yield Statement(
        id="scar",
        code=codes.SCAR,
        verdict="met" if bright else "not met",
        rule=f"a cluster of {smallest:g} mL or more in the given wall above {_words(how)}",
        of=("applies.scar",),
        evidence=(seen.evidence,),
    )
    if not bright:
        why = f"no cluster of {smallest:g} mL in the given wall lies above {_words(how)}: nothing to measure"
        yield from _nothing(why, seen)
        return
    yield _region(seen, found)
    yield from _amounts(seen, found, how, gap_mm)
    yield Curve(
        id="scar.curve",
        code=codes.SCAR_BY_THRESHOLD,
        x=np.round(100.0 * found.curve_x if isinstance(how, HalfMaximum) else found.curve_x, 6),
        y=np.round(100.0 * found.curve_g / found.wall_g, 3),
        x_unit="%" if isinstance(how, HalfMaximum) else "1",
        y_unit="%",
        of=("scar.ventricles",),
        evidence=(seen.evidence,),
    )
    yield from _depth(seen, found, how)


def _words(how: Rule) -> str:
    if isinstance(how, HalfMaximum):
        return f"{100 * how.core:g} % of the way from remote muscle to the scar's maximum"
    return f"{how.core:g} standard deviations over remote muscle"


def _region(seen: _Seen, found: Scar) -> Region:
    """The labels that were given, with grey zone and scar core in the wall: what `ep_twin` asks for."""
    free = max((s.label for s in seen.region.segments), default=0)
    known = {s.code: s.label for s in seen.region.segments}
    muscle = known.get(codes.LV_MYOCARDIUM, 0)
    labels = seen.labels.copy()
    if muscle:  # scar that was labelled before is judged anew
        labels[seen.of((codes.SCAR, codes.GREY_ZONE))] = muscle
    segments = list(seen.region.segments)
    for kind, code in ((GREY, codes.GREY_ZONE), (CORE, codes.SCAR)):
        if code not in known:
            free += 1
            known[code] = free
            segments.append(Segment(free, code))
        labels[found.labels == kind] = known[code]
    return Region(
        id="scar.ventricles",
        code=codes.VENTRICLES,
        site=codes.VENTRICLES,
        labels=labels,
        planes=seen.planes,
        segments=tuple(s for s in segments if (labels == s.label).any()),
        evidence=(seen.evidence,),
    )


def _amounts(seen: _Seen, found: Scar, how: Rule, gap_mm: float) -> Iterator[Item]:
    """Yield masses and share, each with the range that held 95 % of virtual infarcts."""
    core, grey = _TRUE_OVER_FOUND[type(how)]
    share = 100.0 * found.core_g / found.wall_g
    rows = (
        ("scar.mass", found.core_g, core, found.wall_g, "g"),
        ("scar.grey.mass", found.grey_g, grey, found.wall_g, "g"),
        ("scar.share", share, core, 100.0, "%"),
    )
    for id, value, (low, high), most, unit in rows:
        if unit == "g" and gap_mm > 0.0:
            why = f"{gap_mm:.1f} mm between the slices were not seen: no mass is summed over them"
            yield _absent(id, why, seen)
            continue
        if value == 0.0:
            yield _absent(id, "no grey zone by these thresholds", seen)
            continue
        yield Measurement(
            id=id,
            code=_GIVES[id],
            site=codes.LEFT_VENTRICLE,
            value=round(value, 4),
            unit=unit,
            uncertainty=Interval(round(low * value, 4), round(min(high * value, most), 4), 0.95),
            of=("scar.ventricles",),
            evidence=(seen.evidence,),
        )


def _depth(seen: _Seen, found: Scar, how: Rule) -> Iterator[Item]:
    """Yield the share of the wall that is core where a segment has any; no slice here cuts the apex, 17."""
    plain = np.zeros(seen.labels.shape, np.uint8)
    for label, concepts in ((1, _RIGHT), (2, _MUSCLE), (3, _CAVITY)):
        plain[seen.of(concepts)] = label
    directions = np.array(seen.planes[0].affine[:3, :3], float)
    directions[:, 0] = seen.planes[-1].origin - seen.planes[0].origin
    try:
        stack = short_axis(plain, seen.spacing_mm, handedness=1 if np.linalg.det(directions) > 0 else -1)
    except InputError as error:
        yield _absent("scar.depth", str(error), seen)
        return
    middles = np.radians((np.arange(RAYS) + 0.5) * 360.0 / RAYS)
    values = 100.0 * bullseye(found.transmural, stack.segments(middles))
    low, high = _TRUE_OVER_FOUND[type(how)][0]
    told = [int(n) for n in np.flatnonzero(np.nan_to_num(values) >= _SHALLOW)]
    for n, value in ((n, float(values[n])) for n in told):
        yield Measurement(
            id=f"scar.depth.segment{n + 1}",
            code=codes.SCAR_DEPTH,
            site=codes.AHA17[n],
            value=round(value, 2),
            unit="%",
            uncertainty=Interval(round(low * value, 2), round(min(high * value, 100.0), 2), 0.95),
            of=("scar.ventricles",),
            evidence=(seen.evidence,),
        )
    if not told:
        yield _absent("scar.depth", f"no segment has core in {_SHALLOW:g} % of its wall", seen)


def _absent(id: str, why: str, seen: _Seen) -> Absent:
    return Absent(
        id=id, code=_GIVES[id], why=why, reason=codes.MEASUREMENT_FAILURE, evidence=(seen.evidence,)
    )


def _nothing(why: str, seen: _Seen) -> Iterator[Item]:
    """All that is measured is absent, for one reason."""
    for id in list(_GIVES)[1:]:
        yield _absent(id, why, seen)
