"""The suite of the four chambers: its rows, its baselines, and what the one real CT must reach."""

from __future__ import annotations

import numpy as np
import pytest

from carna.image.network import Network
from carna.image.whole_heart import NETWORK
from carna.learn import heart_chambers as suite


def test_a_refusal_is_a_miss_and_has_no_volume():
    good = suite.Score(
        dict.fromkeys(suite.STRUCTURES, 0.9), dict.fromkeys(suite.CHAMBERS, (110.0, 100.0)), True
    )
    bad = suite.Score(dict.fromkeys(suite.STRUCTURES, 0.0), {}, False)
    rows = list(suite.rows_of("CT arterial", [good, good, good, bad]))
    whole = next(r for r in rows if r.task == "left atrium")
    assert whole.value == pytest.approx(0.675) and whole.answered == 0.75
    bias = next(r for r in rows if r.task == "left atrium, volume" and r.metric == "bias")
    assert bias.value == pytest.approx(10.0) and bias.n == 3 and bias.unit == "%"


def test_masks_keep_their_place_on_another_grid():
    mask = np.zeros((20, 20, 20), bool)
    mask[5:10, 6:12, 7:9] = True
    place = np.diag([2.0, 2.0, 2.0, 1.0])
    finer = np.diag([1.0, 1.0, 1.0, 1.0])
    moved = suite.onto(mask, place, (40, 40, 40), finer)
    assert moved.sum() == pytest.approx(8 * mask.sum(), rel=0.25)
    assert moved[14, 18, 16] and not moved[30, 18, 16]


def test_virtual_volumes_have_truth_in_every_group():
    for group in ("CT native", "MR balanced"):
        values, truth, grid = suite.pictured(0, group)
        assert values.shape == truth.shape == grid.shape
        assert set(np.unique(truth)) == set(range(8))
    assert (values >= 0).all()


@pytest.mark.data
@pytest.mark.slow
def test_the_real_angiogram_agrees_better_than_the_baselines(data):
    rows = list(suite.real_ct(data("totalseg-ct-mr"), Network(NETWORK)))
    assert {r.truth for r in rows} == {"O"}
    of = {(r.task, r.group): r.value for r in rows}
    assert of["whole heart", "all"] > 0.8
    for task in ("whole heart", "aorta", "pulmonary artery"):
        assert of[task, "all"] > of[task, "usual heart at its place"]


@pytest.mark.data
@pytest.mark.slow
def test_volumes_without_a_heart_are_refused(data):
    (row,) = suite.heartless(data("totalseg-ct-mr"), Network(NETWORK))
    assert row.value == 1.0
