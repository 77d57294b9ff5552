import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.anatomy import LV_CAVITY, LV_WALL, RV_CAVITY, RV_WALL, Anatomy
from carna.heart.axes import Axes
from carna.heart.coordinates import coordinates
from carna.space import Grid

STRAIGHT = Axes((0, 0, 0), (0, 0, 1), (1, 0, 0))


def shell(spacing, inner=20.0, outer=30.0):
    """A closed ball of muscle around a ball of blood; index (k, r, c) lies at (z, y, x)."""
    sizes = tuple(int(np.ceil(2 * (outer + 3) / s)) for s in spacing)
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(sizes[::-1], spacing[::-1], strict=True)]
    grid = Grid(sizes, affine)
    points = grid.to_world(np.moveaxis(np.indices(sizes), 0, -1))
    radius = np.linalg.norm(points, axis=-1)
    labels = np.where(radius < inner, LV_CAVITY, np.where(radius < outer, LV_WALL, 0)).astype(np.uint8)
    return labels, grid, points, radius


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 0.7), (1.5, 0.8, 0.8)])
def test_a_ball_of_muscle_has_the_exact_answer(spacing):
    labels, grid, points, radius = shell(spacing)
    at = coordinates(labels, grid, STRAIGHT)
    r = radius.ravel()[at.where]
    error = at.transmural - (r - 20) / 10
    assert abs(error.mean()) < 0.01 and np.percentile(np.abs(error), 99) < 0.03
    assert at.thickness_mm.mean() == pytest.approx(10, abs=0.25)
    straight = points.reshape(-1, 3)[at.where] / r[:, None]
    off = np.degrees(np.arccos(np.clip((at.outwards @ grid.axes.T * straight).sum(1), -1, 1)))
    assert np.median(off) < 0.5 and np.percentile(off, 99) < 5 and off.max() < 15


def nearest_mm(r, z, radius, equator, end):
    """Distance of points to an ellipse, by 2000 points of it."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    er, ez = radius * np.cos(t), equator + (end - equator) * np.sin(t)
    return np.sqrt(((er - r[:, None]) ** 2 + (ez - z[:, None]) ** 2).min(1))


def test_depth_in_the_left_wall_against_its_ellipsoids(heart):
    one = Anatomy()
    chosen = np.random.default_rng(0).choice(np.flatnonzero(~heart.at.right), 3000, replace=False)
    x, y, z = heart.axes.to_heart(heart.points_lps[chosen]).T
    r = np.hypot(x, y)
    inner = nearest_mm(r, z, one.radius_mm, one.equator_mm, one.length_mm)
    outer = nearest_mm(r, z, one.radius_mm + one.lv_wall_mm, one.equator_mm, one.span_mm)
    error = heart.at.transmural[chosen] - inner / (inner + outer)
    assert abs(error.mean()) < 0.01 and np.percentile(np.abs(error), 95) < 0.03


def test_the_other_coordinates(heart):
    at = heart.at
    left = ~at.right
    assert 0 <= at.apicobasal[left].min() < 0.01 and 0.99 < at.apicobasal[left].max() <= 1
    assert at.apicobasal[at.right].max() == pytest.approx(1 + 20 / Anatomy().span_mm, abs=0.02)
    place = heart.axes.to_heart(heart.points_lps)
    assert at.rotational == pytest.approx(np.arctan2(place[:, 1], place[:, 0]), abs=1e-3)
    assert at.transmural.min() >= 0 and at.transmural.max() <= 1
    assert (at.right == (heart.labels.ravel()[at.where] == RV_WALL)).all()
    right = at.thickness_mm[at.right]
    assert np.median(right) == pytest.approx(Anatomy().rv_wall_mm, abs=0.3)


def test_what_cannot_be_solved_is_refused():
    labels, grid, _, _ = shell((2.0, 2.0, 2.0))
    with pytest.raises(InputError, match="without its cavity"):
        coordinates(np.where(labels == LV_CAVITY, 0, labels).astype(np.uint8), grid, STRAIGHT)
    with pytest.raises(InputError, match="without muscle"):
        coordinates(np.zeros_like(labels), grid, STRAIGHT)
    with pytest.raises(InputError, match="uint8"):
        coordinates(labels.astype(int), grid, STRAIGHT)
    skewed = grid.affine.copy()
    skewed[0, 0] = 1.0
    with pytest.raises(InputError, match="perpendicular"):
        coordinates(labels, Grid(grid.shape, skewed), STRAIGHT)


def test_specks_are_borne_and_a_heart_of_specks_is_refused():
    labels, grid, _, _ = shell((1.5, 1.5, 1.5))
    specked = labels.copy()
    specked[:2, :2, :2] = RV_WALL
    specked[3:5, 3:5, 3:5] = RV_CAVITY  # a right ventricle must have its cavity
    at = coordinates(specked, grid, STRAIGHT)
    assert np.linalg.norm(at.outwards, axis=1) == pytest.approx(1, abs=1e-4)
    assert at.transmural.min() >= 0 and at.transmural.max() <= 1
    nothing = np.zeros_like(labels)
    nothing[10:20, 10:20, 10:20] = LV_WALL
    nothing[0, 0, 0] = LV_CAVITY
    with pytest.raises(InputError, match="no two surfaces"):
        coordinates(nothing, grid, STRAIGHT)
