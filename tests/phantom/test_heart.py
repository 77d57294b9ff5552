"""The beating heart: its closed forms against counting, differencing and each other."""

from collections.abc import Callable

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom.heart import ES_PHASE, MUSCLE_G_PER_ML, Heart, contraction
from carna.phantom.labels import LV_CAVITY, MYOCARDIUM, RV
from carna.phantom.wall import Region


def _count(heart: Heart, phase: float, step: float = 1.0) -> np.ndarray:
    """Volume of every label [mL], by counting points of a fine grid in a box around the heart."""
    half = np.arange(-80.0, 90.0, step)
    depth = np.arange(-2.0, heart.span_mm + 4.0, step) + 0.37
    local = np.stack(np.meshgrid(half, half, depth, indexing="ij"), axis=-1)
    labels = heart.label_at(local @ heart.axes_lps + np.asarray(heart.base_lps), phase)
    return np.bincount(labels.ravel(), minlength=256) * step**3 / 1e3


INFARCT = Region(theta_deg=150.0, depth=0.6, half_width_deg=50.0, motion=-0.1, thinning=0.5)
ODD = Heart(
    edv_ml=200.0, ef=0.35, rv_edv_ml=190.0, wall_mm=10.0, elongation=0.9, oval=0.12, septal_mm=4.0,
    apical=0.7, regions=(INFARCT,), delay=0.08, rv_half_angle_deg=60.0, rv_blunt=1.1, rv_reach=0.8,
)  # fmt: skip


@pytest.mark.parametrize("heart", [Heart(), Heart(edv_ml=280.0, ef=0.25, rv_edv_ml=200.0, wall_mm=8.0), ODD])
@pytest.mark.parametrize("phase", [0.0, 0.2, ES_PHASE, 0.7])
def test_volumes_equal_what_is_counted(heart: Heart, phase: float) -> None:
    counted = _count(heart, phase)
    assert counted[list(LV_CAVITY)].sum() == pytest.approx(float(heart.lv_ml(phase)), rel=0.01)
    assert counted[RV] == pytest.approx(float(heart.rv_ml(phase)), rel=0.01)
    assert counted[MYOCARDIUM] * MUSCLE_G_PER_ML == pytest.approx(heart.mass_g, rel=0.01)


@pytest.mark.parametrize("heart", [Heart(torsion_deg=15.0), ODD])
def test_the_muscle_is_incompressible(heart: Heart) -> None:
    """Determinant of the deformation gradient by central differences; stated tolerance 0.01 %."""
    random = np.random.default_rng(0)
    depth = random.uniform(3.0, heart.length_mm - 3.0, 400)
    angle = random.uniform(-np.pi, np.pi, 400)
    inner, outer = heart.endocardium_mm(depth, angle), heart.epicardium_mm(depth, angle)
    radius = inner + random.uniform(0.05, 0.95, 400) * (outer - inner)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), depth], axis=-1)
    h = 1e-3
    for phase in (0.1, ES_PHASE, 0.5):
        gradient = np.stack(
            [
                (heart.move(points + h * e, phase) - heart.move(points - h * e, phase)) / (2 * h)
                for e in np.eye(3)
            ],
            axis=-1,
        )
        assert np.abs(np.linalg.det(gradient) - 1.0).max() < 1e-4


def test_material_points_stay_in_the_muscle() -> None:
    heart = Heart()
    depth = np.linspace(5.0, 80.0, 50)
    middle = (heart.endocardium_mm(depth) + heart.epicardium_mm(depth)) / 2.0
    points = np.stack([0.0 * depth, middle, depth], axis=-1)
    for phase in (0.0, 0.2, ES_PHASE):
        moved = heart.move(points, phase) @ heart.axes_lps + np.asarray(heart.base_lps)
        assert (heart.label_at(moved, phase) == MYOCARDIUM).all()
    assert heart.move(points, 0.0) == pytest.approx(points)


def test_walls_thicken_and_the_base_descends() -> None:
    heart = Heart()
    ring = np.array([[heart.radius_mm, 0.0, 22.0], [heart.radius_mm + heart.wall_mm, 0.0, 22.0]])
    inner, outer = np.hypot(*heart.move(ring, ES_PHASE)[:, :2].T)
    assert 1.3 < (outer - inner) / heart.wall_mm < 1.8
    base = heart.move(np.array([0.0, heart.radius_mm, 0.0]), ES_PHASE)
    assert 8.0 < base[2] < 20.0


def test_an_infarct_moves_out_while_the_rest_moves_in() -> None:
    heart = Heart(ef=0.4, rv_edv_ml=200.0, regions=(INFARCT,))
    depth = np.full(2, 0.6 * heart.span_mm)
    theta = np.deg2rad([150.0, -30.0])
    ill, well = heart.across(theta, depth, ES_PHASE)
    assert ill > 1.0
    assert well < 0.85
    wall = heart.epicardium_mm(depth, theta) - heart.endocardium_mm(depth, theta)
    assert wall[0] == pytest.approx(0.5 * wall[1], rel=0.02)
    volumes = heart.lv_ml(np.linspace(0.0, 1.0, 2001))
    assert 1.0 - volumes.min() / volumes.max() == pytest.approx(0.4, abs=1e-9)


def test_a_late_wall_is_late() -> None:
    heart = Heart(delay=0.1)
    phase = np.linspace(0.0, 1.0, 201)
    septum, lateral = (
        np.array([heart.across(np.array([a]), np.array([30.0]), p)[0] for p in phase]) for a in (0.0, np.pi)
    )
    assert phase[lateral.argmin()] - phase[septum.argmin()] == pytest.approx(0.1, abs=0.02)
    assert lateral[-1] == pytest.approx(lateral[0], abs=1e-3)


@pytest.mark.parametrize("ef", [0.20, 0.45, 0.75])
def test_ejection_fraction_is_reached(ef: float) -> None:
    heart = Heart(ef=ef, rv_edv_ml=200.0)
    volumes = heart.lv_ml(np.linspace(0.0, 1.0, 2001))
    assert 1.0 - volumes.min() / volumes.max() == pytest.approx(ef, abs=1e-9)
    assert volumes[0] == volumes[-1] == pytest.approx(heart.edv_ml)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_beat_has_one_full_and_one_empty_moment(share: float) -> None:
    phase = np.linspace(0.0, 1.0, 1001)
    c = contraction(phase, share)
    assert c.min() >= -1e-12
    assert phase[c.argmax()] == pytest.approx(ES_PHASE)
    assert (np.diff(c[phase <= ES_PHASE]) >= -1e-12).all()
    assert (np.diff(c[phase >= ES_PHASE]) <= 1e-12).all()


def test_axes_are_right_handed_and_point_to_the_left_front_foot() -> None:
    axes = Heart().axes_lps
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    left, back, head = axes[2]
    assert left > 0 and back < 0 and head < 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Heart(ef=0.9),
        lambda: Heart(edv_ml=10.0),
        lambda: Heart(rv_edv_ml=50.0),
        lambda: Heart(wall_mm=1.0),
        lambda: Heart(torsion_deg=90.0),
        lambda: Heart(ef=0.7, regions=(Region(0.0, 0.5, 120.0, 0.5),)),
        lambda: Heart(regions=(Region(0.0, 2.0),)),
    ],
)
def test_impossible_hearts_are_refused(make: Callable[[], Heart]) -> None:
    with pytest.raises(InputError, match="needed"):
        make()
