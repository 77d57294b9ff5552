"""Volumes by discs against bodies of known volume, and beats of curves whose beats are known."""

from __future__ import annotations

import numpy as np
import pytest

from carna.image.echo import Beat, beats, biplane, outline, single_plane


def _half_ellipse(long: float, half_wide: float, mm: float, n: int = 260) -> tuple[np.ndarray, np.ndarray]:
    """A cavity with its base below: half an ellipse, and an atrium under it; (r, c) bool each."""
    rows, columns = np.indices((n, n)) * mm
    base, middle = 0.75 * n * mm, 0.5 * n * mm
    inside = ((base - rows) / long) ** 2 + ((columns - middle) / half_wide) ** 2 < 1.0
    atrium = (rows >= base) & (rows < base + 30.0) & (np.abs(columns - middle) < 0.8 * half_wide)
    return inside & (rows < base), atrium


@pytest.mark.parametrize("mm", [0.5, 0.9])
def test_a_half_ellipsoid_holds_what_it_holds(mm: float) -> None:
    cavity, atrium = _half_ellipse(85.0, 24.0, mm)
    found = outline(cavity, atrium, (mm, mm))
    assert found is not None
    truth = 2.0 / 3.0 * np.pi * 85.0 * 24.0**2
    assert single_plane(found) == pytest.approx(truth, rel=0.03)
    assert found.length == pytest.approx(85.0, abs=2.0)
    assert found.area == pytest.approx(np.pi / 2.0 * 85.0 * 24.0, rel=0.01)
    left, right = found.annulus * mm
    assert left[1] < right[1] and abs(left[0] - 0.75 * 260 * mm) < 3.0


def test_two_planes_of_an_oval_body() -> None:
    views = [outline(*_half_ellipse(85.0, wide, 0.6), (0.6, 0.6)) for wide in (22.0, 30.0)]
    assert views[0] is not None and views[1] is not None
    truth = 2.0 / 3.0 * np.pi * 85.0 * 22.0 * 30.0
    assert biplane(views[0], views[1]) == pytest.approx(truth, rel=0.03)
    # One plane of an oval body is wrong by the ratio of its diameters.
    assert single_plane(views[0]) == pytest.approx(truth * 22.0 / 30.0, rel=0.03)


def test_pixels_may_be_oblong() -> None:
    cavity, atrium = _half_ellipse(85.0, 24.0, 0.5)
    found = outline(cavity[::2], atrium[::2], (1.0, 0.5))
    assert found is not None
    assert single_plane(found) == pytest.approx(2.0 / 3.0 * np.pi * 85.0 * 24.0**2, rel=0.03)


def test_a_tilted_ventricle_is_as_large() -> None:
    import cv2

    cavity, atrium = _half_ellipse(85.0, 24.0, 0.6)
    turn = cv2.getRotationMatrix2D((130, 130), 20.0, 1.0)
    turned = [cv2.warpAffine(m.astype(np.uint8), turn, (260, 260)).astype(bool) for m in (cavity, atrium)]
    straight, tilted = outline(cavity, atrium), outline(*turned)
    assert straight is not None and tilted is not None
    assert single_plane(tilted) == pytest.approx(single_plane(straight), rel=0.04)


def test_without_an_atrium_the_base_is_the_lowest_part() -> None:
    cavity, atrium = _half_ellipse(85.0, 24.0, 0.6)
    found, alone = outline(cavity, atrium), outline(cavity, np.zeros_like(atrium))
    assert found is not None and alone is not None
    assert alone.length == pytest.approx(found.length, rel=0.05)


def test_too_little_to_measure() -> None:
    empty = np.zeros((50, 50), bool)
    assert outline(empty, empty) is None


def _curve(beats_: float, begin: float, frames: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Areas that are largest at whole phases and smallest at 0.35, with the times of 900 ms a beat."""
    phase = begin + beats_ * np.arange(frames) / frames
    part = np.mod(phase, 1.0)
    down = np.where(part < 0.35, part / 0.35, 1.0 - (part - 0.35) / 0.65)
    area = 30.0 - 10.0 * (0.5 - 0.5 * np.cos(np.pi * down))
    return area + noise * np.random.default_rng(3).standard_normal(frames), (phase - begin) * 900.0


@pytest.mark.parametrize("begin", [0.0, 0.1, 0.3, 0.5, 0.8])
def test_every_beat_is_found_wherever_the_clip_begins(begin: float) -> None:
    area, times = _curve(3.3, begin, 90, noise=0.4)
    found = beats(area, times)
    phase = begin + 3.3 * np.arange(90) / 90
    assert 2 <= len(found) <= 4
    for beat in found:
        for frame, at in ((beat.ed, 0.0), (beat.es, 0.35)):
            away = abs((phase[frame] - at + 0.5) % 1.0 - 0.5)
            assert away < 0.08


def test_one_beat_from_r_wave_to_r_wave() -> None:
    area, times = _curve(1.0, 0.0, 30)
    (only,) = beats(area, times)
    assert only.ed == 0 and abs(only.es - 10) <= 1


def test_a_clip_that_begins_in_systole_takes_the_next_end_diastole() -> None:
    area, times = _curve(1.0, 0.2, 30)
    assert beats(area, times) == (Beat(ed=24, es=4),) or beats(area, times)[0].ed in (23, 24, 25)


def test_a_still_ventricle_has_no_beat() -> None:
    assert beats(np.full(30, 20.0), np.arange(30) * 33.0) == ()


def test_systole_alone_is_no_beat() -> None:
    """A clip from the middle of systole to its end has neither end seen."""
    area, times = _curve(0.15, 0.1, 12)
    full = beats(area, times)
    assert all(area[b.ed] > area[b.es] for b in full)
