"""The virtual angiogram against what it promises: attenuation, places, motion, contrast in time."""

from dataclasses import replace

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.angiography import View
from carna.phantom.angiogram import Imaging, angiogram, coronary, imaging

VIEW = View(20, 10, 1100, 750, 0.6, (256, 256))
CLEAN = Imaging(anatomy=0, photons=1e7, veil=0, blur_px=0.3, catheter=False, swing_px=0, shorten=0)


def test_a_picture_is_made_again_by_its_seed():
    one, two = (angiogram(coronary(1), VIEW, imaging(1), seconds=0, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.frames, two.frames)
    other = angiogram(coronary(1), VIEW, imaging(1), seconds=0, seed=6)
    assert (one.frames != other.frames).mean() > 0.5


def test_points_lie_in_the_vessels_and_vessels_are_dark():
    run = angiogram(coronary(2), VIEW, CLEAN, seconds=0)
    at = np.round(run.pixels(0)).astype(int)
    wide = (run.radius_px > 1.5) & (at > 2).all(1) & (at < 253).all(1)
    assert run.vessels[tuple(at[wide].T)].mean() > 0.98
    frame = run.frames[0].astype(float)
    assert frame[tuple(at[wide].T)].max() < frame[~run.vessels].min() + 40
    assert np.median(frame[tuple(at[wide].T)]) < np.median(frame[~run.vessels]) - 20


def test_attenuation_in_the_middle_is_that_of_the_diameter():
    run = angiogram(coronary(2), VIEW, CLEAN, seconds=0)
    net = run.coronary.vessels
    line = net.segments[0]
    along = np.gradient(net.points[line], axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    slant = np.linalg.norm(np.cross(along, VIEW.rays(VIEW.project(net.points[line]))), axis=1)
    at = np.round(run.pixels(0)[line]).astype(int)
    frame = run.frames[0].astype(float)
    # The display is a straight line of light: full light is the background.
    inner = slice(8, -8)
    expected = np.exp(-CLEAN.iodine_per_mm * 2 * net.radius_mm[line] / slant)[inner]
    seen = frame[tuple(at.T)][inner]
    slope, _ = np.polyfit(expected, seen, 1)
    straight = np.corrcoef(expected, seen)[0, 1]
    light = np.median(frame[~run.vessels])
    assert straight > 0.8
    assert seen.mean() == pytest.approx(light - slope * (1 - expected.mean()), abs=15)


def test_radius_in_pixels_is_that_in_millimetres_magnified():
    run = angiogram(coronary(2), VIEW, CLEAN, seconds=0)
    mm = run.radius_px * VIEW.mm_per_px
    np.testing.assert_allclose(mm, run.coronary.vessels.radius_mm, rtol=0.1)


def test_contrast_runs_down_the_tree_at_its_speed():
    how = replace(CLEAN, velocity_mm_s=100, start_s=0.2, fps=20)
    run = angiogram(coronary(2), VIEW, how, seconds=1.0)
    far = run.coronary.vessels.from_inlet_mm
    at = np.round(run.pixels(0)).astype(int)
    inside = (run.radius_px > 2) & (at > 2).all(1) & (at < 253).all(1)
    first, last = run.frames[0].astype(float), run.frames[-1].astype(float)
    drop = (first - last)[tuple(at.T)]
    reached = 100 * (0.95 - 0.2)
    assert drop[inside & (far < reached - 15)].min() > 5
    assert np.median(drop[inside & (far > reached + 15)]) < 3


def test_motion_moves_the_truth_with_the_picture():
    how = replace(CLEAN, swing_px=8, shorten=0.1, start_s=-10, injection_s=99)
    run = angiogram(coronary(2), VIEW, how, seconds=0.6)
    assert np.abs(run.pixels(5) - run.pixels(0)).max() > 4
    dark = run.frames[5] < np.median(run.frames[5]) - 15
    at = np.round(run.pixels(5)).astype(int)
    good = (run.radius_px > 2) & (at > 2).all(1) & (at < 253).all(1)
    assert dark[tuple(at[good].T)].mean() > 0.95
    assert (dark & run.mask(5)).sum() / dark.sum() > 0.9


def test_lesions_narrow_the_radius_and_not_the_reference():
    vessels = coronary(3)
    share = vessels.vessels.radius_mm / vessels.reference_mm
    assert share.max() <= 1 + 1e-6 and share.min() < 0.8
    assert len(vessels.tree.edges) == len(vessels.tree.points) - 1


def test_what_cant_be_made_is_refused():
    with pytest.raises(InputError, match="heart"):
        coronary(0, heart_mm=5)
    with pytest.raises(InputError, match="MB"):
        angiogram(coronary(0), replace(VIEW, shape=(2048, 2048)), seconds=60)
