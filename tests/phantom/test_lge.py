"""Late enhancement: masses against another integral, labels against shares, signal against its equation."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.scar import Infarct
from carna.heart.segments import place_of
from carna.phantom.heart import Heart
from carna.phantom.labels import MYOCARDIUM
from carna.phantom.lge import Enhancement, Late, draw_infarct, enhanced, late, whole_stack

PERSON = Heart(edv_ml=170.0, ef=0.42, rv_edv_ml=170.0)
INFARCT = Infarct(segment=7, around_mm=50.0, along_mm=40.0, transmural=0.7, rim_mm=3.0)


def _late(how: Enhancement, infarcts: tuple[Infarct, ...] = (INFARCT,)) -> Late:
    return late(PERSON, infarcts, whole_stack(PERSON, pixel_mm=1.8, thickness_mm=8.0), how, seed=2)


@pytest.fixture(scope="module")
def made() -> Late:
    return _late(Enhancement(snr=1000.0, obstructed=0.3, phase_sensitive=True))


def test_masses_are_those_of_another_integral(made: Late) -> None:
    """Points drawn evenly in the wall at end-diastole; the muscle is incompressible, so mass stays."""
    random = np.random.default_rng(0)
    box = np.array([60.0, 60.0, PERSON.span_mm])
    points = (random.random((400_000, 3)) * 2.0 - [1.0, 1.0, 0.0]) * [60.0, 60.0, PERSON.span_mm / 2.0]
    points[:, 2] = random.random(len(points)) * PERSON.span_mm
    theta, radius, depth = np.arctan2(points[:, 1], points[:, 0]), np.hypot(*points[:, :2].T), points[:, 2]
    inner, outer = PERSON.endocardium_mm(depth, theta), PERSON.epicardium_mm(depth, theta)
    wall = (radius > inner) & (radius < outer)
    angle, height = place_of(7, 0.0, 1.0 - PERSON.length_mm / PERSON.span_mm)
    around, along = radius * np.angle(np.exp(1j * (theta - angle))), depth - (1.0 - height) * PERSON.span_mm
    core = (
        wall & ((around / 25.0) ** 2 + (along / 20.0) ** 2 < 1.0) & (radius < inner + 0.7 * (outer - inner))
    )
    gram = 4.0 * np.prod(box) / len(points) * 1.05e-3
    assert made.wall_g == pytest.approx(PERSON.mass_g, rel=0.02)
    assert made.wall_g == pytest.approx(wall.sum() * gram, rel=0.02)
    assert made.core_g == pytest.approx(core.sum() * gram, rel=0.05)


def test_labels_follow_the_shares(made: Late) -> None:
    muscle = np.isin(made.labels, (1, 5, 6))
    assert (made.wall & ~muscle).mean() < 0.001
    assert (made.core[made.labels == 6] > 0.33).all()
    assert (made.core + made.grey <= 1.0 + 1e-6).all() and (made.obstructed <= made.core + 1e-6).all()
    voxel_g = np.prod(made.spacing_mm) * 1.05e-3
    assert (made.labels == 6).sum() * voxel_g == pytest.approx(made.core_g, rel=0.12)


def test_muscle_is_nulled_scar_is_bright_and_obstruction_dark(made: Late) -> None:
    pure = made.obstructed > 0.99
    assert pure.any()
    assert made.picture[(made.core > 0.99) & (made.obstructed == 0.0)].mean() == pytest.approx(
        400.0, rel=0.01
    )
    assert made.picture[pure].mean() < 0.0
    healthy = (made.labels == 1) & (made.core + made.grey == 0.0)
    assert abs(np.median(made.picture[healthy])) < 4.0
    blood = made.picture[made.labels == 3]
    assert 200.0 < np.median(blood) < 350.0


def test_noise_of_a_magnitude_picture_is_folded() -> None:
    made = _late(Enhancement(snr=20.0), ())
    assert made.core_g == made.grey_g == 0.0 and not (made.labels >= 5).any()
    from scipy.ndimage import binary_erosion

    inner = binary_erosion(made.labels == 1, np.ones((3, 3, 3)))
    assert inner.sum() > 100
    assert made.picture[inner].mean() == pytest.approx(20.0 * np.sqrt(np.pi / 2.0), rel=0.08)


def test_a_channel_is_grey_and_a_case_hides_the_scar() -> None:
    open_ = _late(Enhancement(), (Infarct(7, 50.0, 40.0, 1.0, 0.0, 8.0),))
    solid = _late(Enhancement(), (Infarct(7, 50.0, 40.0, 1.0, 0.0, 0.0),))
    assert solid.grey_g == 0.0 < open_.grey_g
    assert open_.core_g + open_.grey_g == pytest.approx(solid.core_g, rel=1e-6)
    region = enhanced(open_).findings[0].items[0]
    assert set(np.unique(region.labels)) == {0, 1, 2, 3, 4}  # type: ignore[union-attr]


def test_drawn_infarcts_lie_in_thin_still_walls() -> None:
    for seed in range(6):
        person, (infarct,) = draw_infarct(np.random.default_rng(seed))
        angle, height = place_of(infarct.segment, 0.0, 0.08)
        (region,) = person.regions
        assert np.deg2rad(region.theta_deg) == pytest.approx(angle)
        assert region.depth == pytest.approx(1.0 - height) and region.motion < 0.7
    point = person.rest(person.move(np.array([0.0, person.radius_mm + 2.0, 30.0]), 0.75), 0.75)
    assert point[2] == pytest.approx(30.0)
    assert MYOCARDIUM == 2


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"snr": 1.0}, {"nulled": 2.0}, {"grey_scar": 1.0}, {"obstructed": 0.9}):
        with pytest.raises(InputError):
            Enhancement(**wrong)
