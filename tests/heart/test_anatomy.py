import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.anatomy import (
    LV_CAVITY,
    LV_WALL,
    MUSCLE_G_PER_ML,
    RV_CAVITY,
    RV_WALL,
    SEPTUM,
    Anatomy,
)
from carna.heart.axes import Axes
from carna.space import Grid, rotation

HEARTS = {
    "mean": Anatomy(),
    "dilated": Anatomy(lv_ml=290, slenderness=1.35, lv_wall_mm=7, rv_ml=210, insertion_deg=60),
    "thick": Anatomy(lv_ml=110, lv_wall_mm=16, rv_ml=140, rv_wall_mm=5),
    "no outflow": Anatomy(outflow_mm=0, rv_ml=170),
}


def volumes_ml(anatomy, grid):
    count = np.bincount(anatomy.labels(grid).ravel(), minlength=7) * grid.voxel_ml
    return count[LV_CAVITY], count[RV_CAVITY], count[LV_WALL] + count[SEPTUM], count[RV_WALL]


@pytest.mark.parametrize("name", HEARTS)
def test_voxels_hold_the_closed_form_volumes(name):
    one = HEARTS[name]
    truth = (one.lv_ml, one.rv_ml, one.lv_wall_ml, one.rv_wall_ml)
    assert volumes_ml(one, one.grid(0.7)) == pytest.approx(truth, rel=0.01)


def test_voxels_of_an_oblique_grid_hold_them_too():
    one = Anatomy()
    turned = one.grid(0.8).moved(rotation((1, 2, 3), 33, one.axes.base_lps))
    centre = turned.centre
    affine = turned.affine.copy()
    shape = (230, 230, 230)  # a cube around it, so that the turned heart fits
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    truth = (one.lv_ml, one.rv_ml, one.lv_wall_ml, one.rv_wall_ml)
    assert volumes_ml(one, Grid(shape, affine)) == pytest.approx(truth, rel=0.01)


def test_the_right_wall_by_chance():
    """Random points, not voxels and not lenses: an independent integral of the same shape."""
    one = Anatomy(outflow_mm=0, rv_ml=170)
    centre, inner, outer = one.rv_circles_mm(one.equator_mm)
    low = np.array([-50.0, -outer, 0.0])
    high = np.array([centre + outer, outer, one.span_mm])
    points = np.random.default_rng(1).uniform(low, high, (2_000_000, 3))
    x, y, z = points.T
    _, left = one.lv_radii_mm(z)
    centre, inner, outer = one.rv_circles_mm(z)
    off, free = np.hypot(x - centre, y), np.hypot(x, y) >= left
    box_ml = np.prod(high - low) / 1e3
    assert (free & (off < inner)).mean() * box_ml == pytest.approx(170, rel=0.01)
    assert (free & (off < outer) & (off >= inner)).mean() * box_ml == pytest.approx(one.rv_wall_ml, rel=0.015)


def test_the_default_is_a_mans_mean_heart():
    one = Anatomy()
    assert one.lv_wall_ml * MUSCLE_G_PER_ML == pytest.approx(134, abs=3)  # Kawel-Boehm 2015: 134 +- 21 g
    assert one.rv_wall_ml * MUSCLE_G_PER_ML == pytest.approx(45, abs=3)  # Doherty 1992: 45 +- 8 g
    assert 170 <= one.tissue_ml <= 220
    assert 85 <= one.length_mm <= 105 and 45 <= 2 * one.radius_mm <= 60


def test_a_narrow_right_ventricle_has_a_narrow_outflow():
    one = Anatomy(lv_ml=400, slenderness=1.2, rv_ml=60)
    assert one.lumen_mm < one.outflow_radius_mm
    truth = (one.lv_ml, one.rv_ml, one.lv_wall_ml, one.rv_wall_ml)
    assert volumes_ml(one, one.grid(0.8)) == pytest.approx(truth, rel=0.015)


def test_walls_are_as_thick_as_asked():
    one = Anatomy(lv_wall_mm=11, rv_wall_mm=4)
    inner, outer = one.lv_radii_mm(one.equator_mm)
    assert outer - inner == pytest.approx(11)
    _, inner, outer = one.rv_circles_mm(one.equator_mm)
    assert outer - inner == pytest.approx(4)


def test_muscle_is_one_piece_and_cavities_do_not_meet():
    from scipy.ndimage import binary_dilation, label

    one = Anatomy()
    labels = one.labels(one.grid(1.0))
    assert label((labels >= LV_WALL) & (labels <= RV_WALL))[1] == 1
    assert label(labels == RV_CAVITY)[1] == 1
    assert not (binary_dilation(labels == LV_CAVITY) & (labels == RV_CAVITY)).any()


def test_the_septum_faces_the_right_cavity():
    from scipy.ndimage import binary_dilation

    one = Anatomy()
    labels = one.labels(one.grid(1.0))
    beside = binary_dilation(labels == RV_CAVITY) & (labels >= LV_WALL) & (labels <= SEPTUM)
    assert (labels[beside] == SEPTUM).mean() > 0.97


@pytest.mark.parametrize(
    "wrong", [{"lv_ml": 20}, {"lv_wall_mm": 40}, {"insertion_deg": 10}, {"outflow_mm": -1}]
)
def test_impossible_hearts_are_refused(wrong):
    with pytest.raises(InputError, match=r"needed"):
        Anatomy(**wrong)


def test_axes_are_right_handed_and_round_trip():
    axes = Axes()
    assert np.linalg.det(axes.matrix) == pytest.approx(1)
    points = np.random.default_rng(0).normal(0, 50, (20, 3))
    assert axes.to_lps(axes.to_heart(points)) == pytest.approx(points)
    assert axes.to_lps((0, 0, 0)) == pytest.approx(axes.base_lps)
    assert axes.matrix[1][2] < 0  # y points down: to the inferior wall
    with pytest.raises(InputError):
        Axes(axis_lps=(1, 0, 0), septum_lps=(-2, 0, 0))
