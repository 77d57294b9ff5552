"""Judged vessels as they are seen: the tree, the pull-backs and the table of lesions."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from carna import codes
from carna.app import applications, run
from carna.case import Case
from carna.findings import Field, Measurement
from carna.phantom import virtual_coronary, virtual_renal
from carna.render.figures import drawings, figures
from carna.render.page import to_html
from carna.render.pdf import to_pdf
from carna.render.vessel_items import in_vessels, lesions, pulls, tree, vessel_table
from carna.render.words import words


def judged(name: str):
    case: Case = virtual_coronary() if name == "coronary_ffr" else virtual_renal()
    return run(applications()[name], case, case.studies[0].uid), case


@pytest.mark.parametrize("name", ["coronary_ffr", "renal_ffr"])
def test_a_tree_and_its_pull_backs_are_drawn_and_nothing_twice(name):
    found, case = judged(name)
    names = [n for n, _ in drawings(found, case)]
    assert names == [f"vessels.{name}", f"pullback.{name}"]
    for png in figures(found, case).values():
        assert png[:4] == b"\x89PNG"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_holds_every_number_of_every_lesion(language):
    found, case = judged("coronary_ffr")
    page = to_html(found, case, language)
    table = vessel_table(found, words(language))
    assert len(table.lesions) == 2
    for line in (*table.lesions, *table.vessels):
        for value, band in line.cells:
            assert value in page
            assert band in page
    # In the table, and so not once more in the list of numbers.
    assert page.count(codes.LESION_LENGTH.meaning) == 0
    assert "data:image/png" in page


def test_the_table_says_what_the_findings_say():
    found, _ = judged("coronary_ffr")
    table = vessel_table(found, words("en"))
    column = table.columns.index("Ratio of record")
    for n, line in enumerate(table.lesions, 1):
        ratio = found[f"lesion{n}.ratio"]
        value, band = line.cells[column]
        assert float(value) == round(ratio.value, 2)
        assert [float(x) for x in re.split("\N{EN DASH}", band)] == [
            round(ratio.uncertainty.low, 2),
            round(ratio.uncertainty.high, 2),
        ]
        assert float(line.cells[-1][0]) == pytest.approx(found[f"lesion{n}.low"].probability, abs=0.006)


def test_what_belongs_together_is_found_by_its_id():
    found, _ = judged("coronary_ffr")
    whole, ratio, narrow = tree(found)
    assert isinstance(ratio, Field)
    assert len(ratio.values) == len(whole.points)
    assert narrow is None
    assert [p.number for p in pulls(found)] == [1, 2, 3, 4]
    for pull in pulls(found):
        assert (np.diff(pull.median.x) > 0).all()
    assert [x.along for x in lesions(found)] == [2, 1]
    other = {i.id for i in found.items if not in_vessels(i) and isinstance(i, Measurement)}
    assert not other


def test_findings_without_vessels_have_none_of_it():
    found, _ = judged("coronary_ffr")
    bare = replace(found, items=tuple(i for i in found.items if i.id != "tree"))
    assert tree(bare) is None
    assert vessel_table(bare, words("en")) is None


def test_the_paper_report_holds_the_figures():
    found, case = judged("renal_ffr")
    data = to_pdf(found, case, pictures=figures(found, case))
    assert data.startswith(b"%PDF")
    assert len(data) > 50_000
