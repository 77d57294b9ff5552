"""The tagged cine: truth against closed forms, signal against the equations, noise against Rice."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.tags import TR_MS, Tagged, Tagging, levels, tagged
from carna.phantom.wall import Region

ODD = Heart(
    edv_ml=200.0, ef=0.35, rv_edv_ml=190.0, wall_mm=10.0, oval=0.12, septal_mm=4.0, delay=0.08,
    regions=(Region(theta_deg=150.0, depth=0.6, half_width_deg=50.0, motion=-0.1, thinning=0.5),),
)  # fmt: skip
ROUND = Heart(torsion_deg=15.0)


def _made(tagging: Tagging, person: Heart = ROUND) -> Tagged:
    plane = levels(person, first_mm=25.0, step_mm=40.0, slices=2, pixels=70, pixel_mm=1.6, thickness_mm=8.0)
    return tagged(person, plane, np.array([0.0, 0.2, ES_PHASE]), tagging, seed=1)


@pytest.fixture(scope="module")
def clean() -> Tagged:
    return _made(Tagging(complementary=True, snr=1000.0))


@pytest.mark.parametrize("heart", [ROUND, ODD])
@pytest.mark.parametrize("phase", [0.0, 0.15, ES_PHASE, 0.7])
def test_where_muscle_was_is_the_inverse_of_where_it_goes(heart: Heart, phase: float) -> None:
    random = np.random.default_rng(0)
    depth, angle = random.uniform(3.0, heart.length_mm - 3.0, 400), random.uniform(-np.pi, np.pi, 400)
    inner, outer = heart.endocardium_mm(depth, angle), heart.epicardium_mm(depth, angle)
    radius = inner + random.uniform(0.0, 1.0, 400) * (outer - inner)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), depth], axis=-1)
    assert heart.rest(heart.move(points, phase), phase) == pytest.approx(points, abs=1e-9)


def test_the_turn_of_a_level_is_the_closed_form(clean: Tagged) -> None:
    along = float(ROUND.along(ES_PHASE))
    depth = ROUND.span_mm - (ROUND.span_mm - np.array([25.0, 65.0])) / along
    assert np.abs(clean.turned_deg[2]) == pytest.approx(15.0 * (ROUND.span_mm - depth) / ROUND.span_mm)
    assert clean.turned_deg[0] == pytest.approx(0.0)


def test_the_strain_of_a_round_heart_is_its_change_of_radius(clean: Tagged) -> None:
    """In a round heart a circle stays a circle: strain is radius now over radius then, less one."""
    plane = levels(ROUND, first_mm=25.0, step_mm=40.0, slices=2, pixels=70, pixel_mm=1.6, thickness_mm=8.0)
    now = (plane.points() - np.asarray(ROUND.base_lps)) @ ROUND.axes_lps.T
    was = ROUND.rest(now, ES_PHASE)
    ratio = np.hypot(now[..., 0], now[..., 1]) / np.hypot(was[..., 0], was[..., 1]) - 1.0
    wall = clean.wall[2]
    assert clean.ecc[2][wall] == pytest.approx(ratio[wall], abs=1e-6)
    assert -0.3 < clean.ecc[2][wall].mean() < -0.1


def test_the_first_frame_has_not_moved_and_shows_the_cosine(clean: Tagged) -> None:
    assert np.abs(clean.moved_mm[0]).max() < 1e-9
    tagging = Tagging()
    plane = levels(ROUND, first_mm=25.0, step_mm=40.0, slices=2, pixels=70, pixel_mm=1.6, thickness_mm=8.0)
    rows, columns = (plane.affine[:3, n] / np.linalg.norm(plane.affine[:3, n]) for n in (1, 2))
    place = np.stack([(plane.points() - np.asarray(ROUND.base_lps)) @ a for a in (rows, columns)], axis=-1)
    inner = clean.wall[0]
    for d, wave in enumerate(tagging.waves):
        pattern = np.cos(place @ wave)
        assert np.corrcoef(pattern[inner], clean.frames[d, 0][inner])[0, 1] > 0.98
    assert tagging.waves[0] @ tagging.waves[1] == pytest.approx(0.0)


def test_tags_fade_by_relaxation_and_read_out(clean: Tagged) -> None:
    def amplitude(t: int) -> float:
        plane = levels(
            ROUND, first_mm=25.0, step_mm=40.0, slices=2, pixels=70, pixel_mm=1.6, thickness_mm=8.0
        )
        rows, columns = (plane.affine[:3, n] / np.linalg.norm(plane.affine[:3, n]) for n in (1, 2))
        place = np.stack([(plane.points() - np.asarray(ROUND.base_lps)) @ a for a in (rows, columns)], -1)
        pattern = np.cos((place - clean.moved_mm[t]) @ Tagging().waves[0])[clean.wall[t]]
        return float((pattern * clean.frames[0, t][clean.wall[t]]).sum() / (pattern**2).sum())

    rate = 1.0 / 1000.0 - np.log(np.cos(np.deg2rad(7.0))) / TR_MS
    expected = np.exp(-clean.times_ms[1] * rate)
    assert amplitude(1) / amplitude(0) == pytest.approx(expected, rel=0.06)


def test_noise_is_that_of_rice() -> None:
    noisy, clean = (_made(Tagging(snr=snr, flip_deg=0.0)).frames for snr in (10.0, 1000.0))
    empty = clean < 0.01
    assert empty.sum() > 300
    assert noisy[empty].mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2.0), rel=0.08)
    signed = [_made(Tagging(snr=snr, complementary=True)).frames for snr in (10.0, 1000.0)]
    assert (signed[0] - signed[1]).std() == pytest.approx(0.1 / np.sqrt(2.0), rel=0.02)


def test_what_no_scanner_makes_is_refused() -> None:
    for wrong in ({"spacing_mm": 2.0}, {"snr": 0.5}, {"flip_deg": 40.0}):
        with pytest.raises(InputError):
            Tagging(**wrong)
    with pytest.raises(InputError, match="rr_ms"):
        plane = levels(ROUND, first_mm=25.0, step_mm=9.0, slices=1, pixels=40, pixel_mm=2.0, thickness_mm=8.0)
        tagged(ROUND, plane, np.zeros(1), Tagging(), rr_ms=100.0, seed=0)
