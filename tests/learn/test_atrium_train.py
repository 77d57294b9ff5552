"""The atrium's lessons on their way to the network; training itself needs torch and is not run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carna.errors import InputError
from carna.learn.atrium_train import AtriumRecipe, _batches, _seen


def test_a_recipe_is_known_by_its_name() -> None:
    recipe = AtriumRecipe()
    assert recipe.name == AtriumRecipe().name != replace(recipe, rate=1e-3).name


def test_picture_and_labels_move_together_and_nothing_wraps_round() -> None:
    x, y = np.zeros((12, 12, 12), np.float32), np.zeros((12, 12, 12), np.uint8)
    x[4:8, 4:8, 4:8], y[4:8, 4:8, 4:8] = 0.5, 1
    x[0], y[0] = 1.0, 1
    places = set()
    for seed in range(20):
        seen, label = _seen(x, y, np.random.default_rng(seed))
        assert abs(float(seen.mean())) < 1e-4 and float(seen.std()) == pytest.approx(1.0, abs=1e-3)
        assert seen[label == 1].min() > seen[label == 0].max()
        places.add(tuple(np.argwhere(label).mean(0)))
        rows = np.flatnonzero(label.any((1, 2)))
        assert rows[-1] < 11
    assert len(places) > 10


def test_batches_are_the_same_wherever_they_begin(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "volumes-0000.npz",
        pictures=random.integers(0, 256, (3, 8, 8, 8), np.uint8),
        labels=random.integers(0, 2, (3, 8, 8, 8), np.uint8),
    )
    recipe = AtriumRecipe(steps=6)
    whole = list(_batches(recipe, tmp_path, 0, 250))
    rest = list(_batches(recipe, tmp_path, 4, 250))
    assert len(whole) == 6 and whole[0][0].shape == (2, 1, 8, 8, 8) and whole[0][1].shape == (2, 8, 8, 8)
    assert np.array_equal(whole[4][0], rest[0][0]) and np.array_equal(whole[5][1], rest[1][1])


def test_a_folder_without_lessons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lessons"):
        next(_batches(AtriumRecipe(), tmp_path, 0, 250))
