"""The reading against an earlier electrocardiogram: both values, both dates, in items and on the page."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from carna.app import applications, run
from carna.case import Case
from carna.codes import ecg_statements
from carna.findings import Absent, Findings, Measurement, Statement, from_json, to_json
from carna.phantom.ecg import LEADS, Electrocardiogram, electrocardiogram
from carna.render.comparison import comparison
from carna.render.page import to_html
from carna.render.words import words
from carna.study import Ecg, Lazy, Origin, Patient, Study

WHO = Patient("P-1", "", "Doe^Jane", "1960-02-03", "female", synthetic=True)


def study(uid: str, time: str, made: Electrocardiogram | None) -> Study:
    values = np.zeros((12, 5000)) if made is None else made.mv
    hz = 500.0 if made is None else made.hz
    ecg = Ecg(Origin(f"{uid}.1", "ECG", "resting", 1), Lazy.of(values.astype(np.float32)), LEADS, hz)
    return Study(uid, WHO, time, "ECG", "", (ecg,))


@cache
def case() -> Case:
    calm = electrocardiogram(62.0, noise_mv=0.01, seed=1)
    later = electrocardiogram(104.0, rhythm="af", variability=0.2, noise_mv=0.01, seed=3)
    return Case(
        WHO,
        (
            study("1.2.1", "2022-01-05T08:30:00", None),
            study("1.2.2", "2023-01-05T08:30:00", calm),
            study("1.2.3", "2023-01-05T20:30:00", calm),
            study("1.2.4", "2024-03-01T09:30:00", later),
        ),
    )


@cache
def read(uid: str) -> Findings:
    return run(applications()["ecg_reading"], case(), uid)


def test_without_an_earlier_one_it_says_so() -> None:
    found = read("1.2.1")
    (item,) = [i for i in found.items if i.code == ecg_statements.SINCE_EARLIER]
    assert isinstance(item, Absent) and "no earlier" in item.why
    assert not [i for i in found.items if i.id.startswith("change")]


def test_an_earlier_one_that_cannot_be_read_makes_every_change_absent() -> None:
    changes = [i for i in read("1.2.2").items if i.id.startswith("change")]
    assert len(changes) == len(ecg_statements.CHANGES)
    assert all(isinstance(i, Absent) and "the earlier" in i.why for i in changes)


def test_the_same_again_has_not_changed() -> None:
    found = read("1.2.3")
    apart = found["earlier"]
    assert isinstance(apart, Measurement) and apart.value == pytest.approx(0.5) and apart.unit == "d"
    judged = [i for i in found.items if isinstance(i, Statement) and i.id.startswith("changed.")]
    assert "met" not in {i.verdict for i in judged}
    assert found["change.pr"].value == pytest.approx(0.0, abs=1e-9)
    shown = comparison(found, case().study("1.2.3"), words("en"))
    assert shown is not None and (shown.earlier, shown.now) == ("2023-01-05 08:30", "2023-01-05 20:30")


def test_a_change_has_both_values_and_both_dates() -> None:
    found = read("1.2.4")
    rate = found["changed.rate"]
    assert isinstance(rate, Statement) and rate.verdict == "met"
    assert "2023-01-05" in rate.rule and "2024-03-01" in rate.rule  # the newest earlier one
    before, now = found["rate"].value - found["change.rate"].value, found["rate"].value
    assert before == pytest.approx(read("1.2.3")["rate"].value, abs=0.1)
    assert f"{before:.3g} to {now:.3g} /min" in rate.rule
    assert found["changed.atrial_fibrillation"].verdict == "met"
    assert found["changed.pr"].verdict == "not assessable"  # no P waves now
    assert found["changed.left_bundle_branch_block"].verdict == "not met"
    sites = [i.site for i in found.items if i.id.startswith("changed.st_")]
    assert len(set(sites) - {None}) == 12
    text, blobs = to_json(found)
    assert to_json(from_json(text, blobs.__getitem__))[0] == text


@pytest.mark.parametrize(("language", "changed"), [("en", "changed"), ("zh", "有变化")])
def test_the_page_lays_them_side_by_side(language: str, changed: str) -> None:
    found, study_ = read("1.2.4"), case().study("1.2.4")
    in_words = words(language)  # type: ignore[arg-type]
    shown = comparison(found, study_, in_words)
    assert shown is not None and (shown.earlier, shown.now) == ("2023-01-05", "2024-03-01")
    rate = shown.lines[0]
    assert (rate.earlier, rate.now, rate.change, rate.verdict) == ("62", "101", "+39", "changed")
    (st,) = [line for line in shown.lines if line.cells]
    assert [lead for lead, _, _ in st.cells] == list(LEADS)
    assert in_words.meaning(ecg_statements.CHANGES["PR"]).replace("，", ",").split(",")[0] in shown.open
    html = to_html((found,), case().only("1.2.4"), language)  # type: ignore[arg-type]
    assert changed in html and "2023-01-05" in html
    assert html.count('<table class="compared">') == 1
