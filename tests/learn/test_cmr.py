"""The suite's own measures, and the figures that the real sets must reach."""

import numpy as np
import pytest

from carna.learn.cmr import Score, dice, evaluate, hausdorff_px, rows_of
from carna.learn.cmr_patients import acdc, sunnybrook
from carna.learn.cmr_quality import Volume
from carna.learn.cmr_quality import rows_of as quality_rows
from carna.learn.evaluate import SUITES


def test_the_suites_are_registered():
    assert SUITES["cmr"] == "carna.learn.cmr"
    assert SUITES["cmr-quality"] == "carna.learn.cmr_quality"


def test_hausdorff_of_squares_is_their_shift():
    a = np.zeros((2, 40, 40), bool)
    b = a.copy()
    a[0, 10:20, 10:20], b[0, 10:20, 13:23] = True, True
    assert hausdorff_px(a, b) == pytest.approx(3.0)
    assert hausdorff_px(a, a) == 0
    assert np.isnan(hausdorff_px(a[1:], b[1:]))


def test_nothing_where_nothing_is_agrees():
    empty = np.zeros((2, 8, 8), bool)
    assert dice(empty, empty) == 1.0
    full = ~empty
    assert dice(empty, full) == 0.0


def score(name, group, value, ef, answered=True):
    pairs = [(f, c) for f in (0, 1) for c in (1, 2, 3)]
    return Score(
        name, group, dict.fromkeys(pairs, value), dict.fromkeys(pairs, 2.0),
        {(n, c): value for n in range(3) for c in (1, 2, 3)}, {3: ef, 1: ef} if answered else {},
        0.9, answered,
    )  # fmt: skip


def test_a_refusal_is_a_miss_and_has_no_volume():
    scores = [score(f"p{n}", "a", 0.9, (0.5, 0.55)) for n in range(9)]
    scores.append(score("p9", "b", 0.0, (0.0, 0.0), answered=False))
    rows = rows_of("set", scores)
    whole = next(r for r in rows if r.task == "left ventricle" and r.metric == "dice" and r.group == "all")
    assert whole.value == pytest.approx(0.81)
    assert whole.answered == pytest.approx(0.9)
    bias = next(
        r for r in rows if r.task == "left ejection fraction" and r.metric == "bias" and r.group == "all"
    )
    assert bias.value == pytest.approx(-5.0)
    assert bias.n == 9
    worst = next(r for r in rows if r.metric == "dice_worst_decile")
    assert worst.value == 0.0


def test_quality_rows_count_flags():
    found = [Volume("a", "", 0.9, 0.9), Volume("a", "noise", 0.3, 0.2), Volume("b", "", 0.6, 0.85)]
    found += [Volume("b", "noise", 0.9, 0.5)]
    rows = {(r.group, r.metric): r for r in quality_rows(found)}
    assert rows["all", "sensitivity"].value == pytest.approx(0.5)
    assert rows["all", "false_alarm"].value == pytest.approx(0.5)
    assert rows["noise", "sensitivity"].positives == 2


@pytest.mark.data
def test_the_sets_are_read_whole(data):
    patients = list(acdc(data("acdc-cine-mri")))
    assert len(patients) == 20
    assert {p.group for p in patients} == {
        "dilated", "hypertrophic", "infarct", "normal", "right ventricle"
    }  # fmt: skip
    assert all(p.frames.shape == p.labels.shape for p in patients)
    more = list(sunnybrook(data("sunnybrook-cine-mri")))
    assert len(more) == 30
    assert {p.group for p in more} == {"infarct", "no infarct", "hypertrophic", "normal"}
    assert all((p.labels == 3).any() for p in more)


@pytest.mark.data
@pytest.mark.slow
def test_real_patients_are_outlined_as_well_as_stated(data):
    rows = {(r.set, r.task, r.metric): r for r in evaluate(data("acdc-cine-mri").parent) if r.group == "all"}
    for what, least in LEAST.items():
        assert rows["ACDC", f"{what} (eight forms)", "dice"].value >= least
        assert rows["ACDC", f"{what} (eight forms)", "dice"].answered == 1.0
    assert rows["ACDC", "left ejection fraction (eight forms)", "mae"].value <= MOST_EF


# What is stated in docs/cmr-ventricles.md, less what a change of libraries may cost.
LEAST = {"left ventricle": 0.88, "left muscle": 0.78, "right ventricle": 0.78}
MOST_EF = 6.5
