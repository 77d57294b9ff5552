"""Criteria on both sides of every limit, with leads missing, and for people the limits were not made for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carna.ecg.arrhythmia import Conduction, Event
from carna.ecg.criteria import CRITERIA, Tracing, Verdict, judge, look_now, serial
from carna.ecg.criteria.base import Look as LookAt
from carna.ecg.criteria.base import NotAssessable
from carna.ecg.criteria.reading import read_tracing
from carna.ecg.integrity import CHEST, Integrity, Suspicion
from carna.ecg.measure import Deflection, Interval, LeadMeasures, Matrix, corrected
from carna.ecg.median import Fiducials, MedianBeat
from carna.ecg.rhythm import Rhythm, rhythm
from carna.phantom.ecg import LEADS, electrocardiogram

BY_NAME = {c.name: c for c in CRITERIA}


def lead(**changes: Any) -> LeadMeasures:
    """A lead with a plain qRs complex, flat ST and an upright T."""
    plain: dict[str, Any] = {
        "p_mV": 0.1, "p_negative_mV": 0.0, "p_ms": 90.0,
        "q": None, "r": Deflection(0.8, 50.0, 40.0), "s": Deflection(-0.2, 30.0, 70.0), "r2": None,
        "s2": None, "qrs_ms": 90.0, "r_peak_ms": 40.0,
        "j_mV": 0.0, "st20_mV": 0.0, "st40_mV": 0.0, "st60_mV": 0.0, "st80_mV": 0.0,
        "t_mV": 0.3, "t_negative_mV": 0.0, "p_area": 4.0, "qrs_area": 20.0, "t_area": 30.0, "noise_mV": 0.01,
    }  # fmt: skip
    return LeadMeasures(**(plain | changes))


def rs(r: float, s: float, peak: float = 20.0) -> LeadMeasures:
    return lead(
        r=Deflection(r, 30.0, peak), s=Deflection(-s, 50.0, 50.0), r_peak_ms=peak, qrs_area=(r - s) * 20
    )


def qs(depth: float) -> LeadMeasures:
    return lead(
        q=Deflection(-depth, 80.0, 40.0), r=None, s=None, qs=True, r_peak_ms=None, qrs_area=-depth * 40
    )


def interval(ms: float | None) -> Interval | None:
    return None if ms is None else Interval(ms, 3.0, "")


def steady(bpm: float) -> Rhythm:
    return rhythm(np.arange(12) * 60 / bpm)


def tracing(
    *,
    bpm: float = 70.0,
    pr: float | None = 160.0,
    qrs: float | None = 90.0,
    qt: float | None = 380.0,
    p: float = 100.0,
    axis: float | None = 40.0,
    p_axis: float = 50.0,
    leads: dict[str, LeadMeasures] | None = None,
    without: tuple[str, ...] = (),
    **changes: Any,
) -> Tracing:
    """A plain adult tracing with some things changed."""
    rows = {name: lead() for name in LEADS} | {"V1": rs(0.2, 0.8), "V2": rs(0.3, 1.0), "V3": rs(0.5, 0.7)}
    rows |= leads or {}
    measured = interval(qt)
    matrix = Matrix(
        interval(p), interval(pr), interval(qrs), measured, None, 60000 / bpm,
        corrected(measured, 60000 / bpm) if measured is not None else {},
        p_axis, axis, 40.0, {k: v for k, v in rows.items() if k not in without}, 9,
    )  # fmt: skip
    known: dict[str, Any] = {
        "rhythm": steady(bpm), "p_present": True, "fibrillation": False, "flutter": False, "paced": False,
        "kinds": {"normal": 11, "supraventricular": 0, "ventricular": 0, "paced": 0, "unknown": 0},
        "events": (), "age_a": 55.0, "sex": "male",
    }  # fmt: skip
    return Tracing(matrix, **(known | changes))


def verdict(name: str, t: Tracing) -> str:
    return BY_NAME[name].judge(t).verdict


LIMITS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sinus rhythm", {"bpm": 60.5}, {"bpm": 59.0}),
    ("sinus rhythm", {"p_axis": 85.0}, {"p_axis": 120.0}),
    ("sinus bradycardia", {"bpm": 59.0}, {"bpm": 61.0}),
    ("sinus bradycardia (< 50/min)", {"bpm": 49.0}, {"bpm": 51.0}),
    ("sinus tachycardia", {"bpm": 101.0}, {"bpm": 99.0}),
    ("atrial fibrillation", {"fibrillation": True}, {"fibrillation": False}),
    ("atrial flutter", {"flutter": True}, {"flutter": False}),
    ("left axis deviation", {"axis": -31.0}, {"axis": -29.0}),
    ("right axis deviation", {"axis": 91.0}, {"axis": 90.0}),
    ("extreme axis deviation", {"axis": -91.0}, {"axis": -90.0}),
    ("first-degree AV block", {"pr": 201.0}, {"pr": 200.0}),
    ("first-degree AV block (Minnesota 6-3)", {"pr": 220.0}, {"pr": 219.0}),
    ("narrow-complex tachycardia", {"bpm": 150.0}, {"bpm": 150.0, "qrs": 120.0}),
    ("wide-complex tachycardia", {"bpm": 150.0, "qrs": 120.0}, {"bpm": 99.0, "qrs": 120.0}),
    ("nonspecific intraventricular conduction delay", {"qrs": 111.0}, {"qrs": 110.0}),
    ("paced rhythm", {"paced": True}, {"paced": False}),
    ("left atrial abnormality (P duration)", {"p": 120.0}, {"p": 119.0}),
    ("right atrial abnormality", {"leads": {"II": lead(p_mV=0.26)}}, {"leads": {"II": lead(p_mV=0.25)}}),
    (
        "left ventricular hypertrophy (Sokolow-Lyon)",
        {"leads": {"V1": rs(0.2, 1.5), "V5": rs(2.0, 0.2)}},
        {"leads": {"V1": rs(0.2, 1.5), "V5": rs(1.99, 0.2)}},
    ),
    (
        "left ventricular hypertrophy (Cornell voltage)",
        {"leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.81)}},
        {"leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.80)}},
    ),
    (
        "left ventricular hypertrophy (Cornell voltage)",
        {"sex": "female", "leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.01)}},
        {"sex": "female", "leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.00)}},
    ),
    (
        "left ventricular hypertrophy (Cornell product)",
        {"qrs": 100.0, "leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.45)}},
        {"qrs": 99.0, "leads": {"aVL": rs(1.0, 0.1), "V3": rs(0.5, 1.45)}},
    ),
    (
        "left ventricular hypertrophy (Peguero-Lo Presti)",
        {"leads": {"V2": rs(0.3, 2.0), "V4": rs(0.8, 0.8)}},
        {"leads": {"V2": rs(0.3, 2.0), "V4": rs(0.8, 0.79)}},
    ),
    ("left ventricular hypertrophy (R aVL)", {"leads": {"aVL": rs(1.11, 0)}}, {"leads": {"aVL": rs(1.1, 0)}}),
    (
        "left ventricular hypertrophy (R I + S III)",
        {"leads": {"I": rs(1.5, 0), "III": rs(0.1, 1.01)}},
        {"leads": {"I": rs(1.5, 0), "III": rs(0.1, 1.0)}},
    ),
    (
        "right ventricular hypertrophy (R V1)",
        {"leads": {"V1": rs(0.61, 0.2)}},
        {"leads": {"V1": rs(0.6, 0.2)}},
    ),
    (
        "right ventricular hypertrophy (R V1 + S V5 or V6)",
        {"leads": {"V1": rs(0.5, 0.2), "V6": rs(0.8, 0.56)}},
        {"leads": {"V1": rs(0.5, 0.2), "V6": rs(0.8, 0.55)}},
    ),
    (
        "right ventricular hypertrophy (axis)",
        {"axis": 110.0, "leads": {"V6": rs(0.5, 0.31)}},
        {"axis": 110.0},
    ),
    (
        "low voltage, limb leads",
        {"leads": {v: rs(0.3, 0.19) for v in ("I", "II", "III", "aVR", "aVL", "aVF")}},
        {"leads": {v: rs(0.3, 0.19) for v in ("I", "II", "III", "aVR", "aVL")} | {"aVF": rs(0.3, 0.2)}},
    ),
    (
        "low voltage, chest leads",
        {"leads": {v: rs(0.5, 0.49) for v in CHEST}},
        {"leads": {v: rs(0.5, 0.5) for v in CHEST}},
    ),
    (
        "ST elevation",
        {"leads": {"II": lead(j_mV=0.1), "aVF": lead(j_mV=0.1)}},
        {"leads": {"II": lead(j_mV=0.1), "aVL": lead(j_mV=0.1)}},  # not contiguous
    ),
    (
        "ST elevation",  # men of 40 years and more: 0.2 mV in V2, V3
        {"leads": {"V2": lead(j_mV=0.2), "V3": lead(j_mV=0.2)}},
        {"leads": {"V2": lead(j_mV=0.19), "V3": lead(j_mV=0.2)}},
    ),
    (
        "ST elevation",  # younger: 0.25 mV
        {"age_a": 39.0, "leads": {"V2": lead(j_mV=0.25), "V3": lead(j_mV=0.25)}},
        {"age_a": 39.0, "leads": {"V2": lead(j_mV=0.24), "V3": lead(j_mV=0.25)}},
    ),
    (
        "ST elevation",  # women: 0.15 mV
        {"sex": "female", "leads": {"V2": lead(j_mV=0.15), "V3": lead(j_mV=0.15)}},
        {"sex": "female", "leads": {"V2": lead(j_mV=0.14), "V3": lead(j_mV=0.15)}},
    ),
    (
        "ST elevation, posterior leads",
        {"leads": {"V7": lead(j_mV=0.05), "V8": lead(j_mV=0.05), "V9": lead()}},
        {"leads": {"V7": lead(j_mV=0.04), "V8": lead(j_mV=0.05), "V9": lead()}},
    ),
    (
        "ST elevation, right leads",
        {"leads": {"V3R": lead(j_mV=0.05), "V4R": lead(j_mV=0.05)}},
        {"leads": {"V3R": lead(j_mV=0.05), "V4R": lead(j_mV=0.04)}},
    ),
    (
        "ST depression",
        {"leads": {v: lead(j_mV=-0.05, st60_mV=-0.08) for v in ("V4", "V5")}},
        {"leads": {v: lead(j_mV=-0.05, st60_mV=0.0) for v in ("V4", "V5")}},  # rising
    ),
    (
        "T inversion",
        {"leads": {v: lead(t_mV=0.0, t_negative_mV=-0.11) for v in ("V4", "V5")}},
        {"leads": {v: lead(t_mV=0.0, t_negative_mV=-0.10) for v in ("V4", "V5")}},
    ),
    (
        "Q waves of prior infarction",
        {"leads": {v: lead(q=Deflection(-0.1, 30.0, 12.0)) for v in ("II", "aVF")}},
        {"leads": {v: lead(q=Deflection(-0.1, 29.0, 12.0)) for v in ("II", "aVF")}},
    ),
    ("Q waves of prior infarction", {"leads": {"V2": qs(0.8)}}, {"leads": {"III": qs(0.8)}}),
    ("Q wave, Minnesota 1-1", {"leads": {"II": lead(q=Deflection(-0.2, 40.0, 12.0))}}, {}),
    ("Q wave, Minnesota 1-2", {"leads": {"II": lead(q=Deflection(-0.2, 35.0, 12.0))}}, {}),
    (
        "Q wave, Minnesota 1-3",
        {"leads": {"II": lead(q=Deflection(-0.2, 25.0, 12.0))}},
        {"leads": {"II": lead(q=Deflection(-0.15, 25.0, 12.0))}},
    ),
    (
        "poor R progression",
        {"leads": {"V2": rs(0.2, 1.0), "V3": rs(0.3, 1.0)}},
        {"leads": {"V2": rs(0.2, 1.0), "V3": rs(0.31, 1.0)}},
    ),
    (
        "tall R of prior posterior infarction",
        {"leads": {v: lead(r=Deflection(0.9, 41.0, 30.0)) for v in ("V1", "V2")}},
        {"leads": {v: lead(r=Deflection(0.9, 40.0, 30.0)) for v in ("V1", "V2")}},
    ),
    ("QTc prolonged", {"bpm": 60.0, "qt": 450.0}, {"bpm": 60.0, "qt": 449.0}),
    (
        "QTc prolonged",
        {"bpm": 60.0, "qt": 460.0, "sex": "female"},
        {"bpm": 60.0, "qt": 459.0, "sex": "female"},
    ),
    ("QTc prolonged (480 ms)", {"bpm": 60.0, "qt": 480.0}, {"bpm": 60.0, "qt": 479.0}),
    ("QTc of 500 ms or more", {"bpm": 60.0, "qt": 500.0, "qrs": 160.0}, {"bpm": 60.0, "qt": 499.0}),
    ("QTc short (390 ms)", {"bpm": 60.0, "qt": 390.0}, {"bpm": 60.0, "qt": 391.0}),
    ("QTc short (360 ms)", {"bpm": 60.0, "qt": 360.0}, {"bpm": 60.0, "qt": 361.0}),
    ("QTc short (320 ms)", {"bpm": 60.0, "qt": 320.0}, {"bpm": 60.0, "qt": 321.0}),
    (
        "Brugada type 1 pattern",
        {"leads": {"V1": lead(j_mV=0.25, st40_mV=0.15, st80_mV=0.05, t_mV=0.0, t_negative_mV=-0.2)}},
        {"leads": {"V1": lead(j_mV=0.19, st40_mV=0.15, st80_mV=0.05, t_mV=0.0, t_negative_mV=-0.2)}},
    ),
    (
        "ventricular ectopic beats",
        {"kinds": {"normal": 9, "ventricular": 1}},
        {"kinds": {"normal": 9, "ventricular": 0}},
    ),
    (
        "pause of 3 s",
        {"events": (Event("pause", 1.0, 4.0, 1, 2, None),)},
        {"events": (Event("pause", 1.0, 3.9, 1, 2, None),)},
    ),
    (
        "sustained ventricular tachycardia",
        {"events": (Event("ventricular tachycardia", 0.0, 30.0, 0, 75, 150.0),)},
        {"events": (Event("ventricular tachycardia", 0.0, 29.0, 0, 72, 150.0),)},
    ),
    (
        "second-degree AV block, Wenckebach",
        {"conduction": Conduction(10, 8, (3.0, 7.0), 1, 250.0, False)},
        {"conduction": Conduction(10, 8, (3.0, 7.0), 0, 250.0, False)},
    ),
    (
        "second-degree AV block, Mobitz II",
        {"conduction": Conduction(10, 8, (3.0, 7.0), 0, 160.0, False)},
        {"conduction": Conduction(10, 10, (), 0, 160.0, False)},
    ),
    (
        "high-grade AV block",
        {"conduction": Conduction(12, 4, (1.0,) * 8, 0, 160.0, False)},
        {"conduction": Conduction(12, 6, (1.0,) * 6, 0, 160.0, False)},
    ),
    (
        "third-degree AV block",
        {"bpm": 38.0, "conduction": Conduction(14, 6, (1.0,) * 8, 0, None, True)},
        {"bpm": 75.0, "conduction": Conduction(14, 6, (1.0,) * 8, 0, None, True)},
    ),
]


@pytest.mark.parametrize(
    ("name", "inside", "outside"), LIMITS, ids=[f"{k}: {x[0]}" for k, x in enumerate(LIMITS)]
)
def test_both_sides_of_the_limit(name: str, inside: dict[str, Any], outside: dict[str, Any]) -> None:
    assert verdict(name, tracing(**inside)) == "met"
    assert verdict(name, tracing(**outside)) == "not met"


LBBB: dict[str, Any] = {
    "I": lead(s=None, r=Deflection(0.9, 130.0, 70.0), r_peak_ms=70.0),
    "aVL": lead(s=None, r=Deflection(0.9, 130.0, 70.0), r_peak_ms=70.0),
    "V1": rs(0.1, 1.5), "V2": rs(0.1, 2.0), "V3": rs(0.1, 1.5),
    "V5": lead(s=None, r_peak_ms=80.0), "V6": lead(s=None, r_peak_ms=80.0),
}  # fmt: skip


def test_left_bundle_branch_block() -> None:
    name = "left bundle branch block"
    assert verdict(name, tracing(qrs=150.0, leads=LBBB)) == "met"
    assert verdict(name, tracing(qrs=119.0, leads=LBBB)) == "not met"
    assert verdict(name, tracing(qrs=150.0, leads=LBBB | {"V6": lead(s=None, r_peak_ms=60.0)})) == "not met"
    septal = lead(q=Deflection(-0.1, 20.0, 10.0), r_peak_ms=70.0)
    assert verdict(name, tracing(qrs=150.0, leads=LBBB | {"I": septal})) == "not met"
    assert verdict(name, tracing(qrs=150.0, leads=LBBB, without=("V6",))) == "not assessable"
    assert (
        verdict("incomplete " + name, tracing(qrs=115.0, leads=LBBB | {"V4": lead(r_peak_ms=70.0)})) == "met"
    )
    assert (
        verdict("nonspecific intraventricular conduction delay", tracing(qrs=150.0, leads=LBBB)) == "not met"
    )


def test_an_elevated_st_is_no_r_wave() -> None:
    # QS in V1 that ends above the line: the piece above it peaks at the very end
    climbing = lead(
        q=Deflection(-2.1, 140.0, 68.0), r=Deflection(0.2, 26.0, 149.0), s=None, r_peak_ms=149.0, j_mV=0.2
    )
    assert verdict("left bundle branch block", tracing(qrs=150.0, leads=LBBB | {"V1": climbing})) == "met"


RBBB: dict[str, Any] = {
    "V1": lead(r=Deflection(0.2, 25.0, 15.0), s=Deflection(-0.3, 30.0, 40.0), r2=Deflection(0.7, 70.0, 90.0)),
    "I": lead(s=Deflection(-0.3, 60.0, 100.0)),
    "V6": lead(s=Deflection(-0.3, 60.0, 100.0)),
}


def test_right_bundle_branch_block_and_with_a_fascicle() -> None:
    name = "right bundle branch block"
    assert verdict(name, tracing(qrs=130.0, leads=RBBB)) == "met"
    assert verdict("incomplete " + name, tracing(qrs=115.0, leads=RBBB)) == "met"
    assert verdict(name, tracing(qrs=115.0, leads=RBBB)) == "not met"
    short = RBBB | {"V6": lead(s=Deflection(-0.3, 20.0, 100.0))}
    assert verdict(name, tracing(qrs=130.0, leads=short)) == "not met"
    hemi = {
        "aVL": lead(q=Deflection(-0.1, 20.0, 10.0), r=Deflection(0.8, 50.0, 50.0), s=None, r_peak_ms=50.0)
    }
    assert verdict("bifascicular block", tracing(qrs=130.0, axis=-60.0, leads=RBBB | hemi)) == "met"
    assert verdict("bifascicular block", tracing(qrs=130.0, axis=-40.0, leads=RBBB | hemi)) == "not met"
    assert verdict("left anterior fascicular block", tracing(axis=-45.0, leads=hemi)) == "met"
    assert verdict("left anterior fascicular block", tracing(axis=-44.0, leads=hemi)) == "not met"
    assert verdict("left anterior fascicular block", tracing(axis=-60.0, qrs=120.0, leads=hemi)) == "not met"


def test_left_posterior_fascicular_block() -> None:
    q = lead(q=Deflection(-0.1, 20.0, 10.0))
    shape = {"I": rs(0.1, 0.6), "aVL": rs(0.1, 0.6), "III": q, "aVF": q}
    assert verdict("left posterior fascicular block", tracing(axis=110.0, leads=shape)) == "met"
    assert verdict("left posterior fascicular block", tracing(axis=89.0, leads=shape)) == "not met"


def test_sgarbossa_and_smith() -> None:
    def both(**rows: LeadMeasures) -> tuple[str, str]:
        t = tracing(qrs=150.0, leads=LBBB | rows)
        return verdict("Sgarbossa criteria", t), verdict("modified Sgarbossa criteria (Smith)", t)

    assert both() == ("not met", "not met")
    assert both(V5=lead(s=None, r_peak_ms=80.0, j_mV=0.1)) == ("met", "met")
    down = replace(LBBB["V2"], j_mV=-0.1)
    assert both(V2=down) == ("met", "met")
    assert both(V2=replace(LBBB["V2"], j_mV=0.5)) == ("not met", "met")  # 2 points; a quarter of S = 2.0
    assert both(V2=replace(LBBB["V2"], j_mV=0.49)) == ("not met", "not met")
    assert verdict("Sgarbossa criteria", tracing()) == "not assessable"
    paced = tracing(qrs=160.0, paced=True, leads={"V2": replace(rs(0.1, 2.0), j_mV=-0.1)})
    assert verdict("Sgarbossa criteria", paced) == "met"
    assert verdict("ST elevation", tracing(qrs=150.0, leads=LBBB)) == "not assessable"


def test_wide_complex_steps_apply_only_there() -> None:
    steps = [c.name for c in CRITERIA if c.name.startswith(("Brugada step", "Vereckei"))]
    assert len(steps) == 8
    assert {verdict(name, tracing(bpm=80.0)) for name in steps} == {"not assessable"}
    down = {v: qs(1.0) for v in CHEST}
    assert verdict("Brugada step 1", tracing(bpm=160.0, qrs=150.0, leads=down)) == "met"
    long = {"V4": lead(r=Deflection(0.8, 60.0, 50.0), s=Deflection(-0.6, 60.0, 105.0))}
    assert verdict("Brugada step 1", tracing(bpm=160.0, qrs=150.0, leads=long)) == "not met"
    assert verdict("Brugada step 2", tracing(bpm=160.0, qrs=150.0, leads=long)) == "met"
    apart = Conduction(10, 6, (1.0,), 0, None, True)
    assert verdict("Brugada step 3", tracing(bpm=160.0, qrs=150.0, conduction=apart)) == "met"
    together = Conduction(10, 10, (), 0, 150.0, False)
    assert verdict("Brugada step 3", tracing(bpm=160.0, qrs=150.0, conduction=together)) == "not assessable"
    up = {"aVR": lead(s=None)}
    assert verdict("Vereckei aVR step 1", tracing(bpm=160.0, qrs=150.0, leads=up)) == "met"
    wide = {"aVR": lead(q=Deflection(-0.2, 41.0, 20.0))}
    assert verdict("Vereckei aVR step 2", tracing(bpm=160.0, qrs=150.0, leads=wide)) == "met"


def test_a_missing_or_poor_lead_is_never_not_met() -> None:
    """Take every lead away in turn: what was not met may only stay so when that lead could not matter."""
    told = {v.name: v for v in judge(tracing())}
    for gone in LEADS:
        for v in judge(tracing(without=(gone,))):
            if told[v.name].verdict == "not met" and gone in told[v.name].leads:
                # one other necessary condition may have settled it; then the lead was not needed
                assert v.verdict == "not assessable" or gone not in v.leads, (v.name, gone)
    unusable = Integrity("not met", "not met", (), (), dict.fromkeys(LEADS, "noisy"), "not met")
    verdicts = {v.name: v.verdict for v in judge(tracing(integrity=unusable))}
    assert verdicts["ST elevation"] == "not assessable"
    assert verdicts["QTc prolonged"] == "not assessable"
    assert verdicts["left ventricular hypertrophy (Sokolow-Lyon)"] == "not assessable"


def test_st_elevation_in_two_leads_stands_while_others_are_missing() -> None:
    found = {"II": lead(j_mV=0.2), "III": lead(j_mV=0.2)}
    assert verdict("ST elevation", tracing(leads=found, without=("V3", "V4"))) == "met"
    one = {"V5": lead(j_mV=0.2)}
    assert verdict("ST elevation", tracing(leads=one)) == "not met"
    assert verdict("ST elevation", tracing(leads=one, without=("V4",))) == "not assessable"
    # its neighbours do not rise, so V4 could not have made a pair
    assert verdict("ST elevation", tracing(without=("V4",))) == "not met"


def test_exchanged_electrodes_close_their_leads() -> None:
    swap = Suspicion("LA/RA", 5.0, 1.0, ("I", "II", "III", "aVR", "aVL", "aVF"), "")
    told = Integrity("met", "not met", (), (swap,), {}, "not met")
    found = {"II": lead(j_mV=0.2), "III": lead(j_mV=0.2)}
    v = BY_NAME["ST elevation"].judge(tracing(leads=found, integrity=told))
    assert v.verdict == "not assessable"
    assert "another name" in v.why
    assert verdict("left axis deviation", tracing(axis=-60.0, integrity=told)) == "not assessable"
    chest = {"V3": lead(j_mV=0.3), "V4": lead(j_mV=0.3)}
    assert verdict("ST elevation", tracing(leads=chest, integrity=told)) == "met"


@pytest.mark.parametrize("age", [None, 9.0, 17.9])
def test_limits_of_adults_are_not_used_for_others(age: float | None) -> None:
    for name in (
        "sinus bradycardia",
        "first-degree AV block",
        "left bundle branch block",
        "left axis deviation",
        "ST elevation",
        "QTc prolonged",
        "left ventricular hypertrophy (Sokolow-Lyon)",
    ):
        assert verdict(name, tracing(age_a=age, pr=240.0, bpm=50.0)) == "not assessable", name
    assert verdict("first-degree AV block", tracing(age_a=18.0, pr=240.0)) == "met"


def test_a_paced_complex_is_no_bundle_branch_block() -> None:
    assert verdict("left bundle branch block", tracing(qrs=150.0, leads=LBBB, paced=True)) == "not assessable"
    assert verdict("left bundle branch block", tracing(qrs=150.0, leads=LBBB, paced=None)) == "met"


def test_unknown_sex_where_it_matters() -> None:
    assert verdict("QTc prolonged", tracing(sex=None, bpm=60.0, qt=480.0)) == "not assessable"
    assert verdict("QTc prolonged (480 ms)", tracing(sex=None, bpm=60.0, qt=480.0)) == "met"


def test_no_pr_without_p_waves() -> None:
    assert verdict("first-degree AV block", tracing(pr=240.0, fibrillation=True)) == "not assessable"
    assert verdict("first-degree AV block", tracing(pr=240.0, p_present=False)) == "not assessable"
    assert verdict("first-degree AV block", tracing(pr=240.0, p_present=None)) == "not assessable"
    assert verdict("sinus rhythm", tracing(fibrillation=True)) == "not met"


def test_romhilt_estes_counts_and_stays_open() -> None:
    name = "left ventricular hypertrophy (Romhilt-Estes)"
    big = {"V5": lead(r=Deflection(3.0, 60.0, 50.0), s=None, r_peak_ms=50.0, j_mV=-0.1, t_negative_mV=-0.3)}
    assert verdict(name, tracing(leads=big)) == "met"  # 3 + 3 and more
    assert verdict(name, tracing()) == "not met"  # QRS 1, at most 3 for the P that was not given
    points = BY_NAME[name].judge(tracing(axis=-40.0))  # 2 + 1 + an open 3
    assert points.verdict == "not assessable"


# --- rules on the median beat -------------------------------------------------------------------------


def with_curve(
    t: Tracing, curves: dict[str, np.ndarray], qrs_ms: float, p: np.ndarray | None = None
) -> Tracing:
    """Give a tracing a median beat whose QRS is the curve (1 kHz), and P in V1."""
    rows = np.zeros((12, 1200))
    for name, curve in curves.items():
        rows[LEADS.index(name), 450 : 450 + len(curve)] = curve
    if p is not None:
        rows[LEADS.index("V1"), 300 : 300 + len(p)] = p
    none = np.full((9, 12), np.nan)
    median = MedianBeat(rows, 1000.0, 480, np.arange(9), np.arange(9.0), np.full(12, 9), np.full(12, 0.01))
    fid = Fiducials(
        none, none, (-180.0, 3.0), (-180.0 + 100, 3.0), (-30.0, 3.0), (qrs_ms - 30.0, 3.0), (300.0, 9.0), ""
    )
    return replace(t, median=median, fiducials=fid, leads=LEADS)


def bell(centre: float, width: float, height: float, n: int) -> np.ndarray:
    return np.asarray(height * np.exp(-0.5 * ((np.arange(n) - centre) / width) ** 2))


def test_p_terminal_force_against_its_closed_form() -> None:
    name = "left atrial abnormality (P terminal force)"
    for depth, expected in ((-0.11, "met"), (-0.06, "not met")):
        t = np.arange(101.0)
        p = np.where(t < 50, 0.1 * np.sin(np.pi * t / 50), depth * np.sin(np.pi * (t - 50) / 50))
        v = BY_NAME[name].judge(with_curve(tracing(), {}, 90.0, p))
        assert v.verdict == expected
        force = next(value for what, value, _, _ in v.values if what == "P terminal force")
        assert force == pytest.approx(depth * 50, rel=0.04)


def test_pre_excitation_needs_all_three() -> None:
    n = 130
    slow = np.where(np.arange(n) < 50, 0.004 * np.arange(n), 0.0) + bell(80, 12, 1.0, n)
    sharp = bell(25, 8, 1.0, n)
    name = "ventricular pre-excitation"
    dull = {"II": slow, "V4": slow}
    assert verdict(name, with_curve(tracing(pr=100.0, qrs=130.0), dull, 130.0)) == "met"
    assert verdict(name, with_curve(tracing(pr=120.0, qrs=130.0), dull, 130.0)) == "not met"
    assert verdict(name, with_curve(tracing(pr=100.0, qrs=105.0), dull, 105.0)) == "not met"
    steep = dict.fromkeys(LEADS, sharp)
    assert verdict(name, with_curve(tracing(pr=100.0, qrs=130.0), steep, 130.0)) == "not met"
    assert verdict(name, tracing(pr=100.0, qrs=130.0)) == "not assessable"  # no median beat


def test_early_repolarisation_is_a_bend_at_the_end() -> None:
    n = 110
    plain = bell(40, 9, 1.0, n)
    notch = plain + bell(78, 5, 0.2, n)
    both = {name: lead(s=None, r=Deflection(1.0, 60.0, 40.0)) for name in LEADS}
    name = "early repolarisation"
    rows = dict.fromkeys(LEADS, plain)
    assert verdict(name, with_curve(tracing(leads=both), rows | {"II": notch, "aVF": notch}, 90.0)) == "met"
    assert verdict(name, with_curve(tracing(leads=both), rows | {"II": notch}, 90.0)) == "not met"
    assert (
        verdict(name, with_curve(tracing(leads=both), rows | {"V2": notch, "V3": notch}, 90.0)) == "not met"
    )


def test_fragmented_qrs_and_strauss_count_notches() -> None:
    n = 100
    plain = bell(40, 9, 1.0, n) - bell(65, 7, 0.3, n)
    broken = bell(28, 6, 0.7, n) + bell(52, 6, 0.8, n) - bell(75, 5, 0.3, n)
    rows = dict.fromkeys(LEADS, plain)
    name = "fragmented QRS"
    assert verdict(name, with_curve(tracing(), rows, 90.0)) == "not met"
    assert verdict(name, with_curve(tracing(), rows | {"II": broken, "aVF": broken}, 90.0)) == "met"
    assert verdict(name, with_curve(tracing(), rows | {"II": broken, "V5": broken}, 90.0)) == "not met"
    wide = bell(50, 14, 0.9, 160) + bell(100, 14, 0.9, 160)
    smooth = {name: bell(75, 25, 1.0, 160) for name in LEADS}
    strauss = "left bundle branch block (Strauss)"
    notched = smooth | {"I": wide, "V6": wide}
    assert verdict(strauss, with_curve(tracing(qrs=150.0, leads=LBBB), notched, 150.0)) == "met"
    assert verdict(strauss, with_curve(tracing(qrs=150.0, leads=LBBB), smooth, 150.0)) == "not met"
    assert verdict(strauss, with_curve(tracing(qrs=139.0, leads=LBBB), notched, 139.0)) == "not met"


def test_vereckei_velocity_ratio() -> None:
    n = 160
    late = np.concatenate([np.linspace(0, -0.2, 110), np.linspace(-0.2, 0.4, 50)])
    early = np.concatenate([np.linspace(0, -0.6, 50), np.linspace(-0.6, -0.5, 110)])
    name = "Vereckei aVR step 4"
    for curve, expected in ((late, "met"), (early, "not met")):
        assert len(curve) == n
        t = with_curve(tracing(bpm=160.0, qrs=150.0), {"aVR": curve}, 150.0)
        assert verdict(name, t) == expected


# --- together ---------------------------------------------------------------------------------------


def test_names_are_unique_and_sources_are_named() -> None:
    assert len(BY_NAME) == len(CRITERIA) >= 60
    for c in CRITERIA:
        assert c.source.startswith(("doi:10.", "textbook consensus")), c.name
        assert c.text, c.name
        assert c.needs, c.name


def test_no_word_reassures() -> None:
    words = re.compile(r"\b(normal|safe|excluded|healthy|reassur\w*|no need|unremarkable)\b", re.IGNORECASE)
    for v in (*judge(tracing()), *judge(tracing(bpm=150.0, qrs=150.0, qt=520.0, age_a=None))):
        assert not words.search(v.why.replace("normal beats", "")), v
    for c in CRITERIA:
        assert not words.search(f"{c.name} {c.text}"), c.name


def test_verdicts_carry_their_evidence() -> None:
    v = BY_NAME["ST elevation"].judge(tracing(leads={"II": lead(j_mV=0.2), "III": lead(j_mV=0.3)}))
    assert ("J", 0.2, "mV", "II") in v.values
    assert ("J", 0.3, "mV", "III") in v.values
    assert v.leads == ("II", "III")
    assert v.beats == 9
    assert "0.3 mV" in v.why


def test_look_now_lists_what_is_met_and_is_no_alarm() -> None:
    assert look_now(judge(tracing())) == ()
    found = look_now(judge(tracing(bpm=60.0, qt=520.0, leads={"II": lead(j_mV=0.2), "III": lead(j_mV=0.2)})))
    assert [u.verdict.name for u in found] == ["ST elevation", "QTc of 500 ms or more"]
    assert all("no alarm" in u.sentence for u in found)


def test_some_and_every_know_what_is_open() -> None:
    look = LookAt(tracing())

    def unknown() -> bool:
        raise NotAssessable("open")

    assert look.any_of(unknown, lambda: True)
    assert not look.all_of(unknown, lambda: False)
    with pytest.raises(NotAssessable):
        look.any_of(unknown, lambda: False)
    with pytest.raises(NotAssessable):
        look.all_of(unknown, lambda: True)
    assert not look.some(lambda x: x > 1, (1, 1, 2), 2)
    assert look.points(5, "points", (3, lambda: True), (2, lambda: True), (9, unknown))
    assert not look.points(9, "points", (3, lambda: True), (2, unknown))


def test_serial_comparison() -> None:
    def named(changes: tuple[Any, ...]) -> dict[str, str]:
        return {c.name: c.verdict for c in changes}

    same = named(serial(tracing(), tracing()))
    assert set(same.values()) == {"unchanged"}
    later = tracing(
        bpm=95.0, pr=185.0, qrs=150.0, axis=-60.0, leads=LBBB | {"V2": replace(LBBB["V2"], j_mV=0.3)}
    )
    now = named(serial(tracing(), later))
    for name in ("rate", "PR", "QRS", "axis", "ST V2", "left bundle branch block"):
        assert now[name] == "changed", name
    assert now["ST V5"] == "unchanged"
    assert now["Q waves of prior infarction"] == "not comparable"  # ST and Q follow the wide QRS
    gone = {c.name: c for c in serial(tracing(pr=None), tracing())}
    assert gone["PR"].verdict == "not comparable"
    assert "older" in gone["PR"].why
    # across the seam of the circle: -170 and 170 deg are 20 deg apart
    assert named(serial(tracing(axis=-170.0), tracing(axis=170.0)))["axis"] == "unchanged"
    # less certain measurements need a larger difference
    rough = replace(tracing(pr=185.0).matrix, pr=Interval(185.0, 20.0, ""))
    assert named(serial(tracing(), replace(tracing(), matrix=rough)))["PR"] == "unchanged"


def test_a_virtual_patient_is_read() -> None:
    ecg = electrocardiogram(50.0, noise_mv=0.01, seed=1)
    t = read_tracing(ecg.mv[:2], ecg.hz, ("I", "II"), age_a=40.0, sex="female")
    assert t is not None
    assert set(t.matrix.leads) == {"I", "II", "III", "aVR", "aVL", "aVF"}
    whole = read_tracing(ecg.mv, ecg.hz, LEADS, age_a=40.0, sex="female")
    assert whole is not None
    found: dict[str, Verdict] = {v.name: v for v in judge(whole)}
    assert found["sinus bradycardia"].verdict == "met"
    assert found["left bundle branch block"].verdict == "not met"
    assert found["ST elevation, right leads"].verdict == "not assessable"
    assert read_tracing(np.zeros((12, 5000)), 500.0, LEADS) is None


@pytest.mark.data
@pytest.mark.slow
def test_real_labels(data: Callable[[str], Path]) -> None:
    """Counts that must not fall: LUDB's bradycardias, its fibrillations, its bundle branch blocks."""
    from carna.learn.ecg_statements import evaluate

    rows = {(r.set, r.task, r.metric): r for r in evaluate(data("ludb").parent)}
    assert rows["LUDB", "statement: sinus bradycardia", "sensitivity"].value >= 0.9
    assert rows["LUDB", "statement: atrial fibrillation", "specificity"].value >= 0.97
    assert rows["LUDB, CinC2021", "limb leads as recorded", "specificity"].value >= 0.98
    assert rows["LUDB, CinC2021", "chest leads as recorded", "specificity"].value >= 0.98
    assert rows["LUDB, CinC2021", "exchanged LA/RA", "sensitivity"].value >= 0.96
    assert rows["LUDB", "statement: left bundle branch block", "hits"].positives == 3


def test_a_gap_in_the_recording_is_no_pause() -> None:
    """Four seconds in which nothing was recorded are not four seconds without a beat."""
    from carna.ecg.criteria.reading import read
    from carna.phantom.ecg import LEADS, electrocardiogram

    made = electrocardiogram(75.0, seconds=20.0, noise_mv=0.01, seed=4)
    mv = made.mv.copy()
    mv[:, int(8 * made.hz) : int(12 * made.hz)] = float("nan")
    tracing = read(mv, made.hz, LEADS, age_a=50.0, sex="female").tracing
    assert tracing is not None and tracing.events is not None
    assert not [e for e in tracing.events if e.kind == "pause"]
