"""How large an aneurysm's sac and its neck are; how blood moves in it is not computed here yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import Absent, Evidence, Field, Interval, Item, Measurement, Shape, Statement
from carna.flow.sac import Sac, find_sac
from carna.space import Surface
from carna.study import Geometry

# Of the flow into the artery: 5th and 95th percentile, a measured and an assumed one.
MEASURED, ASSUMED = (0.85, 1.18), (0.6, 1.4)
RANGE: Final = 0.9
OUTSIDE: Final = ("a device in the sac or its neck", "a thrombosed sac", "a dissected artery")
_NOT_SOLVED = "it takes a solution of the flow in three dimensions, which this application does not make yet"


@application(
    version="1.0",
    gives=(codes.FLOW_APPLICABLE, codes.VOLUME, codes.SAC_SPEED, codes.SAC_INFLOW, codes.SAC_TURNOVER),
    may_give=(
        *(codes.ARTERY_LUMEN, codes.ANEURYSM_SAC, codes.NECK_AREA, codes.LENGTH),
        codes.VOLUME_FLOW,
    ),
    stakes="high",
)
def aneurysm_flow(
    vessel: Annotated[
        Geometry,
        Need(
            "the surface of an artery with an aneurysm, cut open at its ends",
            technique="surface",
            vessel="aneurysm",
        ),
    ],
    *,
    history: Annotated[
        Literal[
            "not stated",
            "none of these",
            "a device in the sac or its neck",
            "a thrombosed sac",
            "a dissected artery",
        ],
        Setting(doc="what is known of the aneurysm"),
    ] = "not stated",
    flow: Annotated[
        float, Setting("mL/s", 0, 15, "measured flow into the artery; 0: from the velocity")
    ] = 0.0,
    velocity: Annotated[float, Setting("m/s", 0.05, 0.5, "mean velocity at the inlet, assumed")] = 0.2,
    job: Job,
) -> tuple[Item, ...]:
    """Measure the sac of an aneurysm and its neck on a surface.

    The sac is what lies outside the artery that would be there without it. How blood moves in it is absent:
    it is solved in three dimensions by `carna.flow.lattice`, in more time than a reading may take.
    """
    job.progress(0.0, "sac")
    seen = (Evidence(vessel.origin.uid),)
    if history in OUTSIDE:
        return tuple(_nothing(f"{history} is stated: the computation is not made for it", seen))
    surface = vessel.shape
    if not isinstance(surface, Surface):
        raise InputError("a shape without a surface", needed="the surface of the lumen")
    found = find_sac(surface, progress=job.progress)
    low, high = MEASURED if flow else ASSUMED
    mean = flow or velocity * np.pi * found.rims[0].radius_mm ** 2
    return (
        *_shape(found, surface, history, seen),
        *_inlet(mean, low, high, flow > 0, velocity, seen),
        *_unsolved(_NOT_SOLVED, seen),
    )


def _shape(found: Sac, surface: Surface, history: str, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    known = history == "none of these"
    yield Statement(
        id="applies.history",
        code=codes.FLOW_APPLICABLE,
        verdict="met" if known else "not assessable",
        rule=f"{'a person states none of these' if known else 'not known'}: {', '.join(OUTSIDE)}",
        evidence=seen,
    )
    yield Shape(id="vessel", code=codes.ARTERY_LUMEN, shape=surface, evidence=seen)
    yield Field(
        id="vessel.sac", code=codes.ANEURYSM_SAC, values=_in_sac(found, surface), unit="1", on="vessel",
        of=("vessel",), evidence=seen,
    )  # fmt: skip
    size, least, most = found.size, found.least, found.most
    rows: tuple[tuple[str, Concept, float, float, float, str], ...] = (
        ("volume", codes.VOLUME, size.volume_mm3 / 1e3, least.volume_mm3 / 1e3, most.volume_mm3 / 1e3, "mL"),
        ("neck", codes.NECK_AREA, size.neck_mm2, least.neck_mm2, most.neck_mm2, "mm2"),
        ("height", codes.LENGTH, size.height_mm, least.height_mm, most.height_mm, "mm"),
    )
    for id, code, value, low, high, unit in rows:
        yield _number(f"sac.{id}", code, value, (low, high), unit, seen)


def _in_sac(found: Sac, surface: Surface) -> np.ndarray:
    """Return 1 for each point of the surface that lies on the sac, else 0."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~found.inside, return_distances=False, return_indices=True)
    own = np.round(found.grid.to_index(surface.moved(found.motion).points)).astype(int)
    place = tuple(np.clip(own, 0, np.array(found.inside.shape) - 1).T)
    return np.asarray(found.sac[tuple(axis[place] for axis in nearest)], float)


def _inlet(
    mean: float, low: float, high: float, measured: bool, velocity: float, seen: tuple[Evidence, ...]
) -> Iterator[Item]:
    yield _number("inlet.flow", codes.VOLUME_FLOW, mean, (mean * low, mean * high), "mL/s", seen)
    told = "given" if measured else f"not measured: {velocity:g} m/s over the inlet's area is assumed"
    yield Statement(
        id="applies.inputs",
        code=codes.FLOW_APPLICABLE,
        verdict="met" if measured else "not met",
        rule=f"flow into the artery is {told}; the range is {low:g} to {high:g} of it",
        of=("inlet.flow",),
        evidence=seen,
    )


def _number(
    id: str, code: Concept, value: float, span: tuple[float, float], unit: str, seen: tuple[Evidence, ...]
) -> Measurement:
    within = Interval(min(span[0], value), max(span[1], value), RANGE)
    of = ("vessel.sac",) if id.startswith("sac.") else ()
    return Measurement(id=id, code=code, value=value, unit=unit, uncertainty=within, of=of, evidence=seen)


def _unsolved(why: str, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    for id, code in (
        ("sac.speed", codes.SAC_SPEED),
        ("sac.inflow", codes.SAC_INFLOW),
        ("sac.turnover", codes.SAC_TURNOVER),
    ):
        yield Absent(id=id, code=code, why=why, evidence=seen)


def _nothing(why: str, seen: tuple[Evidence, ...]) -> Iterator[Item]:
    yield Statement(id="applies", code=codes.FLOW_APPLICABLE, verdict="not met", rule=why, evidence=seen)
    yield Absent(id="sac.volume", code=codes.VOLUME, why=why, reason=codes.OUT_OF_RANGE, evidence=seen)
    yield from _unsolved(why, seen)
