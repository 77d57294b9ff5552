"""Lessons: hearts of every pattern, pictures whose labels are those of the heart."""

import numpy as np
import pytest

from carna.phantom.labels import LV, MYOCARDIUM, RV
from carna.phantom.people import SHARES, draw_heart
from carna.phantom.slices import lesson


@pytest.mark.parametrize("pattern", SHARES)
def test_every_pattern_beats(pattern):
    random = np.random.default_rng(3)
    hearts = [draw_heart(random, pattern) for _ in range(30)]
    ef = np.array([h.ef for h in hearts])
    if pattern == "dilated":
        assert ef.max() < 0.45
        assert min(h.edv_ml for h in hearts) > 170
    if pattern == "hypertrophic":
        assert min(h.wall_mm for h in hearts) > 10
    if pattern == "infarcted":
        assert all(h.regions for h in hearts)
    if pattern == "abnormal right":
        assert min(h.rv_edv_ml / h.edv_ml for h in hearts) > 1.25


def test_a_lesson_is_a_picture_of_its_labels():
    """Blood is brighter than muscle in the same picture, in nearly all of many: what a network can learn."""
    random = np.random.default_rng(0)
    brighter, seen = [], set()
    for _ in range(60):
        one = lesson(random)
        assert one.picture.shape == one.labels.shape == (128, 128)
        assert 0.0 <= one.picture.min() <= one.picture.max() <= 1.0
        seen |= set(np.unique(one.labels))
        blood, muscle = one.picture[one.labels == LV], one.picture[one.labels == MYOCARDIUM]
        if len(blood) > 50 and len(muscle) > 50:
            brighter.append(blood.mean() > muscle.mean())
    assert len(brighter) > 20
    assert np.mean(brighter) > 0.9
    assert seen == {0, RV, MYOCARDIUM, LV}


def test_the_same_seed_gives_the_same_lesson():
    first, second = (lesson(r) for r in (np.random.default_rng(5), np.random.default_rng(5)))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.labels, second.labels)
