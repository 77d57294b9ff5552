"""Slices that readers outline by rule: the line is closed over a gap, a closed ventricle stays muscle."""

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label

from carna.phantom.appearance import brightness, through
from carna.phantom.labels import LV, MYOCARDIUM, RV
from carna.phantom.short_axis import any_slice, at_the_base, rimmed, squeezed


def _drawn(kind, seed, pixels=96):
    """What is seen without noise, and what is drawn of it; blood 1, muscle 0."""
    random = np.random.default_rng(seed)
    scene = kind(random, pixels)
    table = np.zeros_like(brightness(random))
    table[LV] = 1.0
    drawn, middle = through(scene.points, scene.thick_mm, scene.label_at, table)
    seen, outlined = scene.outlined(drawn, middle, 0.0)
    return seen, middle, outlined


@pytest.mark.parametrize("kind", [any_slice, at_the_base, squeezed, rimmed])
def test_what_is_outlined_is_ventricles(kind):
    found = set()
    for seed in range(12):
        seen, middle, outlined = _drawn(kind, seed)
        assert seen.shape == middle.shape == outlined.shape and outlined.dtype == np.uint8
        assert (middle[outlined == RV] == RV).all()
        found |= set(np.unique(outlined))
    assert found == {0, RV, MYOCARDIUM, LV}


def test_an_open_ring_is_closed_by_rule_or_left_out():
    closed = left_out = half = 0
    for seed in range(40):
        _, middle, outlined = _drawn(at_the_base, seed)
        cavity, muscle = outlined == LV, outlined == MYOCARDIUM
        if not cavity.any():
            left_out += (middle == MYOCARDIUM).any()
            continue
        closed += 1
        assert label(cavity)[1] == 1 and binary_fill_holes(cavity).sum() == cavity.sum()
        open_ring = binary_fill_holes(cavity | muscle) & ~binary_fill_holes(muscle)
        half += open_ring.sum() > 0.5 * cavity.sum()
    assert closed > 10 and left_out > 1 and half > 2


def test_a_squeezed_ventricle_is_muscle():
    shares = []
    for seed in range(30):
        _, _, outlined = _drawn(squeezed, seed)
        muscle, cavity = (outlined == MYOCARDIUM).sum(), (outlined == LV).sum()
        if muscle > 100:
            shares.append(cavity / (muscle + cavity))
    assert len(shares) > 15 and np.median(shares) < 0.1 and min(shares) == 0


def test_a_grey_rim_belongs_to_the_cavity():
    darker = []
    for seed in range(20):
        seen, _, outlined = _drawn(rimmed, seed)
        deep = distance_transform_edt(outlined == LV)
        if deep.max() > 8:
            darker.append(seen[(deep > 0) & (deep < 2)].mean() < seen[deep > 3].mean() - 0.1)
    assert len(darker) > 8 and np.mean(darker) > 0.7
