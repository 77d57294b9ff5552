"""CSV: every item has its row, numbers come back exactly, and no cell is a formula."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from carna.findings import Absent, Measurement, Region, Statement
from carna.render.table import COLUMNS, to_csv, to_csv_files


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_item_has_a_row_and_numbers_come_back_exactly(small):
    found = {
        (r["application"], r["id"]): r
        for r in rows(to_csv((small.rhythm, small.heart, small.every), small.case))
    }
    for one in (small.rhythm, small.heart, small.every):
        for item in one.items:
            if isinstance(item, Region):
                continue
            row = found[one.manifest.application, item.id]
            assert (row["scheme"], row["code"]) == (item.code.scheme, item.code.value)
            assert row["research_use"] == "yes" and row["synthetic"] == "yes"
            if isinstance(item, Measurement):
                assert float(row["value"]) == item.value and row["unit"] == item.unit
            if isinstance(item, Absent):
                assert row["value"] == "" and item.why in row["why"]
            if isinstance(item, Statement):
                assert row["verdict"] == item.verdict and item.rule in row["why"]
    assert set(next(iter(found.values()))) == set(COLUMNS)


def test_each_uncertainty_has_its_columns(small):
    found = {r["id"]: r for r in rows(to_csv((small.rhythm, small.every), small.case))}
    assert (found["ecg.rate"]["low"], found["ecg.rate"]["high"], found["ecg.rate"]["level"]) == (
        "73.5",
        "76.4",
        "0.95",
    )
    assert found["ecg.rr"]["sd"] == "4.2"
    assert found["ecg.sdnn"]["why"].startswith("ten seconds") and found["ecg.sdnn"]["sd"] == ""
    assert float(found["m.samples"]["sd"]) == pytest.approx(np.std((118, 120, 122)))


def test_a_region_is_its_volumes(small):
    found = {r["id"]: r for r in rows(to_csv(small.heart, small.case))}
    first, last = small.heart["heart"].volume_ml(1)
    assert float(found["heart#1@0"]["value"]) == first and float(found["heart#1@3"]["value"]) == last
    assert found["heart#1@0"]["unit"] == "mL"


def test_evidence_says_where(small):
    found = {r["id"]: r for r in rows(to_csv(small.rhythm, small.case))}
    assert found["quality.avr"]["evidence"] == "1.2.3.1;leads=aVR"
    assert found["ecg.rate"]["evidence"].endswith("V6;0-10s")


def test_arrays_have_files_of_their_own(small):
    files = to_csv_files((small.heart, small.every), small.case)
    assert set(files) == {
        "items.csv",
        "heart_locate.motion.csv",
        "every.c.csv",
        "every.e.csv",
        "every.f.csv",
        "every.g.csv",
    }
    body = np.array([list(map(float, r.values())) for r in rows(files["heart_locate.motion.csv"])])
    assert np.array_equal(body[:, 0], small.heart["motion"].x) and np.array_equal(
        body[:, 1], small.heart["motion"].y
    )
    beats = rows(files["every.e.csv"])
    assert [b["onset [s]"] for b in beats] == ["0.1", "0.9"] and [b["lead"] for b in beats] == ["I", "II"]
    assert len(rows(files["every.f.csv"])) == 17


def test_no_cell_is_a_formula(small, rhythm):
    bad = replace(
        rhythm, patient='=HYPERLINK("http://x")', manifest=replace(rhythm.manifest, application="@x")
    )
    for row in rows(to_csv(bad, small.case)):
        assert row["patient"].startswith("'=") and row["application"] == "'@x"
