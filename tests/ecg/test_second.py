"""The second opinion: trees against a plain walk, features that see shape only, and honest silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carna.ecg.criteria import CRITERIA, Tracing
from carna.ecg.criteria.reading import read_tracing
from carna.ecg.criteria.scored import SCORES, said
from carna.ecg.integrity import Integrity
from carna.ecg.second import LEADS as EIGHT
from carna.ecg.second import NO, YES, Trees, card, describe, models, opinions
from carna.learn import ecg_second, ecg_statements
from carna.learn.boosting import fit_trees
from carna.phantom.ecg import LEADS, electrocardiogram

RNG = np.random.default_rng(5)


def tracing(**changes: object) -> Tracing:
    ecg = electrocardiogram(70.0, noise_mv=0.01, seed=1)
    found = read_tracing(ecg.mv, ecg.hz, LEADS, age_a=40.0, sex="female")
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


def walk(t: Trees, x: np.ndarray) -> float:
    total = t.bias
    for f, limit, leaf in zip(t.feature, t.limit, t.leaf, strict=True):
        right = x[f[0]] > limit[0]
        node = 2 if right else 1
        total += leaf[(2 if right else 0) + (1 if x[f[node]] > limit[node] else 0)]
    return float(1 / (1 + np.exp(-total)))


def test_the_trees_are_walked_as_a_person_would() -> None:
    t = Trees(0.1, RNG.integers(0, 6, (20, 3)), RNG.normal(size=(20, 3)), RNG.normal(size=(20, 4)))
    x = RNG.normal(size=(9, 6))
    np.testing.assert_allclose(t(x), [walk(t, row) for row in x], rtol=1e-12)


def test_boosting_learns_what_no_single_cut_can_tell() -> None:
    x = RNG.normal(size=(800, 6))
    y = (x[:, 2] > 0) ^ (x[:, 4] > 0.3)
    t = fit_trees(x[:500], y[:500], columns=1.0, trees=150)
    assert ((t(x[500:]) > 0.5) == y[500:]).mean() > 0.9
    noise = fit_trees(x[:500], RNG.random(500) > 0.5)(x[500:])
    assert abs(np.corrcoef(noise, y[500:])[0, 1]) < 0.2


def test_boosting_is_the_same_twice_and_balances_the_answers() -> None:
    x = RNG.normal(size=(400, 4))
    y = x[:, 0] + 0.5 * RNG.normal(size=400) > 1.5  # rare
    assert y.mean() < 0.15
    a, b = fit_trees(x, y, columns=1.0), fit_trees(x, y, columns=1.0)
    np.testing.assert_array_equal(a(x), b(x))
    assert (a(x)[y] > 0.5).mean() > 0.8


def test_the_description_sees_shape_not_offset() -> None:
    t = tracing()
    x = describe(t)
    assert x is not None and np.isfinite(x).all()
    assert t.median is not None
    moved = replace(t, median=replace(t.median, mV=t.median.mV + 0.7))
    np.testing.assert_allclose(describe(moved), x, atol=1e-9)
    # nothing of the boundaries or of the measured amplitudes enters
    np.testing.assert_array_equal(describe(replace(t, fiducials=None)), x)


def test_it_is_silent_where_it_cannot_see() -> None:
    t = tracing()
    assert t.median is not None and t.integrity is not None and t.rhythm is not None
    assert opinions(t)
    assert not opinions(replace(t, paced=True))
    assert not opinions(replace(t, median=None))
    assert not opinions(replace(t, leads=("X", *t.leads[1:])))
    assert not opinions(replace(t, rhythm=replace(t.rhythm, intervals=3)))
    assert not opinions(replace(t, integrity=replace(t.integrity, channels="met")))
    assert isinstance(t.integrity, Integrity)
    assert not opinions(replace(t, integrity=replace(t.integrity, unusable={"V3": "flat"})))
    gap = t.median.mV.copy()
    gap[t.leads.index("V5"), t.median.r] = np.nan
    assert not opinions(replace(t, median=replace(t.median, mV=gap)))


def test_every_model_has_its_evidence_and_says_the_rules_it_stands_beside() -> None:
    known = {c.name for c in CRITERIA}
    body = card()["card"]
    assert "ODC-By" in body["taught_with"] and len(body["recipe_sha256"]) == 64 and body["licence"]
    for model in models():
        assert model.score["positives"] >= 10
        assert model.score["auroc95"][0] > ecg_second.LEAST
        assert set(model.rules) <= known
        assert model.trees.feature.max() < len(EIGHT) * 30 + 20
    assert 0 < NO < YES < 1


def test_a_criterion_says_how_it_was_measured() -> None:
    assert said("Vereckei aVR step 1") == "Unvalidated: no labelled recording."
    few = next(name for name, s in SCORES.items() if s.positives < 10)
    assert said(few).startswith("Unvalidated, fewer than 10")
    assert said("sinus rhythm").startswith("Measured: met in ")
    assert set(SCORES) <= {c.name for c in CRITERIA}


@pytest.mark.data
@pytest.mark.slow
def test_the_stored_counts_are_those_measured(data: Callable[[str], Path]) -> None:
    folder = data("ludb").parent
    data("cinc2021-sample")
    now = ecg_statements.scores(folder)
    assert set(now) == set(SCORES)
    for name, score in now.items():
        stored = SCORES[name]
        assert score.positives == stored.positives, name
        for a, b in ((score.hits, stored.hits), (score.false, stored.false)):
            assert abs(a - b) <= 3, (name, score, stored)


@pytest.mark.data
@pytest.mark.slow
def test_out_of_fold_on_real_people(data: Callable[[str], Path]) -> None:
    rows = {(r.set, r.task, r.metric): r for r in ecg_second.evaluate(data("ludb").parent)}
    for model in models():
        row = rows["LUDB", f"second opinion: {model.name}", "auroc"]
        assert row.value > 0.8, model.name
        assert row.value == pytest.approx(model.score["auroc"], abs=0.05)
        assert row.n >= 0.9 * row.patients
