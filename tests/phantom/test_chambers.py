"""A whole heart: the ventricles stay those of `Heart`, the atria fill while they empty."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import AORTA, LEFT_ATRIUM, LV, MYOCARDIUM, PAPILLARY, RIGHT_ATRIUM, RV


def _grid(person, step=3.0):
    reach = np.arange(-90.0, 90.0, step)
    return np.asarray(person.heart.base_lps) + np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1)


def test_the_left_ventricle_is_that_of_the_heart():
    person = WholeHeart(Heart())
    points = _grid(person)
    for phase in (0.0, ES_PHASE):
        whole, ventricles = person.label_at(points, phase), person.heart.label_at(points, phase)
        for label in (MYOCARDIUM, LV, PAPILLARY):
            assert np.array_equal(whole == label, ventricles == label)
        assert (whole[ventricles == RV] == RV).all()


def test_volumes_hold_on_a_finer_grid_and_are_those_of_the_closed_form():
    person = WholeHeart(Heart())
    both = [person.ml(LV, 0.0, step) + person.ml(PAPILLARY, 0.0, step) for step in (2.0, 1.5)]
    assert both == pytest.approx([140.0, 140.0], rel=0.01)
    atrium = [person.ml(LEFT_ATRIUM, ES_PHASE, step) for step in (2.0, 1.5)]
    assert atrium[0] == pytest.approx(atrium[1], rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_atria_fill_while_the_ventricles_empty(seed):
    person = draw_whole(np.random.default_rng(seed))
    phases = (0.0, 0.15, ES_PHASE)
    for label in (LEFT_ATRIUM, RIGHT_ATRIUM):
        volumes = [person.ml(label, p, 3.0) for p in phases]
        assert volumes[0] < volumes[1] < volumes[2]
        assert 20.0 < volumes[2] < 320.0
    assert person.ml(LV, ES_PHASE, 3.0) < person.ml(LV, 0.0, 3.0)


def test_no_atrium_lies_below_the_valves_and_the_aorta_begins_there():
    person = WholeHeart(Heart())
    points = _grid(person, 2.0)
    labels = person.label_at(points, 0.0)
    height = (points - np.asarray(person.heart.base_lps)) @ person.heart.axes_lps[2]
    assert height[np.isin(labels, (LEFT_ATRIUM, RIGHT_ATRIUM, AORTA))].max() < 0.0
    assert height[labels == AORTA].max() > -8.0


def test_an_impossible_atrium_is_refused():
    with pytest.raises(InputError, match="left_ml = 900"):
        WholeHeart(Heart(), left_ml=900.0)
