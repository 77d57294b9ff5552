"""The page: everything said is in it, nothing from outside can act in it, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Literal

import pytest

from carna import codes
from carna.case import Case, Problem
from carna.errors import RenderError
from carna.findings import Absent, Evidence, Review, Statement
from carna.render.page import to_html
from carna.render.say import numbers
from carna.study import Study

VOID = {"meta", "br", "img", "input", "link", "hr", "path", "rect", "use", "polyline", "circle", "line"}


class Reader(HTMLParser):
    """Collects the text a person sees, every attribute, and whether the tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def read(html: str) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader, " ".join(" ".join(reader.text).split())


@pytest.fixture(scope="module")
def html(small):
    problems = (Problem("a<b>.dcm", "found <x>", "needed y", "fix z"),)
    return to_html((small.rhythm, small.heart, small.every), small.case, problems=problems)


def test_what_came_from_outside_is_text(html):
    reader, text = read(html)
    assert "<script>alert(1)" not in html and "Doe <script>alert(1)</script>" in text
    assert "fewer than <20> normal beats & one pause" in text
    assert "cine_sax <b>&" in text and "Heart & <i>rhythm</i>" in text and "a<b>.dcm" in text
    assert sum(tag == "script" for tag, _ in reader.tags) == 1


def test_nothing_is_fetched_and_only_our_script_may_run(html):
    reader, _ = read(html)
    for tag, attrs in reader.tags:
        assert tag not in ("iframe", "object", "embed", "form", "base", "link")
        assert all(not name.startswith("on") for name in attrs)
        source = attrs.get("src") or attrs.get("xlink:href") or ""
        assert not source or source.startswith(("data:", "#")), tag
        if tag != "a":
            assert not (attrs.get("href") or "").startswith("http")
    style = "".join(re.findall(r"<style>(.*?)</style>", html, re.S))
    assert (
        all(u.startswith(("data:", "#")) for u in re.findall(r"url\(([^)]*)\)", style))
        and "@import" not in style
    )
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html and "default-src 'none'" in html


def test_every_item_is_spoken_of(html, small):
    _, text = read(html)
    for item in (*small.rhythm.items, *small.heart.items, *small.every.items):
        assert item.code.meaning in text, item.id
    for phrase in (
        "75.0",
        "73.5 to 76.4 (95 %)",
        "± 4 (SD)",
        "none stated: ten seconds are too few for an interval",
        "criteria met",
        "criteria not met",
        "not assessable",
        "probability 0.20 (calibration: record 1)",
        "coefficient of variation of RR below 0.05",
        "no systole was seen",
    ):
        assert phrase in text, phrase


def test_volumes_are_those_of_the_region(html, small):
    _, text = read(html)
    first, last = numbers(small.heart["heart"].volume_ml(1))
    assert f"{first} mL (frame 1), {last} mL (frame 4)" in text


def test_the_banners_stand_before_the_numbers(html):
    _, text = read(html)
    first_number = text.index("Ventricular Heart Rate")
    for sentence in ("Research use only", "Synthetic data", "Preliminary", "could influence treatment"):
        assert text.index(sentence) < first_number


def test_a_validated_final_result_of_a_person_has_no_banner(small_case, rhythm):
    person = replace(small_case.patient, synthetic=False)
    study = replace(small_case.studies[0], patient=person)
    review = Review("Dr. Z", "2024-03-02T08:00:00+00:00", {})
    final = replace(rhythm, validated=True, synthetic=False, review=review, status="final")
    html = to_html(final, Case(person, (study,)))
    _, text = read(html)
    assert 'class="banner' not in html and "Final: reviewed by Dr. Z" in text


def test_what_is_shown_in_part_is_named(html):
    _, text = read(html)
    assert "heart (Region)" in text and "s (Shape)" in text


def test_one_line_says_what_is_the_same_for_many_leads(small, rhythm):
    def usable(lead: str, verdict: Literal["met", "not met"], rule: str) -> Statement:
        site, seen = codes.lead(lead), (Evidence("1.2.3.1", (lead,), 0.0, 10.0),)
        id = f"lead.{lead.lower()}"
        return Statement(
            id=id, code=codes.SIGNAL_QUALITY, site=site, verdict=verdict, rule=rule, evidence=seen
        )

    items = (
        *(usable(lead, "met", "usable") for lead in ("I", "II", "III")),
        usable("V1", "not met", "usable; this lead: flat"),
        *(Absent(id=f"a.{n}", code=c, why="one reason") for n, c in enumerate((codes.SDNN, codes.RMSSD))),
    )
    _, text = read(to_html(replace(rhythm, items=items), small.case))
    assert text.count("Signal quality") == 1 and text.count("one reason") == 1
    assert "I met II met III met V1 not met" in text
    assert "I, II, III: usable" in text and "V1: usable; this lead: flat" in text
    assert "leads I, II, III, V1 · 0.00 to 10.00 s" in text


def test_links_lead_to_the_sources(html):
    assert 'href="https://doi.org/10.1000/182"' in html


def test_a_citation_cannot_smuggle_a_script(small, rhythm):
    bad = replace(rhythm, manifest=replace(rhythm.manifest, cites=("javascript:alert(1)",)))
    reader, _ = read(to_html(bad, small.case))
    assert all(not (a.get("href") or "").startswith("javascript") for _, a in reader.tags)


def test_chinese_is_chinese(small):
    html = to_html((small.rhythm, small.heart), small.case, "zh")
    _, text = read(html)
    assert '<html lang="zh-Hans">' in html
    for phrase in ("心室率", "仅供研究使用", "符合标准", "未获得", "舒张末期", "至"):
        assert phrase in text


def test_the_page_is_small_and_the_same_twice(html, small):
    problems = (Problem("a<b>.dcm", "found <x>", "needed y", "fix z"),)
    assert html == to_html((small.rhythm, small.heart, small.every), small.case, problems=problems)
    assert len(html.encode()) < 1_500_000


def test_ids_are_unique_and_links_inside_lead_somewhere(html):
    reader, _ = read(html)
    ids = [a["id"] for _, a in reader.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    inside = [a["href"] for _, a in reader.tags if (a.get("href") or "").startswith("#")]
    assert {h[1:] for h in inside if h} <= set(ids)


def test_given_figures_are_used_as_they_are(small):
    html = to_html(small.heart, small.case, figures={"short-axis.1": b"\x89PNG given"})
    assert base64.b64encode(b"\x89PNG given").decode() in html


def test_a_study_without_findings_has_a_page(small_case):
    _, text = read(to_html((), small_case))
    assert "No application has run" in text and "Research use only" in text


def test_several_studies_are_refused(small, rhythm):
    other = Study("7.7", small.case.patient)
    case = Case(small.case.patient, (*small.case.studies, other))
    with pytest.raises(RenderError):
        to_html((rhythm, replace(rhythm, study="7.7")), case)


def _contrast(first: str, second: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_text_colour_has_the_contrast_of_wcag_aa(html):
    schemes = re.findall(r":root \{(.*?)\n\s*\}", html, re.S)[:2]
    for scheme in schemes:
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", scheme))
        pairs = [(ink, back) for ink in ("ink", "quiet", "line") for back in ("page", "card", "soft")]
        pairs += [(f"{c}-ink", c) for c in ("amber", "violet", "blue", "red")]
        for ink, back in pairs:
            assert _contrast(colour[ink], colour[back]) >= 4.5, (ink, back)
