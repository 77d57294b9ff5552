"""Long-axis lessons and cines: labels are those of the heart, pictures are of the labels."""

from __future__ import annotations

import numpy as np
import pytest

from carna.phantom.chambers import WholeHeart
from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.long_axis import CLASSES, TURNS_DEG, as_chambers, cine, contour_mm, lesson, plane_points

MM = 1.6


@pytest.fixture(scope="module")
def person():
    return WholeHeart(Heart())


def test_a_lesson_shows_chambers_brighter_than_muscle():
    random = np.random.default_rng(0)
    brighter, seen = [], set()
    for _ in range(12):
        one = lesson(random, 96)
        assert one.picture.shape == one.labels.shape == (96, 96)
        assert 0.0 <= one.picture.min() <= one.picture.max() <= 1.0
        seen |= set(np.unique(one.labels))
        blood, muscle = one.picture[one.labels == 3], one.picture[one.labels == 2]
        brighter.append(blood.mean() > muscle.mean())
    assert seen == set(range(len(CLASSES)))
    assert np.mean(brighter) > 0.9


def test_the_same_seed_gives_the_same_lesson():
    first, second = (lesson(np.random.default_rng(5), 64) for _ in range(2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize("view", TURNS_DEG)
def test_a_cine_holds_the_ventricle_in_its_length(person, view):
    points = plane_points(person, TURNS_DEG[view], 110, MM, shift_mm=(15.0, 8.0))
    frames, labels = cine(person, points, np.array([0.0, ES_PHASE]), seed=1)
    assert frames.shape == labels.shape == (2, 110, 110)
    # Rows run along the axis: the cavity's column of pixels is as long as the cavity.
    length = (labels == 3).any(2).sum(1) * MM
    heart = person.heart
    assert length[0] == pytest.approx(heart.length_mm, abs=2 * MM)
    assert length[1] == pytest.approx(heart.length_mm * float(heart.along(ES_PHASE)), abs=2 * MM)
    assert frames[labels == 3].mean() > 2 * frames[labels == 2].mean()
    # The atrium fills while the ventricle empties.
    assert (labels[1] == 4).sum() > 1.2 * (labels[0] == 4).sum()
    if view == "4CH":
        assert (labels == 5).any() and (labels == 1).any()


def test_the_contour_shortens_as_long_axis_and_radius_do(person):
    length = contour_mm(person, 0.0, np.array([0.0, ES_PHASE]))
    heart = person.heart
    assert length[1] / length[0] < float(heart.along(ES_PHASE))
    # At rest it is the rim of the wall's section: longer than two lengths, shorter than the box around it.
    assert 2 * heart.length_mm < length[0] < 2 * heart.length_mm + 2 * heart.radius_mm


def test_papillary_muscle_is_cavity_and_veins_are_no_atrium():
    assert as_chambers(np.array([0, 1, 2, 3, 4, 5, 10, 11, 12, 14], np.uint8)).tolist() == [
        0, 1, 2, 3, 3, 0, 4, 5, 0, 0,
    ]  # fmt: skip


def test_the_spin_turns_the_picture_only(person):
    still, turned = (
        plane_points(person, 20.0, 41, MM, spin_deg=spin, shift_mm=(5.0, 0.0)) for spin in (0.0, 90.0)
    )
    assert np.allclose(np.rot90(still), turned, atol=1e-4) or np.allclose(
        np.rot90(still, -1), turned, atol=1e-4
    )
