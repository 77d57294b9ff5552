"""Simulated ultrasound: statistics against closed forms, geometry, speckle that moves with the tissue."""

from __future__ import annotations

import numpy as np
import pytest

from carna.phantom.apical import apical, cine, draw_look, lesson, opening, seen
from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import LEFT_ATRIUM, LV, MYOCARDIUM, PAPILLARY, RV
from carna.phantom.ultrasound import Fan, Sound, insonified, lattice, scatterers

PERSON = WholeHeart(Heart(edv_ml=150.0, ef=0.55, rv_edv_ml=165.0), bend_mm=0.0)
QUIET = Sound(haze_db=-90.0, noise_db=-90.0, lobes_db=-90.0, mirror=0.0, range_db=80.0, white_db=20.0)


def _fan(samples: int = 256, beams: int = 112) -> Fan:
    return Fan(np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]), 40.0, 160.0, samples, beams)


def _level(fan: Fan, sound: Sound, **changed: np.ndarray) -> np.ndarray:
    """Decibel above muscle of a uniform tissue, or of what is changed."""
    shape = (fan.samples, fan.beams)
    grain = scatterers(lattice(1), fan.points(*fan.in_plane_mm))
    given = {"backscatter_db": np.zeros(shape), "impedance": np.ones(shape), "gain_db": np.zeros(shape)}
    given |= changed
    shown = insonified(
        given["backscatter_db"], given["impedance"], grain, given["gain_db"], fan, sound,
        np.random.default_rng(0),
    )  # fmt: skip
    return (shown - 1.0) * sound.range_db + sound.white_db


def test_speckle_of_a_uniform_tissue_is_rayleigh() -> None:
    """Mean over standard deviation of the amplitude is 1.91 (Wagner 1983), of log power 5.57 dB."""
    level = _level(_fan(), QUIET)[40:]
    amplitude = 10.0 ** (level / 20.0)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, rel=0.06)
    assert level.std() == pytest.approx(5.57, rel=0.08)


def test_backscatter_shadow_and_loss_are_decibels() -> None:
    fan = _fan()
    half = np.zeros((fan.samples, fan.beams))
    half[:, :56] = -12.0
    level = _level(fan, QUIET, backscatter_db=half)
    power = 10.0 ** (level / 10.0)
    assert 10.0 * np.log10(power[:, 62:].mean() / power[:, :50].mean()) == pytest.approx(12.0, abs=0.6)
    shadowed = _level(fan, QUIET, gain_db=half)
    assert np.median((level - shadowed)[:, :50]) == pytest.approx(0.0, abs=1.0)
    lossy = _level(fan, Sound(**{**_fields(QUIET), "loss_db_cm": 0.5}))
    whole = _level(fan, QUIET)
    deep, near = (np.median((whole - lossy)[r]) for r in (slice(230, 250), slice(10, 30)))
    assert deep - near == pytest.approx(0.5 * 220 * fan.step_mm / 10.0, abs=0.3)


def _fields(sound: Sound) -> dict[str, float]:
    return {name: getattr(sound, name) for name in Sound.__dataclass_fields__}


def test_a_wall_square_to_the_beam_shines_and_one_along_it_does_not() -> None:
    fan = _fan()
    sound = Sound(**{**_fields(QUIET), "mirror": 5.0})
    dark = np.full((fan.samples, fan.beams), -60.0)
    square, along = np.zeros(dark.shape), np.zeros(dark.shape)
    square[120:140], along[:, 50:58] = 1.0, 1.0
    levels = [_level(fan, sound, backscatter_db=dark, impedance=z)[100:160].max() for z in (square, along)]
    assert levels[0] > levels[1] + 15.0


def test_the_sector_lies_where_geometry_says() -> None:
    fan = _fan()
    polar = np.zeros((fan.samples, fan.beams))
    beam, sample = 90, 200
    polar[sample - 1 : sample + 2, beam - 1 : beam + 2] = 1.0
    picture = fan.scanned(polar, 160)
    row, column = np.unravel_index(int(picture.argmax()), picture.shape)
    r, a = fan.ranges_mm[sample], fan.angles_rad[beam]
    assert (row + 0.5) == pytest.approx(r * np.cos(a), abs=1.2)
    assert column - 79.5 == pytest.approx(r * np.sin(a), abs=1.2)
    inside = fan.scanned(np.ones((fan.samples, fan.beams)), 160) > 0.5
    # The sides of the square cut the sector's ends off.
    x, z = np.meshgrid(np.arange(160) - 79.5, np.arange(160) + 0.5)
    truth = (np.hypot(x, z) < 160.0) & (np.abs(np.arctan2(x, z)) < np.deg2rad(40.0))
    assert (inside ^ truth).mean() < 0.01


def test_speckle_moves_with_the_muscle() -> None:
    """The same material points show the same scatterers a little later; the same places do not."""
    grain = lattice(2)
    random = np.random.default_rng(0)
    rest = np.stack(
        [27.0 + random.uniform(0, 6, 400), random.uniform(-4, 4, 400), random.uniform(20, 60, 400)], -1
    )
    later = PERSON.heart.move(rest, 0.2)
    assert np.abs(later - rest).max() > 2.0
    here = scatterers(grain, PERSON.heart.rest(rest, 0.0))
    same = scatterers(grain, PERSON.heart.rest(later, 0.2))
    place = scatterers(grain, PERSON.heart.rest(rest, 0.2))
    assert np.mean(np.isclose(here, same)) > 0.97
    assert abs(np.corrcoef(here.real, place.real)[0, 1]) < 0.25


def test_views_show_what_they_should() -> None:
    random = np.random.default_rng(3)
    for view in ("4CH", "2CH"):
        fan = apical(PERSON, view, random, care=0.0)
        x, _ = fan.in_plane_mm
        labels = PERSON.label_at(fan.points(*fan.in_plane_mm), 0.0)
        cavity = np.isin(labels, (LV, PAPILLARY))
        share = [
            np.average(m * 1.0, weights=fan.ranges_mm[:, None] + 0 * x)
            for m in (cavity, labels == MYOCARDIUM)
        ]
        assert min(share) > 0.04 and (labels == LEFT_ATRIUM).any()
        right = labels == RV
        assert not right.any() or x[right].mean() < x[cavity].mean() - 15.0
        if view == "4CH":
            assert right.sum() > 300


def test_taught_labels_are_the_hearts_own() -> None:
    random = np.random.default_rng(4)
    fan = apical(PERSON, "4CH", random, care=0.0)
    look = draw_look(fan, random, 1)
    _, taught = seen(PERSON, fan, look, 0.3, random)
    labels = PERSON.label_at(fan.points(*fan.in_plane_mm), 0.3)
    for label, names in ((1, (LV, PAPILLARY)), (2, (MYOCARDIUM,)), (3, (LEFT_ATRIUM,))):
        assert np.array_equal(taught == label, np.isin(labels, names))


def test_the_valve_opens_when_blood_flows_in() -> None:
    assert opening(0.0, 0.25) < 0.3 and opening(0.2, 0.25) == 0.0
    assert opening(ES_PHASE + 0.13, 0.25) > 0.9
    assert opening(0.91, 0.25) > opening(0.75, 0.25)


def test_a_clip_is_full_at_end_diastole() -> None:
    random = np.random.default_rng(5)
    fan = apical(PERSON, "4CH", random, care=0.0)
    made = cine(PERSON, fan, draw_look(fan, random, 1), frames=20, beats=1.0, pixels=96)
    area = (made.labels == 1).sum((1, 2))
    assert int(area.argmax()) in (0, 1, 19) and int(area.argmin()) in (6, 7, 8)
    assert made.mm == pytest.approx(fan.depth_mm / 96) and made.pictures.dtype == np.uint8
    again = cine(PERSON, fan, draw_look(fan, np.random.default_rng(9), 1), frames=2, beats=0.1, pixels=96)
    assert again.labels.shape == (2, 96, 96)


def test_lessons_are_the_same_for_the_same_seed_and_hold_all_labels() -> None:
    first, second = (lesson(np.random.default_rng(11), 64) for _ in range(2))
    assert np.array_equal(first.picture, second.picture) and np.array_equal(first.labels, second.labels)
    kinds = set()
    for seed in range(6):
        one = lesson(np.random.default_rng(seed), 64)
        assert one.picture.min() >= 0.0 and one.picture.max() <= 1.0 and one.picture.dtype == np.float32
        kinds |= set(np.unique(one.labels).tolist())
    assert kinds == {0, 1, 2, 3}
