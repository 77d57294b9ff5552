"""Criteria of rhythm and AV conduction: poor traces, flutter, and what makes a block complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carna.ecg.arrhythmia import Conduction, Event
from carna.ecg.criteria import CRITERIA
from carna.ecg.criteria.base import Tracing
from carna.ecg.criteria.reading import read_tracing
from carna.phantom.ecg import LEADS, electrocardiogram

BY_NAME = {c.name: c for c in CRITERIA}
POOR = dict.fromkeys(LEADS[:7], "noise")


@pytest.fixture(scope="module")
def tracing() -> Tracing:
    made = electrocardiogram(56.0, noise_mv=0.01, seed=1)
    read = read_tracing(made.mv, made.hz, LEADS, age_a=50.0, sex="male", paced=False)
    assert read is not None
    return replace(read, flutter=False)


def verdict(name: str, tracing: Tracing) -> str:
    return BY_NAME[name].judge(tracing).verdict


def poor(tracing: Tracing) -> Tracing:
    assert tracing.integrity is not None
    return replace(tracing, integrity=replace(tracing.integrity, unusable=POOR))


@pytest.mark.parametrize(
    "name",
    [
        "atrial fibrillation", "atrial flutter", "ventricular ectopic beats",
        "supraventricular ectopic beats", "pause of 3 s", "ventricular tachycardia",
        "sustained ventricular tachycardia", "sinus bradycardia", "second-degree AV block",
        "third-degree AV block",
    ],
)  # fmt: skip
def test_nothing_is_concluded_from_finding_nothing_in_a_poor_trace(name: str, tracing: Tracing) -> None:
    assert verdict(name, tracing) in ("not met", "met")
    assert verdict(name, poor(tracing)) == "not assessable"


def test_fibrillation_and_ectopy_in_a_poor_trace_are_not_called_either(tracing: Tracing) -> None:
    found = replace(tracing, fibrillation=True, kinds={"normal": 9, "ventricular": 2, "supraventricular": 1})
    for name in ("atrial fibrillation", "ventricular ectopic beats", "supraventricular ectopic beats"):
        assert verdict(name, found) == "met"
        assert verdict(name, poor(found)) == "not assessable"


def test_a_pause_or_tachycardia_that_was_found_stands(tracing: Tracing) -> None:
    events = (Event("pause", 1.0, 4.5, 1, 2, None), Event("ventricular tachycardia", 5.0, 6.0, 3, 6, 180.0))
    found = poor(replace(tracing, events=events))
    assert verdict("pause of 3 s", found) == "met"
    assert verdict("ventricular tachycardia", found) == "met"


def test_flutter_waves_are_no_blocked_p_waves(tracing: Tracing) -> None:
    dropped = replace(tracing, conduction=Conduction(20, 10, (1.0,) * 10, 0, 180.0, False))
    assert verdict("second-degree AV block", dropped) == "met"
    waving = replace(dropped, flutter=True)
    for name in ("second-degree AV block", "high-grade AV block", "third-degree AV block"):
        assert verdict(name, waving) == "not assessable"
    assert verdict("atrial flutter", waving) == "met"
    assert verdict("sinus bradycardia", waving) == "not met"


def test_dissociation_without_blocked_p_waves_is_no_complete_block(tracing: Tracing) -> None:
    assert verdict("third-degree AV block", replace(
        tracing, conduction=Conduction(14, 8, (1.0, 3.0, 5.0), 0, None, True))) == "met"  # fmt: skip
    faster_below = Conduction(10, 10, (), 0, None, True)
    assert verdict("third-degree AV block", replace(tracing, conduction=faster_below)) == "not met"


def test_dissociated_p_waves_have_no_pr_and_lead_no_beats(tracing: Tracing) -> None:
    apart = replace(tracing, conduction=Conduction(14, 8, (1.0, 3.0, 5.0), 0, None, True))
    assert verdict("sinus bradycardia", tracing) == "met"
    assert verdict("sinus bradycardia", apart) == "not met"
    assert verdict("first-degree AV block", tracing) == "not met"
    assert verdict("first-degree AV block", apart) == "not assessable"
