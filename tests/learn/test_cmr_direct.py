"""The suite of the second network: rows of made-up cases; its training code takes a step."""

import numpy as np
import pytest

from carna.image.ventricles.indices import INDICES
from carna.learn.cmr_direct import Case, rows_of
from carna.learn.cmr_direct_train import Recipe, net_of, train


def case(name, off, ef):
    true = np.tile(np.arange(1.0, 13.0) * 10, (4, 1)) * np.arange(1, 5)[:, None]
    said = true.copy()
    said[:, :3] *= 1 + off
    said[:, 6:] += 2.0
    there = np.array([[True, True], [True, True], [True, False], [False, False]])
    return Case(name, said, true, there, ef)


def test_rows_of_known_errors():
    cases = [case(str(n), 0.1, (50.0 + n, 60.0, 55.0, 60.0 + n)) for n in range(4)]
    rows = {(r.task, r.metric): r for r in rows_of("set", "H", "development", cases)}
    assert rows["left cavity, area", "relative_error"].value == pytest.approx(0.1)
    assert rows["left cavity, area", "correlation"].value == pytest.approx(1.0)
    assert rows["left cavity, dimensions", "mae"].value == pytest.approx(0.0)
    assert rows["wall thickness", "mae"].value == pytest.approx(2.0)
    assert rows["left ventricle present", "accuracy"].value == pytest.approx(0.75)
    assert rows["left ejection fraction, without outlines", "mae"].value == pytest.approx(10.0)
    assert rows["left ejection fraction, by outlines", "bias"].value == pytest.approx(-1.5)
    assert rows["left ejection fraction, by both", "mae"].patients == 4


def test_what_a_set_does_not_draw_has_no_row():
    one = case("a", 0.1, None)
    one.true[:, 1:] = np.nan
    tasks = {r.task for r in rows_of("set", "H", "development", [one])}
    assert tasks == {"left cavity, area", "left ventricle present"}


@pytest.mark.slow
def test_a_step_is_taken_and_taken_up_again(tmp_path):
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    random = np.random.default_rng(0)
    labels = np.zeros((6, 32, 32), np.uint8)
    labels[:, 8:24, 8:24], labels[:, 10:20, 10:20], labels[:, 10:16, 0:6] = 2, 3, 1
    pictures = random.integers(0, 255, labels.shape).astype(np.uint8)
    for n in range(3):
        np.savez(tmp_path / f"lessons-{n:04}.npz", pictures=pictures, labels=labels)
    recipe = Recipe(steps=3, batch=4, channels=(4, 8, 8, 8), pixels=32)
    weights = train(recipe, tmp_path, keep_every=2)
    assert torch.load(weights, weights_only=True)["step"] == 3
    assert train(recipe, tmp_path) == weights
    said = net_of(recipe.channels)(torch.zeros(2, 1, 32, 32))
    assert said.shape == (2, len(INDICES) + 1)
    assert (said[:, :12] >= 0).all()
