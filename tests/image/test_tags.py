"""The tag tracker: deformations known in closed form, virtual hearts, and what it must not follow."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.tags import TagMotion, torsion, track, wave_of
from carna.phantom.heart import Heart
from carna.phantom.people import draw_heart
from carna.phantom.tags import Tagged, Tagging, levels, tagged

PIXEL = (1.5, 1.5)
WAVES = 2.0 * np.pi / 7.0 * np.array([[np.sin(0.6), np.cos(0.6)], [np.cos(0.6), -np.sin(0.6)]])


def _ring(scales: np.ndarray, turns_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures (2, t, 64, 64), walls and displacement of a ring that turns and shrinks evenly."""
    grid = np.moveaxis(np.indices((64, 64)) * 1.5, 0, -1) - 48.0
    pictures, walls, moved = np.zeros((2, len(scales), 64, 64)), [], []
    for t, (scale, turn) in enumerate(zip(scales, np.deg2rad(turns_deg), strict=True)):
        # A turn from the columns' direction to the rows'.
        matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        was = grid @ np.linalg.inv(matrix).T
        radius = np.hypot(*np.moveaxis(was, -1, 0))
        walls.append((radius > 24.0) & (radius < 34.0))
        pictures[:, t] = [0.6 - 0.4 * np.cos((was + 48.0) @ w) for w in WAVES]
        moved.append(grid - was)
    return pictures, np.array(walls), np.array(moved)


def test_a_ring_that_turns_and_shrinks_is_followed_to_a_thirtieth_of_a_pixel() -> None:
    scales, turns = np.linspace(1.0, 0.8, 9), np.linspace(0.0, 10.0, 9)
    pictures, walls, moved = _ring(scales, turns)
    found = track(pictures, walls, spacing_mm=PIXEL, waves=WAVES)
    assert found.followed.all() and not found.why
    away = np.linalg.norm(found.moved_mm - moved, axis=-1)[walls]
    assert away.mean() < 0.05
    assert found.turned_deg == pytest.approx(turns, abs=0.05)
    # A similarity strains every direction alike.
    for t in range(9):
        assert found.ecc[t][walls[t]].mean() == pytest.approx(scales[t] - 1.0, abs=0.002)


def test_waves_are_found_in_the_first_frame() -> None:
    pictures, _, _ = _ring(np.ones(1), np.zeros(1))
    for picture, wave in zip(pictures[:, 0], WAVES, strict=True):
        found = wave_of(picture, PIXEL)
        assert min(np.linalg.norm(found - wave), np.linalg.norm(found + wave)) < 0.002 * np.linalg.norm(wave)
    with pytest.raises(InputError, match="without tag lines"):
        wave_of(np.random.default_rng(0).normal(size=(64, 64)), PIXEL)


def test_a_grid_is_read_in_both_directions() -> None:
    pictures, walls, moved = _ring(np.linspace(1.0, 0.85, 7), np.linspace(0.0, 8.0, 7))
    grid = pictures[0] * pictures[1]
    found = track(np.stack([grid, grid]), walls, spacing_mm=PIXEL, waves=WAVES)
    assert found.followed.all()
    assert np.linalg.norm(found.moved_mm - moved, axis=-1)[walls].mean() < 0.15


def _followed(person: Heart, tagging: Tagging, phases: np.ndarray) -> tuple[Tagged, list[TagMotion], float]:
    distance = 0.4 * person.span_mm
    plane = levels(
        person, first_mm=0.25 * person.span_mm, step_mm=distance, slices=2, pixels=80, pixel_mm=1.5,
        thickness_mm=8.0,
    )  # fmt: skip
    made = tagged(person, plane, phases, tagging, seed=5)
    found = [track(made.frames[:, :, k], made.wall[:, k], spacing_mm=(1.5, 1.5)) for k in range(2)]
    return made, found, distance


def _missed(made: Tagged, found: list[TagMotion], t: int) -> float:
    away = [
        np.linalg.norm(m.moved_mm[t] - made.moved_mm[t, k], axis=-1)[made.wall[t, k]].mean()
        for k, m in enumerate(found)
        if m.followed[t]
    ]
    return float(max(away, default=0.0))


@pytest.mark.parametrize("pattern", ["normal", "hypertrophic", "infarcted"])
def test_virtual_hearts_at_ten_to_one(pattern: str) -> None:
    person = draw_heart(np.random.default_rng(7), pattern)  # type: ignore[arg-type]
    phases = 0.02 + 0.03 * np.arange(12)
    made, found, distance = _followed(person, Tagging(), phases)
    assert all(m.followed.all() for m in found)
    assert np.mean([_missed(made, found, t) for t in range(12)]) < 0.3
    twist = torsion(found[0], found[1], distance)
    exact = made.turned_deg[-1, 0] - made.turned_deg[-1, 1]
    assert twist.deg[-1] == pytest.approx(exact, abs=1.0)
    assert twist.deg_per_cm[-1] == pytest.approx(twist.deg[-1] * 10.0 / distance)
    for k, motion in enumerate(found):
        wall = made.wall[-1, k]
        assert motion.ecc[-1][wall].mean() == pytest.approx(made.ecc[-1, k][wall].mean(), abs=0.01)


def test_motion_of_half_a_tag_between_frames_is_not_followed_silently() -> None:
    fast = Heart(ef=0.72, rv_edv_ml=180.0, torsion_deg=18.0)
    for step in (0.06, 0.09, 0.15):
        phases = 0.02 + step * np.arange(4)
        made, found, _ = _followed(fast, Tagging(5.0, complementary=True), phases)
        assert max(_missed(made, found, t) for t in range(4)) < 0.5
        if step > 0.06:
            assert not found[0].followed.all()
            assert "half a tag" in found[0].why or "tags since" in found[0].why
        lost = ~found[0].followed
        assert not found[0].moved_mm[lost].any()


def test_tags_that_have_faded_say_nothing() -> None:
    _, found, _ = _followed(Heart(), Tagging(snr=4.0), 0.02 + 0.05 * np.arange(8))
    assert found[0].followed[0] and not found[0].followed.all()
    assert "faded" in found[0].why
    assert np.all(np.diff(found[0].followed.astype(int)) <= 0)


def test_what_cannot_be_followed_is_refused() -> None:
    pictures, walls, _ = _ring(np.ones(2), np.zeros(2))
    with pytest.raises(InputError, match="needed"):
        track(pictures, walls[:1], spacing_mm=PIXEL)
    with pytest.raises(InputError, match="less than 60"):
        track(pictures, np.zeros_like(walls), spacing_mm=PIXEL)
    with pytest.raises(InputError, match="crossing"):
        track(pictures[[0, 0]], walls, spacing_mm=PIXEL)
    with pytest.raises(InputError, match="no numbers"):
        track(np.where(walls, np.nan, pictures), walls, spacing_mm=PIXEL)
    with pytest.raises(InputError, match="mm apart"):
        still = track(pictures, walls, spacing_mm=PIXEL, waves=WAVES)
        torsion(still, still, 0.0)
