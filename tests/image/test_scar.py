"""Scar by threshold: a ring whose every voxel is known, the cleaning rules one by one, virtual infarcts."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from carna.errors import InputError
from carna.image.scar import (
    CORE,
    GREY,
    NONE,
    RAYS,
    Deviations,
    HalfMaximum,
    remote,
    segment_scar,
    transmurality,
)
from carna.phantom.lge import Enhancement, Late, draw_infarct, late, whole_stack

SPACING = (8.0, 1.5, 1.5)
VOXEL_G = 8.0 * 1.5 * 1.5 * 1.05e-3


def _ring() -> tuple[np.ndarray, np.ndarray]:
    """Radius and angle [degrees] of the pixels of five slices."""
    r, c = np.indices((5, 64, 64))[1:] - 31.5
    return np.hypot(r, c), np.degrees(np.arctan2(r, c)) % 360.0


def _picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Muscle of 50 +- 6, core of 450 over 60 degrees, grey zone of 220 on both sides, blood of 400."""
    radius, angle = _ring()
    wall = (radius > 15.0) & (radius < 23.0)
    core, both = wall & (angle >= 30.0) & (angle < 90.0), wall & (angle >= 15.0) & (angle < 105.0)
    middle = np.zeros(wall.shape, bool)
    middle[1:4] = True
    core, both = core & middle, both & middle
    picture = np.random.default_rng(seed).normal(50.0, 6.0, wall.shape)
    picture[radius <= 15.0] += 350.0
    picture[both] += 170.0
    picture[core] += 230.0
    return picture, wall, core, both & ~core


@pytest.mark.parametrize("rule", [HalfMaximum(), Deviations(20.0 / 2.0, 5.0)])
def test_a_plain_scar_is_found_to_the_voxel(rule: HalfMaximum | Deviations) -> None:
    picture, wall, core, grey = _picture()
    found = segment_scar(picture, wall, SPACING, rule=rule)
    if isinstance(rule, HalfMaximum):
        assert np.array_equal(found.labels == CORE, core)
        assert np.array_equal(found.labels == GREY, grey)
        assert found.core_g == pytest.approx(core.sum() * VOXEL_G)
        assert found.grey_g == pytest.approx(grey.sum() * VOXEL_G)
        assert found.peak == pytest.approx(450.0, abs=15.0)
        assert found.blood == pytest.approx(400.0, abs=3.0) and found.edge_blood == 0.0
    assert np.array_equal(found.labels != NONE, core | grey)
    assert found.wall_g == pytest.approx(wall.sum() * VOXEL_G)


def test_remote_muscle_is_the_healthy_muscle() -> None:
    picture, wall, core, grey = _picture()
    quiet = remote(picture, wall)
    assert quiet.mean == pytest.approx(50.0, abs=1.0) and quiet.sd == pytest.approx(6.0, abs=0.6)
    assert not (quiet.where & (core | grey)).any()
    # Dark obstruction of a phase-sensitive picture is not taken for it.
    picture[core & (_ring()[0] > 17.0) & (_ring()[0] < 21.0)] = -300.0
    assert remote(picture, wall).mean == pytest.approx(50.0, abs=1.0)


def test_an_island_that_core_shuts_off_is_obstruction() -> None:
    picture, wall, core, _ = _picture()
    radius, angle = _ring()
    dark = core & (radius > 16.5) & (radius < 20.0) & (angle > 45.0) & (angle < 75.0)
    picture[dark] = 40.0
    found = segment_scar(picture, wall, SPACING)
    assert np.array_equal(found.obstructed, dark)
    assert np.array_equal(found.labels == CORE, core)
    # Open to the healthy muscle outside it, the same dark voxels are no island.
    picture[core & (radius > 19.0) & (angle > 50.0) & (angle < 70.0)] = 40.0
    assert not segment_scar(picture, wall, SPACING).obstructed.any()


def test_the_edge_counts_beside_deeper_voxels_only() -> None:
    picture, wall, core, _ = _picture()
    radius, _ = _ring()
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    shine = wall & binary_dilation(radius <= 15.0, cross)
    picture[shine] = 400.0  # blood in the innermost voxels all around
    found = segment_scar(picture, wall, SPACING)
    far = shine & ~np.isin(found.labels, (CORE, GREY))
    assert far.sum() > 0.8 * shine.sum()
    assert found.edge_blood > 0.9
    assert (found.labels[core] == CORE).all()


def test_small_clusters_and_grey_zone_by_itself_are_left_out() -> None:
    picture, wall, _, grey = _picture()
    radius, angle = _ring()
    speck = wall & (np.abs(angle - 200.0) < 4.0) & (np.abs(radius - 19.0) < 1.6)
    lone = wall & (np.abs(angle - 300.0) < 20.0) & (np.abs(radius - 19.0) < 2.5)
    speck[[0, 1, 3, 4]] = False
    lone[[0, 1, 3, 4]] = False
    picture[speck], picture[lone] = 450.0, 210.0
    found = segment_scar(picture, wall, SPACING, smallest_ml=(speck.sum() + 1) * VOXEL_G / 1.05)
    assert not found.labels[speck].any() and not found.labels[lone].any()
    kept = segment_scar(picture, wall, SPACING, smallest_ml=0.0)
    assert (kept.labels[speck] == CORE).all()
    assert np.array_equal(found.labels == GREY, grey)


def test_the_curve_falls_and_meets_the_mass() -> None:
    picture, wall, _, _ = _picture()
    for rule in (HalfMaximum(), Deviations(6.0, 3.0)):
        found = segment_scar(picture, wall, SPACING, rule=rule)
        assert (np.diff(found.curve_g) <= 1e-9).all()
        here = int(np.abs(found.curve_x - rule.core).argmin())
        assert found.curve_g[here] == pytest.approx(found.core_g)


def test_transmurality_looks_along_rays() -> None:
    radius, angle = _ring()
    wall = (radius > 12.0) & (radius < 28.0)
    inner = wall & (radius < 20.0) & (angle >= 90.0) & (angle < 120.0)
    share = transmurality(inner, wall)
    assert share.shape == (5, RAYS)
    expected = (20.0**2 - 12.0**2) / (28.0**2 - 12.0**2)
    assert share[0, 9:12] == pytest.approx(expected, abs=0.06)
    assert not share[0, :9].any() and not share[0, 12:].any()
    wall[2] = False
    assert np.isnan(transmurality(inner & wall, wall)[2]).all()


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def _infarct(seed: int, how: Enhancement) -> Late:
    person, infarcts = draw_infarct(np.random.default_rng(seed))
    return late(person, infarcts, whole_stack(person, pixel_mm=1.6, thickness_mm=8.0), how, seed=seed)


def test_virtual_infarcts() -> None:
    overlaps = []
    for seed in (101, 102, 103):
        made = _infarct(seed, Enhancement(snr=20.0, obstructed=0.3 * (seed % 2)))
        found = segment_scar(made.picture, made.wall, made.spacing_mm)
        overlaps.append(_dice(found.labels != NONE, made.labels >= 5))
        assert 0.5 < found.core_g / made.core_g < 2.0
    assert np.mean(overlaps) > 0.75


@pytest.mark.parametrize("sensitive", [False, True])
def test_a_heart_without_scar_has_none(sensitive: bool) -> None:
    person, _ = draw_infarct(np.random.default_rng(4))
    plane = whole_stack(person, pixel_mm=1.6, thickness_mm=8.0)
    made = late(person, (), plane, Enhancement(snr=30.0, phase_sensitive=sensitive), seed=1)
    found = segment_scar(made.picture, made.wall, made.spacing_mm)
    assert found.peak is None and found.core_g == 0.0 and not found.curve_g.any()


def test_what_is_no_wall_is_refused() -> None:
    picture, wall, _, _ = _picture()
    with pytest.raises(InputError, match="both"):
        segment_scar(picture[:2], wall, SPACING)
    with pytest.raises(InputError, match="200 or more"):
        segment_scar(picture, np.zeros_like(wall), SPACING)
    with pytest.raises(InputError, match="no numbers"):
        segment_scar(np.where(wall, np.nan, picture), wall, SPACING)
    with pytest.raises(InputError, match="mL"):
        segment_scar(picture, wall, SPACING, smallest_ml=-1.0)
    for wrong in (lambda: HalfMaximum(0.1), lambda: HalfMaximum(0.5, 0.6), lambda: Deviations(3.0, 4.0)):
        with pytest.raises(InputError):
            wrong()
