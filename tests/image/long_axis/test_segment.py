"""Outlines of long axes on virtual hearts of exact labels; what is no long axis is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.long_axis import LA, LV, MYOCARDIUM, NETWORK, RA, RV, agreement, one_heart, segment
from carna.image.network import Network
from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import Heart
from carna.phantom.long_axis import cine, plane_points

MM = 1.5
PHASES = np.array([0.0, 0.15, 0.35, 0.6])


@cache
def seen(turn_deg, spin_deg=0.0):
    person = WholeHeart(Heart())
    points = plane_points(person, turn_deg, 150, MM, spin_deg=spin_deg, shift_mm=(25.0, -12.0))
    frames, labels = cine(person, points, PHASES, seed=2)
    return frames, np.stack([one_heart(x) for x in labels]), segment(frames, spacing_mm=(MM, MM))


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


@pytest.mark.parametrize(("turn_deg", "spin_deg"), [(0.0, 0.0), (0.0, 135.0), (80.0, -60.0)])
def test_chambers_of_a_virtual_heart_are_found_however_it_is_turned(turn_deg, spin_deg):
    _, labels, found = seen(turn_deg, spin_deg)
    assert found.labels.shape == labels.shape
    for label, least in ((LV, 0.9), (MYOCARDIUM, 0.8), (LA, 0.8)):
        assert dice(found.labels == label, labels == label) > least
    if turn_deg == 0.0:
        for label, least in ((RV, 0.75), (RA, 0.4)):
            assert dice(found.labels == label, labels == label) > least
    assert (found.certainty > 0.6).all()


def test_turned_readings_agree_where_the_heart_is_seen():
    frames, _, found = seen(0.0)
    agreed = agreement(frames, found, Network(NETWORK))
    assert agreed[LV] > 0.9
    noise = np.random.default_rng(0).uniform(0, 600, frames.shape)
    assert agreement(noise, found, Network(NETWORK))[LV] < 0.8


def test_eight_forms_see_the_same_heart():
    frames, labels, found = seen(0.0)
    eight = segment(frames[:2], spacing_mm=(MM, MM), forms=8).labels
    assert dice(eight == LV, found.labels[:2] == LV) > 0.93
    assert dice(eight == LV, labels[:2] == LV) > 0.9


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (np.ones((5, 80, 80)), "nothing moves"),
        (np.ones((1, 80, 80)), "shape"),
        (np.ones((5, 2, 80, 80)), "shape"),
        (np.random.default_rng(1).uniform(0, 100, (4, 90, 90)), "no left ventricle"),
    ],
)
def test_what_is_no_long_axis_cine_is_refused(frames, why):
    with pytest.raises(InputError, match=why):
        segment(frames, spacing_mm=(MM, MM))
