"""A beating mesh of both ventricles from their outlines in a short-axis cine."""

from __future__ import annotations

from collections.abc import Iterator
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
    Field,
    Interval,
    Item,
    Measurement,
    Region,
    Shape,
    Statement,
    Unknown,
)
from carna.heart.beating import GROSS_MM, Beating, beating_heart
from carna.shape.atlas import Moment, load
from carna.shape.template import LV_ENDO, LV_EPI, RV, Part

_SURFACES: dict[str, tuple[Part, Concept, Concept]] = {
    "lv.endo": (LV_ENDO, codes.LV_ENDOCARDIUM_SURFACE, codes.LEFT_VENTRICLE),
    "lv.epi": (LV_EPI, codes.LV_EPICARDIUM_SURFACE, codes.LEFT_VENTRICLE),
    "rv.endo": (RV, codes.RV_ENDOCARDIUM_SURFACE, codes.RIGHT_VENTRICLE),
}
_AXES = {
    "left": codes.SURFACE_TO_LEFT,
    "back": codes.SURFACE_TO_BACK,
    "head": codes.SURFACE_TO_HEAD,
}
_VOLUMES: dict[str, tuple[Part, Concept, Moment]] = {
    "lv.mesh.edv": (LV_ENDO, codes.LV_SURFACE_EDV, "ED"),
    "lv.mesh.esv": (LV_ENDO, codes.LV_SURFACE_ESV, "ES"),
    "rv.mesh.edv": (RV, codes.RV_SURFACE_EDV, "ED"),
    "rv.mesh.esv": (RV, codes.RV_SURFACE_ESV, "ES"),
}
_GIVES: dict[str, Concept] = {
    **{id: code for id, (_, code, _) in _SURFACES.items()},
    **{f"lv.endo.{way}": code for way, code in _AXES.items()},
    "lv.thickness": codes.WALL_THICKNESS,
    **{id: code for id, (_, code, _) in _VOLUMES.items()},
    "lv.mesh.wall": codes.LV_SURFACE_WALL,
    "lv.mesh.curve": codes.LV_VOLUME,
    "rv.mesh.curve": codes.RV_VOLUME,
    "shape.ed": codes.SHAPE_DISTANCE,
    "shape.ed.beyond": codes.SHAPE_BEYOND,
    "shape.repaired": codes.OUTLINES_REPAIRED,
    "slices.shift": codes.SLICE_SHIFT,
}
_MEANING = {codes.RV_CAVITY: 1, codes.LV_MYOCARDIUM: 2, codes.LV_CAVITY: 3}
# Of a volume, beside what the base leaves open: the 95th percentile on virtual hearts (docs/heart-shape.md).
_OTHER_SHARE = 0.03
_VIRTUAL = "a distance among virtual hearts, no population: most real hearts lie beyond nearly all of them"
_ONE_PHASE = "the outlines are of one phase"


@application(
    version="1.0",
    gives=tuple(dict.fromkeys(_GIVES.values())),
    cites=("doi:10.1016/j.media.2011.08.004", "doi:10.1007/s00041-008-9045-x"),
    models=("heart_atlas.npz",),
)
def heart_mesh(
    ventricles: Annotated[
        Region,
        Need("both ventricles outlined in a short-axis cine", finding=codes.BEATING_VENTRICLES),
    ],
    *,
    repair: Annotated[
        bool, Setting(doc="replace left outlines that no heart seen before has by a composed shape")
    ] = True,
    job: Job,
) -> tuple[Item, ...]:
    """Fit a beating mesh of both ventricles to their outlines.

    Left and right endocardium and left epicardium, each closed at the base, of one topology over the beat;
    slice shifts are removed and gross errors repaired.
    """
    job.progress(0.0, "outlines")
    labels, seen = ventricles.relabelled(_MEANING), ventricles.evidence
    try:
        found = beating_heart(labels, ventricles.planes, repair=repair, progress=job.progress.part(0.0, 0.9))
    except InputError as error:
        why = str(error)
        return tuple(
            Absent(id=id, code=code, why=why, reason=codes.MEASUREMENT_FAILURE, evidence=seen)
            for id, code in _GIVES.items()
        )
    times = ventricles.times_ms
    volume = found.shape.volume_ml(LV_ENDO)
    ed, es = int(volume.argmax()), int(volume.argmin())
    of = (ventricles.id,)
    items = (
        *_surfaces(found, ed, times, of, seen),
        *_volumes(found, ed, es, times, of),
        *_unusual(found, ed),
        *_judged(found, repair),
    )
    job.progress(1.0, "mesh")
    return items


def _surfaces(
    found: Beating, ed: int, times: np.ndarray | None, of: tuple[str, ...], seen: tuple[Evidence, ...]
) -> Iterator[Item]:
    """Yield the surfaces at end-diastole, how each moves from there, and the thickness of the wall."""
    heart = found.shape
    for id, (part, code, site) in _SURFACES.items():
        yield Shape(id=id, code=code, site=site, shape=heart.surface(part, ed), of=of, evidence=seen)
        moved = (heart.points[:, part.vertices] - heart.points[ed, part.vertices]) @ heart.frame.matrix
        for n, (way, axis) in enumerate(_AXES.items()):
            values = moved[..., n] if times is not None else moved[0, :, n]
            yield Field(
                id=f"{id}.{way}",
                code=axis,
                site=site,
                values=values,
                unit="mm",
                on=id,
                times_ms=times,
                of=(id,),
            )
    thick = heart.thickness_mm()
    yield Field(
        id="lv.thickness",
        code=codes.WALL_THICKNESS,
        site=codes.LEFT_VENTRICLE,
        values=thick if times is not None else thick[0],
        unit="mm",
        on="lv.endo",
        times_ms=times,
        of=("lv.endo", "lv.epi"),
    )


def _volumes(
    found: Beating, ed: int, es: int, times: np.ndarray | None, of: tuple[str, ...]
) -> Iterator[Item]:
    """Yield the volumes inside the surfaces; their intervals hold what an unseen base leaves open."""
    heart, many = found.shape, times is not None and len(times) > 1
    for id, (part, code, moment) in _VOLUMES.items():
        site = codes.RIGHT_VENTRICLE if part is RV else codes.LEFT_VENTRICLE
        if moment == "ES" and not many:
            yield Absent(id=id, code=code, site=site, why=_ONE_PHASE)
            continue
        at = ed if moment == "ED" else es
        value, half = float(heart.volume_ml(part)[at]), _half_ml(found, part, at)
        yield Measurement(
            id=id,
            code=code,
            site=site,
            value=value,
            unit="mL",
            uncertainty=Interval(max(value - half, 0.0), value + half, 0.95),
            of=("rv.endo" if part is RV else "lv.endo", *of),
        )
    wall = heart.volume_ml(LV_EPI) - heart.volume_ml(LV_ENDO)
    half = _half_ml(found, LV_EPI, ed) - _half_ml(found, LV_ENDO, ed) + _OTHER_SHARE * float(wall[ed])
    yield Measurement(
        id="lv.mesh.wall",
        code=codes.LV_SURFACE_WALL,
        site=codes.LEFT_VENTRICLE,
        value=float(wall[ed]),
        unit="mL",
        uncertainty=Interval(max(float(wall[ed]) - half, 0.0), float(wall[ed]) + half, 0.95),
        of=("lv.endo", "lv.epi", *of),
    )
    for id, part, code in (("lv", LV_ENDO, codes.LV_VOLUME), ("rv", RV, codes.RV_VOLUME)):
        if times is None or not many:
            yield Absent(id=f"{id}.mesh.curve", code=code, why=_ONE_PHASE)
        else:
            yield Curve(
                id=f"{id}.mesh.curve",
                code=code,
                x=times,
                y=heart.volume_ml(part),
                x_unit="ms",
                y_unit="mL",
                of=(f"{id}.endo",),
            )


def _half_ml(found: Beating, part: Part, phase: int) -> float:
    """Half of the 95 % interval of a volume: where the base lies, and all else as on virtual hearts."""
    heart = found.shape
    ring = heart.points[phase, part.rings][: part.around, :2]
    after = np.roll(ring, -1, axis=0)
    base_mm2 = 0.5 * abs(float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum()))
    sd = (heart.ends.rv_base_sd if part is RV else heart.ends.base_sd)[phase]
    return float(np.hypot(1.96 * sd * base_mm2 / 1e3, _OTHER_SHARE * heart.volume_ml(part)[phase]))


def _unusual(found: Beating, ed: int) -> Iterator[Item]:
    """Yield how far the shape at end-diastole is from the atlas, and how many fitted hearts are as far."""
    atlas = load()
    distance = atlas.distance(found.shape.aligned()[ed], "ED")
    for id, value in (("shape.ed", distance), ("shape.ed.beyond", atlas.share_beyond(distance, "ED"))):
        yield Measurement(
            id=id,
            code=_GIVES[id],
            site=codes.HEART,
            value=value,
            unit="1",
            uncertainty=Unknown(_VIRTUAL),
            of=tuple(_SURFACES) if id == "shape.ed" else ("shape.ed",),
        )


def _judged(found: Beating, repair: bool) -> Iterator[Item]:
    """Yield whether outlines were replaced, and the largest shift of a slice."""
    share = float(found.doubted[:, : LV_EPI.stop].mean())
    rule = f"left outlines further than {GROSS_MM:g} mm from a composed heart are replaced by it"
    yield Statement(
        id="shape.repaired",
        code=codes.OUTLINES_REPAIRED,
        verdict=("met" if share else "not met") if repair else "not assessable",
        rule=f"{rule}: {100 * share:.1f} % of all points" if repair else f"{rule}: not asked for",
        of=tuple(_SURFACES),
    )
    yield Measurement(
        id="slices.shift",
        code=codes.SLICE_SHIFT,
        value=float(np.linalg.norm(found.shape.shift_mm, axis=1).max()),
        unit="mm",
        uncertainty=Unknown("a shift common to all slices, or growing from slice to slice, is not seen"),
        of=("lv.endo",),
    )
