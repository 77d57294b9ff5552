"""Median beats, summaries, strips and full disclosures: against the geometry of paper and exact truth."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tests.render.readings import SERIES, findings_of, holter, resting

import carna
from carna import codes
from carna.codes import ecg_statements
from carna.findings import Curve, Events, Evidence, Measurement, Sd, Statement
from carna.render import disclosure, ecg_figures, ecg_items, holter_figures, ink, paper
from carna.render.figures import drawings, figures, to_png
from carna.render.lead_table import lead_table
from carna.render.page import to_html
from carna.render.words import LANGUAGES, words
from carna.study import Ecg, Lazy

EN = words("en")


def recording() -> Ecg:
    (part,) = holter()[0].studies[0].parts
    assert isinstance(part, Ecg)
    return part


def with_pr() -> Any:
    case, findings = resting()
    pr = Measurement(id="pr", code=codes.PR_INTERVAL, value=164.0, unit="ms", uncertainty=Sd(4.0))
    items = tuple(pr if i.id == "pr" else i for i in findings.items)
    return case, replace(findings, items=items)


def lines(figure: Figure, colour: str) -> list[np.ndarray]:
    """Return the points of every line of a colour."""
    found = [
        line for axes in figure.axes for line in axes.lines if to_rgb(line.get_color()) == to_rgb(colour)
    ]
    return [np.asarray(line.get_xydata()) for line in found]


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts] + [t.get_text() for t in figure.texts]


# The median beat -----------------------------------------------------------------------------------------


def test_a_median_millivolt_is_twenty_millimetres_and_a_second_fifty() -> None:
    _, findings = resting()
    beat = ecg_items.median(findings)
    assert beat is not None
    drawn = [p for p in lines(ecg_figures.draw_median(findings, EN), ink.TRACE) if len(p) == len(beat.x_ms)]
    assert len(drawn) == 24
    widths = sorted({round(float(np.ptp(p[:, 0])), 6) for p in drawn})
    per_ms = [w / float(np.ptp(beat.x_ms)) for w in widths]
    assert per_ms == pytest.approx([0.05, 0.1])
    by_lead = dict(
        zip([lead for n in range(3) for lead in (c[n] for c in paper.STANDARD)], drawn, strict=False)
    )
    for lead, mv in beat.mv.items():
        assert np.ptp(by_lead[lead][:, 1]) == pytest.approx(20 * np.ptp(mv)), lead


def test_brackets_end_at_the_boundaries_and_bear_the_findings_numbers() -> None:
    _, findings = with_pr()
    beat = ecg_items.median(findings)
    assert beat is not None
    shown = {name: (start, stop, m.value) for name, start, stop, m in ecg_figures.brackets(findings, beat)}
    assert set(shown) == {"PR", "QRS", "QT"}
    assert shown["QRS"][:2] == beat.waves[codes.QRS_COMPLEX]
    assert shown["PR"][1] == shown["QRS"][0] == shown["QT"][0]
    assert shown["QT"][1] == beat.waves[codes.T_WAVE][1]
    figure = ecg_figures.draw_median(findings, EN)
    bars = [p for p in lines(figure, ink.INK) if len(p) == 6]
    spans = [float(np.ptp(p[:, 0])) for p in bars]
    assert spans == pytest.approx([0.1 * (stop - start) for start, stop, _ in shown.values()])
    assert {"PR 164 ms", "QRS 98 ms", "QT 388 ms"} <= set(texts(figure))


def test_an_absent_interval_has_no_bracket() -> None:
    _, findings = resting()
    beat = ecg_items.median(findings)
    assert beat is not None
    assert [name for name, *_ in ecg_figures.brackets(findings, beat)] == ["QRS", "QT"]
    assert not any(t.startswith("PR") for t in texts(ecg_figures.draw_median(findings, EN)))


def test_three_leads_and_no_boundaries_are_drawn_too() -> None:
    _, findings = resting()
    few = tuple(i for i in findings.items if i.id in ("median.i", "median.v2", "median.v6"))
    figure = ecg_figures.draw_median(replace(findings, items=few), EN)
    assert {"I", "V2", "V6"} <= set(texts(figure))


def test_the_median_beats_waves_are_not_marked_on_the_rhythm_strip() -> None:
    _, findings = resting()
    marked = dict(paper.beats_of([i for i in findings.items if isinstance(i, Events)], SERIES))
    assert codes.QRS_COMPLEX not in marked
    assert sum(len(t) for t in marked.values()) == 11


def test_one_figure_for_many_curves_and_quickly() -> None:
    case, findings = resting()
    figures(findings, case)
    begun = time.perf_counter()
    drawn = figures(findings, case)
    # Half a second here; the machines of others are slower.
    assert time.perf_counter() - begun < 3.0
    assert set(drawn) == {"ecg.1", "median.ecg_reading", "tachogram.ecg_reading.beats"}


def test_ectopic_beats_have_their_colour_on_the_paper() -> None:
    case, findings = resting()
    html = to_html(findings, case)
    assert html.count('class="beat normal"') == 10
    assert html.count('class="beat ventricular"') == 1


# The long recording --------------------------------------------------------------------------------------


def test_the_minutes_have_the_rates_they_were_made_with() -> None:
    times = np.concatenate([np.arange(0, 600, 1.0), np.arange(600, 1200, 0.5)])
    at, rate = holter_figures.minutes(times, 1260.0)
    assert at[:2].tolist() == [30.0, 90.0]
    assert rate[:10] == pytest.approx(60.0)
    assert rate[10:20] == pytest.approx(120.0)
    assert np.isnan(rate[20])


@pytest.mark.slow
def test_the_summary_shows_the_hours_the_episodes_and_every_interval() -> None:
    case, findings = holter()
    figure = holter_figures.draw_summary(findings, case.studies[0], EN)
    rates, episodes, ectopy, tachogram, cloud, histogram = figure.axes
    hours = ecg_items.hourly(findings)
    means = [np.asarray(line.get_xydata()) for line in rates.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(means[0], np.stack([hours["rate.mean"].x + 0.5, hours["rate.mean"].y], 1))
    assert "Atrial Fibrillation: 1, 60.0 min" in [t.get_text() for t in episodes.texts]
    assert "Asystole: 1, 2.5 s" in [t.get_text() for t in episodes.texts]
    for colour, key in ((ink.VENTRICULAR, "v"), (ink.SUPRAVENTRICULAR, "s")):
        bars = [b for b in ectopy.patches if to_rgb(b.get_facecolor()) == to_rgb(colour)]
        assert all(b.get_width() < 5 / 60 for b in bars)  # of three hours, each five minutes
        of_hour = np.array([b.get_x() + b.get_width() / 2 for b in bars]).astype(int)
        assert np.bincount(of_hour, [b.get_height() for b in bars]).tolist() == [*hours[key].y]
    dots = sum(len(line.get_xdata()) for line in tachogram.lines)
    times, kinds = ecg_items.beats_in((findings,), SERIES)
    assert dots == len(times) - 1
    assert sum(len(line.get_xdata()) for line in cloud.lines) == len(times) - 2 + 2
    red = [line for line in cloud.lines if line.get_color() == ink.VENTRICULAR]
    assert len(red[0].get_xdata()) == int((kinds == "ventricular").sum())
    counted = sum(p.get_height() for p in histogram.patches)
    assert counted == pytest.approx(len(times) - 1, abs=20)
    assert next(t.get_text() for t in rates.get_xticklabels()) == "09:30"


def test_what_a_short_interval_was_the_evidence_of_is_a_strip_once() -> None:
    case, findings = holter()
    shown = ecg_items.strips(findings, case.studies[0])
    assert [s.item.id for s in shown] == ["v.count", "rate.min", "rate.max", "rhythm.af"]
    figure = holter_figures.draw_strips(findings, case.studies[0], 0, EN)
    said = texts(figure)
    assert "Atrial Fibrillation: criteria met   10:30:00" in said
    assert any(re.fullmatch(r"Ventricular Heart Rate, maximum \d+ /min   10:36:40", t) for t in said)
    assert said.count("V") >= 1
    traces = [p for p in lines(figure, ink.TRACE)]
    assert len(traces) == 8
    assert {round(float(np.ptp(p[:, 0])), 1) for p in traces} == {249.8}


def test_a_ten_second_recording_has_no_strips() -> None:
    case, findings = resting()
    assert ecg_items.strips(findings, case.studies[0]) == ()
    assert holter_figures.recording(findings, case.studies[0]) is None


# Full disclosure -----------------------------------------------------------------------------------------


def page_of(values: np.ndarray, hz: float, rows: int) -> tuple[np.ndarray, float]:
    count = rows * disclosure.COLUMNS
    black, white = np.zeros((count, 3), np.uint8), np.full((count, 3), 255, np.uint8)
    return disclosure.raster(values, hz, black, white)


@pytest.mark.parametrize("hz", [100.0, 128.0, 250.0, 1000.0])
def test_a_spike_of_one_sample_is_seen_in_its_row_and_column(hz: float) -> None:
    values = np.zeros(round(180 * hz), np.float32)
    spike = round((60 + 12.5) * hz)
    values[spike] = 1.0
    picture, gain = page_of(values, hz, 3)
    above, base = (n * disclosure.PITCH for n in (1.75, 2.75))
    dark = np.argwhere((picture == 0).all(2))
    dark = dark[dark[:, 0] > above + 1]
    top = dark[dark[:, 0].argmin()]
    assert top[0] == pytest.approx(base - gain, abs=1)
    assert top[1] == pytest.approx(12.5 * disclosure.COLUMNS / 60, abs=1)


def test_what_was_not_recorded_is_empty_and_what_is_flat_is_a_line() -> None:
    values = np.zeros(120 * 100, np.float32)
    values[3000:6000] = np.nan
    picture, _ = page_of(values, 100.0, 2)
    rows = (picture[: 2 * disclosure.PITCH] == 0).all(2).sum(0)
    assert (rows[: disclosure.COLUMNS // 2 - 1] == 1).all()
    assert (rows[disclosure.COLUMNS // 2 + 1 : -1] == 0).all()


def test_the_trace_has_no_holes_where_it_climbs() -> None:
    values = np.sin(np.arange(60 * 60) / 20.0).astype(np.float32)
    picture, _ = page_of(values, 60.0, 1)
    dark = (picture == 0).all(2)
    top, bottom = dark.argmax(0), len(dark) - 1 - dark[::-1].argmax(0)
    assert (top[1:] <= bottom[:-1] + 1).all()
    assert (bottom[1:] >= top[:-1] - 1).all()


def test_ectopic_beats_and_fibrillation_are_coloured_where_they_are() -> None:
    case, findings = holter()
    figure = disclosure.draw_page(recording(), findings, 1, case.studies[0].time, EN)
    image = np.asarray(figure.images[0].get_array())
    violet = (image == np.array([238, 232, 250])).all(2)
    assert violet[disclosure.PITCH : 2 * disclosure.PITCH].mean() > 0.5
    red = (image == np.array(disclosure._rgb(ink.VENTRICULAR))).all(2)
    times, kinds = ecg_items.beats_in((findings,), SERIES)
    hour = times[(kinds == "ventricular") & (times >= 3600) & (times < 7200)] - 3600
    per_s = disclosure.COLUMNS / disclosure.ROW_S
    for at in hour[:20]:
        row, column = int(at // 60), int(at % 60 * per_s)
        near = red[
            row * disclosure.PITCH : (row + 3) * disclosure.PITCH,
            max(0, column - 4) : column + 9,
        ]
        assert near.any()
    assert red.any(0).mean() < 0.95
    last = disclosure.draw_page(recording(), findings, 2, case.studies[0].time, EN)
    unrecorded = np.asarray(last.images[0].get_array())[60 * disclosure.PITCH + 12]
    assert (unrecorded == 236).all()
    assert "11:30:00" in texts(last)


def test_pages_and_clock() -> None:
    ecg = recording()
    assert disclosure.pages(ecg) == 3
    assert disclosure.clock(ecg, "2024-03-01T23:30:00", 3600.0) == "00:30:00"
    assert disclosure.clock(ecg, "", 3661.0) == "+1:01:01"


@pytest.mark.slow
def test_every_figure_of_a_long_recording_in_both_languages() -> None:
    case, findings = holter()
    for language in LANGUAGES:
        named = {name: draw for name, draw in drawings(findings, case, language)}
        assert set(named) == {
            "ecg.1",
            "holter.holter_reading",
            "strips.holter_reading.1",
            *(f"disclosure.holter_reading.{n}" for n in (1, 2, 3)),
        }
        for name in ("holter.holter_reading", "disclosure.holter_reading.3"):
            assert to_png(named[name]()).startswith(b"\x89PNG")


def test_the_page_shows_them_and_no_line_for_each_curve() -> None:
    case, findings = holter()
    html = to_html(findings, case)
    assert len(html) < 3_000_000
    assert 'class="plot full"' in html
    assert html.count("disclosure.holter_reading") == 2
    assert '<th scope="row">Ventricular Heart Rate, minimum' in html
    assert "points," not in html


@pytest.mark.data
def test_a_real_recording_is_drawn(data: Callable[[str], Path]) -> None:
    """The whole path with real noise: beats of an expert, hours, strips and pages."""
    read = carna.read(data("mitbih-9") / "208.hea")
    case = read.cases[0]
    ecg = next(p for p in case.studies[0].parts if isinstance(p, Ecg))
    seen = (Evidence(ecg.origin.uid, ecg.leads),)
    expert = next(i for f in case.findings for i in f.items if isinstance(i, Events) and i.id == "beats")
    hour = Curve(
        id="hourly.rate.mean",
        code=codes.VENTRICULAR_RATE,
        x=np.zeros(1),
        y=np.full(1, 100.0),
        x_unit="h",
        y_unit="/min",
        evidence=seen,
    )
    found = replace(
        findings_of((replace(expert, evidence=seen), hour), "holter_reading"),
        study=case.studies[0].uid,
        patient=case.patient.id,
    )
    figure = holter_figures.draw_summary(found, case.studies[0], EN)
    times, kinds = ecg_items.beats_in((found,), ecg.origin.uid)
    assert (kinds == "ventricular").sum() > 900
    assert sum(len(line.get_xdata()) for line in figure.axes[3].lines) == len(times) - 1
    page = disclosure.draw_page(ecg, found, 0, "", EN)
    red = (np.asarray(page.images[0].get_array()) == np.array(disclosure._rgb(ink.VENTRICULAR))).all(2)
    assert red.sum() > 20_000


def test_a_figure_is_the_same_twice() -> None:
    _, findings = resting()
    assert to_png(ecg_figures.draw_median(findings, EN)) == to_png(ecg_figures.draw_median(findings, EN))


def test_of_many_criteria_only_those_met_are_open() -> None:
    case, findings = resting()
    rest = tuple(
        Statement(id=f"criteria.c{n}", code=codes.LBBB, verdict=verdict, rule=f"rule {n}.")
        for n, verdict in enumerate(["not met"] * 40 + ["not assessable"] * 7)
    )
    html = to_html(replace(findings, items=(*findings.items, *rest)), case)
    before, not_met, open_ = html.split('<details class="folded">')
    assert "irregular intervals without P waves" in before
    assert "rule 39." not in before
    assert "rule 39." in not_met and "criteria not met" in not_met and "rule 40." not in not_met
    assert "rule 46." in open_ and "could not be judged" in open_


def test_what_methods_disagree_on_is_open_and_what_is_urgent_comes_first() -> None:
    case, findings = resting()
    rest = [
        Statement(id=f"criteria.c{n}", code=codes.LBBB, verdict="not met", rule=f"rule {n}.")
        for n in range(40)
    ]
    rest.append(Statement(id="second_opinion.lbbb", code=codes.LBBB, verdict="not assessable", rule="doubt."))
    rest.append(Statement(id="look_now.x", code=ecg_statements.LOOK_NOW, verdict="met", rule="urgent."))
    html = to_html(replace(findings, items=(*findings.items, *rest)), case)
    before = html.split('<details class="folded">')[0]
    assert before.index("urgent.") < before.index("irregular intervals") < before.index("doubt.")


def test_a_carts_averaged_beat_has_the_scale_of_the_paper() -> None:
    case, _ = resting()
    (ecg,) = case.studies[0].parts
    beat = replace(ecg, kind="median", values=Lazy.of(ecg.values.array[:, :600]))
    whole, short = (paper.to_svg(paper.lay(e), (), title="", footer="", id="x") for e in (ecg, beat))
    wide = [float(re.search(r"max-width:([0-9.]+)%", svg)[1]) for svg in (whole, short)]
    mm = [paper.lay(e).width_mm for e in (ecg, beat)]
    assert wide[0] == 100.0
    assert wide[1] / mm[1] == pytest.approx(wide[0] / mm[0], rel=0.01)


def test_marks_of_beats_lie_above_the_trace() -> None:
    case, _ = resting()
    (ecg,) = case.studies[0].parts
    tall = replace(ecg, values=Lazy.of(2.0 * ecg.values.array))
    (rhythm,) = [t for t in paper.lay(tall).traces if t.rhythm]
    assert rhythm.mark_mm < np.nanmin(rhythm.y_mm) - 2.0
    above = [t for t in paper.lay(tall).traces if not t.rhythm]
    assert rhythm.mark_mm > max(np.nanmax(t.y_mm) for t in above)


def test_amplitudes_of_the_leads_are_one_table() -> None:
    _, findings = resting()
    seen = findings.items[0].evidence
    rows = tuple(
        Measurement(
            id=f"lead.v{n}.{wave}", code=code, site=codes.LEADS[f"V{n}"], value=0.1 * n, unit="mV",
            uncertainty=Sd(0.012), evidence=seen,
        )
        for n in range(1, 7)
        for wave, code in (("r", codes.R_AMPLITUDE_LEAD), ("t", codes.T_AMPLITUDE_LEAD))
        if (n, wave) != (3, "t")
    )  # fmt: skip
    others = tuple(i for i in findings.items if not i.id.startswith("lead."))
    table = lead_table(replace(findings, items=(*others, *rows)))
    assert table.columns == ("R", "T")
    assert table.rows[0] == ("V1", ("0.10", "0.10"), "0.012")
    assert table.rows[2] == ("V3", ("0.30", ""), "0.012")
    assert lead_table(replace(findings, items=others)) is None


def test_a_short_list_is_open() -> None:
    case, findings = resting()
    assert '<details class="folded">' not in to_html(findings, case)
