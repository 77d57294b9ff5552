"""The evaluation of long axes: what it counts, and the real examination it is looked at on."""

from __future__ import annotations

import numpy as np
import pytest

from carna.image.long_axis import LA, LV, NETWORK
from carna.image.network import Network
from carna.learn.cmr_long_axis import Score, real, rows_of


def one(dice, found, exact, true, answered=True):
    return Score({("4-chamber", LV): dice}, {"LA largest volume [mL]": (found, exact, true)}, answered)


def test_errors_are_told_of_the_network_and_of_the_formula_apart():
    scores = [one(0.9, 55.0, 52.0, 50.0), one(0.8, 77.0, 72.0, 70.0), one(0.7, 66.0, 62.0, 60.0)]
    rows = {(r.task, r.group, r.metric): r for r in rows_of(scores)}
    assert rows["left ventricle, 4-chamber", "all", "dice"].value == pytest.approx(0.8)
    assert rows["LA largest volume", "all", "bias"].value == pytest.approx(6.0)
    assert rows["LA largest volume", "exact outlines", "bias"].value == pytest.approx(2.0)
    assert rows["LA largest volume", "all", "mae"].unit == "mL"
    assert all(r.truth == "P" and r.n == 3 for r in rows.values())


def test_a_refusal_is_counted():
    scores = [one(0.9, 55.0, 52.0, 50.0), one(0.0, np.nan, 62.0, 60.0, answered=False)]
    rows = list(rows_of(scores))
    assert all(r.answered == 0.5 for r in rows)
    assert next(r for r in rows if r.group == "all" and r.metric == "bias").n == 1


@pytest.mark.data
@pytest.mark.slow
def test_the_real_examination_is_outlined_as_its_short_axis_is(data):
    rows = {(r.task, r.metric): r.value for r in real(data("bivme-cine-dicom"), Network(NETWORK))}
    assert 85.0 < rows["LV length at end-diastole", "value"] < 115.0
    assert abs(rows["LV ejection fraction", "difference"]) < 15.0


def test_the_card_says_what_the_classes_are():
    card = Network(NETWORK).card
    assert card["classes"][LV] == "left ventricle" and card["classes"][LA] == "left atrium"
    assert card["never_taught_with"] == "patients"
