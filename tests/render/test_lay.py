"""Plain words: every number is one of the findings, nothing is said that was not found, nothing reassures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.render.readings import findings_of, holter, resting

from carna import codes
from carna.case import Case
from carna.findings import Absent, Findings, Measurement, Review, Sd, Statement
from carna.render.lay import sentences
from carna.render.page import to_html
from carna.render.words import LANGUAGES, Language, words

REASSURES = re.compile(
    r"\bnormal\b|\bfine\b|healthy|\bgood\b|\bsafe\b|no problem|worry|all clear|excluded|recommend|should|must"
    r"|正常|健康|放心|安全|排除|建议|无需|良好|必须|应当",
    re.I,
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def numbers_of(findings: Findings) -> set[float]:
    """Return every number the findings allow: values, and counts of leads and of absences."""
    values = {i.value for i in findings.items if isinstance(i, Measurement)}
    leads = [i for i in findings.coded(codes.SIGNAL_QUALITY) if isinstance(i, Statement) and i.site]
    usable = sum(i.verdict == "met" for i in leads)
    absent = sum(isinstance(i, Absent) and i.site is None for i in findings.items)
    return values | {float(len(leads)), float(usable), float(absent)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reading", [resting, holter])
def test_every_number_is_one_of_the_findings(language: Language, reading: object) -> None:
    _, findings = reading()  # type: ignore[operator]
    allowed = numbers_of(findings)
    said = [float(n) for line in sentences(findings, words(language)) for n in NUMBER.findall(line)]
    assert len(said) >= 5
    for number in said:
        assert any(abs(number - value) <= 0.5 for value in allowed), number


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_numbers_follow_the_findings(language: Language) -> None:
    """Another value gives another sentence: no number is the template's own."""
    _, findings = resting()
    changed = [replace(i, value=i.value + 400.0) if isinstance(i, Measurement) else i for i in findings.items]
    before = " ".join(sentences(findings, words(language)))
    after = " ".join(sentences(replace(findings, items=tuple(changed)), words(language)))
    whole = [i for i in findings.items if isinstance(i, Measurement) and i.id in ("rate", "qrs", "qt")]
    for item in whole:
        assert f"{item.value:.0f}" in NUMBER.findall(before)
        assert f"{item.value + 400:.0f}" in NUMBER.findall(after)


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_reassures_or_recommends(language: Language) -> None:
    every = [words(language).texts[key] for key in words(language).texts if key.startswith("lay_")]
    said = [line for reading in (resting, holter) for line in sentences(reading()[1], words(language))]
    for line in (*every, *said):
        assert not REASSURES.search(line), line


def test_what_was_not_met_is_not_spoken_of_and_what_is_open_is() -> None:
    text = " ".join(sentences(resting()[1], words("en")))
    assert "atrial fibrillation" in text
    assert "left bundle branch block" not in text
    assert re.search(r"could not be judged.*ventricular tachycardia", text)


def test_conclusions_that_lead_to_treatment_wait_for_a_person() -> None:
    _, findings = resting()
    risky = replace(findings, high_stakes=True, synthetic=False)
    text = " ".join(sentences(risky, words("en")))
    assert "fibrillation" not in text
    assert words("en").text("lay_waiting") in text
    review = Review("Roe^Richard", "2024-03-02T08:00:00", {})
    nobody_accepted = " ".join(sentences(risky.corrected((), review, final=True), words("en")))
    assert "atrial fibrillation" not in nobody_accepted
    review = Review("Roe^Richard", "2024-03-02T08:00:00", {i.id: "accepted" for i in risky.items})
    accepted = " ".join(sentences(risky.corrected((), review, final=True), words("en")))
    assert "atrial fibrillation" in accepted
    assert "Roe Richard" in accepted


def test_an_absent_rate_is_said_to_be_absent() -> None:
    absent = Absent(id="rate", code=codes.VENTRICULAR_RATE, why="no beats")
    text = sentences(findings_of((absent,), "ecg_reading"), words("en"))
    assert words("en").text("lay_rate_absent") in text
    assert not any(NUMBER.search(line) for line in text)


def test_many_open_criteria_are_counted_not_named() -> None:
    _, findings = resting()
    open_ones = tuple(
        Statement(id=f"open.c{n}", code=code, verdict="not assessable", rule="r")
        for n, code in enumerate((codes.LBBB, codes.RBBB, codes.LAFB, codes.LPFB))
    )
    lines = sentences(replace(findings, items=(*findings.items, *open_ones)), words("en"))
    assert words("en").text("lay_open_count").format(n=5) in lines
    assert "fascicular" not in " ".join(lines)


def test_findings_on_something_else_have_no_plain_words() -> None:
    volume = Measurement(id="lv.edv", code=codes.LV_EDV, value=120.0, unit="mL", uncertainty=Sd(2.0))
    assert sentences(findings_of((volume,), "volumes"), words("en")) == ()


def test_a_criterion_without_a_plain_name_keeps_its_own() -> None:
    _, findings = resting()
    said = Statement(id="x", code=codes.LPFB, verdict="met", rule="r")
    text = " ".join(sentences(replace(findings, items=(*findings.items, said)), words("en")))
    assert "Left posterior fascicular block" in text


def test_the_page_holds_them_folded() -> None:
    case: Case = resting()[0]
    html = to_html(resting()[1], case)
    folded = re.search(r'<details class="plain">(.*?)</details>', html, re.S)
    assert folded is not None
    assert "<summary>In plain words</summary>" in folded[1]
    assert "about 72 times a minute" in folded[1]
