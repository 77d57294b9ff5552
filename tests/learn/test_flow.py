"""The flow suites: their scores by hand, their forest as promised, and floors under what they print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carna.flow.blood import Blood
from carna.flow.steady import steady
from carna.flow.surrogate import Segments
from carna.flow.surrogate.boosted import Boosted
from carna.flow.virtual import grow
from carna.learn import flow, flow_compare, flow_surrogate
from carna.learn.flow_ladder import Bands, bands, climb, waves


def test_a_band_is_scored_by_what_it_misses_and_what_it_costs() -> None:
    at = np.arange(4)
    truth = np.array([0.8, 0.7, 0.5, 0.95])
    found = Bands(at, truth, np.full(4, 0.6), np.full(4, 0.75), np.full(4, 0.9), np.full(4, 0.5))
    score = found.score(np.ones(4, bool))
    assert score["coverage"] == 0.5
    assert (score["above"], score["below"]) == (0.25, 0.25)
    assert score["width"] == pytest.approx(0.3)
    assert score["score"] == pytest.approx(0.3 + 20 * (0.1 + 0.05) / 4)
    assert score["bias"] == pytest.approx(0.75 - truth.mean())


def test_the_area_under_the_curve_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(0)
    ours, truth = np.round(rng.random(60), 1), rng.random(60)
    ill = truth <= 0.4
    tree = rng.integers(0, 9, 60)
    draws = rng.multinomial(9, np.full(9, 1 / 9), 3).astype(np.int16)
    unit = flow_compare._Unit(ours, truth, tree, draws)
    found = flow_compare._auroc(unit, ill)
    for value, weight in zip(found, (np.ones(60), *(d[tree] for d in draws)), strict=True):
        pairs = [
            (weight[i] * weight[j], 1.0 if ours[i] < ours[j] else 0.5 * (ours[i] == ours[j]))
            for i in np.flatnonzero(ill)
            for j in np.flatnonzero(~ill)
        ]
        assert value == pytest.approx(sum(w * v for w, v in pairs) / sum(w for w, _ in pairs))


def test_the_held_out_forest_is_as_ill_as_it_says() -> None:
    test = flow_compare.held_out()
    forest = test.forest
    assert int(test.kept.sum()) == flow_compare.COUNT >= 2000
    wide = 2 * forest.reference_mm[forest.points[1:] - 1] >= 1.5
    lowest = np.minimum.reduceat(np.where(wide, test.truth, 1.0), forest.start[:-1])
    assert np.mean(lowest[test.kept] <= 0.8) == pytest.approx(flow_compare.PREVALENCE)
    assert flow_compare.SEED not in {seed for _, _, seed in flow_surrogate.TAUGHT}
    # One value a vessel: as many as there are ways that begin wide, each read at a wide tail.
    head = forest.reference_mm[forest.points[:-1] + 1]
    tree = int(np.flatnonzero(test.kept)[7])
    a, b = forest.start[tree], forest.start[tree + 1]
    read = {n for n in test.units["vessel"].tolist() if a <= n < b}
    expected = set()
    for n in range(a, b):
        up = test.segments.parent[n]
        rivals = np.flatnonzero(test.segments.parent == up)
        begins = up < 0 or n != rivals[np.lexsort((rivals, head[rivals]))[-1]]
        at, last = n, None
        while begins and at is not None:
            if not wide[at]:
                break
            last = at
            children = np.flatnonzero(test.segments.parent == at)
            at = children[np.lexsort((children, head[children]))[-1]] if len(children) else None
        if last is not None:
            expected.add(int(last))
    assert read == expected


def test_rows_of_trees_laid_end_to_end_answer_as_before() -> None:
    parts = [Segments.of_forest(grow(4, seed=1)), Segments.of_forest(grow(3, style="stable", seed=2))]
    whole = flow_surrogate.joined(parts)
    assert whole.one_pass() == pytest.approx(np.concatenate([p.one_pass() for p in parts]))
    assert whole.path() == pytest.approx(np.concatenate([p.path() for p in parts]))


@pytest.mark.slow
def test_boosting_lowers_the_error_of_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_surrogate, "TAUGHT", (("stable", 400, 7),))
    flow_surrogate.fit_boosted(tmp_path, trees=30, rate=0.3)
    with np.load(tmp_path / "flow_boosted.npz") as kept:
        made = Boosted(kept["feature"].astype(np.int64), kept["limit"], kept["leaf"])
    forest = grow(300, style="stable", seed=8)
    truth, trees = forest.ratio(), Segments.of_forest(forest)
    assert np.abs(made(trees) - truth).mean() < 0.6 * np.abs(trees.one_pass() - truth).mean()
    assert (tmp_path / "flow_boosted.json").read_text().count("seed 7") == 1


@pytest.mark.slow
def test_the_steady_solver_keeps_up_with_the_waves() -> None:
    """The whole sample of 500 trees is in the suite; the mean and the tail hold on 40."""
    found = climb(40, seed=11)
    middle = (found.waves >= 0.6) & (found.waves <= 0.9)
    off = np.abs(found.steady - found.waves)[middle]
    assert middle.sum() > 50
    assert off.mean() <= 0.01
    assert np.percentile(off, 95) <= 0.03


def test_waves_pass_a_vessel_that_is_all_but_shut() -> None:
    """A throat of 0.05 mm: its drag is a thousand times faster than a step of the waves."""
    forest = grow(500, seed=2026)
    assert forest.radius_mm.min() == pytest.approx(0.05, abs=0.005)
    vessels, boundary = forest.network(448), forest.boundary(448)
    above, below = waves(vessels, boundary, Blood()), steady(vessels, boundary)
    tails = [at[-1] for at in vessels.segments]
    assert above.ratio[tails] == pytest.approx(below.ratio[tails], abs=0.04)


@pytest.mark.slow
def test_bands_hold_the_truth_of_a_higher_rung() -> None:
    found = bands(60, seed=12)
    assert 0.80 <= found.score(np.ones(len(found.truth), bool))["coverage"] <= 0.99


@pytest.mark.slow
def test_closed_forms_are_met() -> None:
    for row in (*flow._steady(), *flow._waves()):
        assert abs(row.value) <= 0.02, (row.task, row.group)
        assert row.truth == "P"


@pytest.mark.data
@pytest.mark.slow
def test_stored_circuits_and_the_nozzle(data: Callable[[str], Path]) -> None:
    root = data("svzerod-cases").parent
    rows = list(flow._stored_circuits(root))
    assert len(rows) == 39
    assert rows[-1].value >= 37
    drop, inside = flow._nozzle(root)
    assert abs(drop.value) < 0.2
    assert inside.n == 7
