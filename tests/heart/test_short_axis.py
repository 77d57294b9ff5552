"""Segments of a stack against a heart whose septum and directions are known."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.segments import NAMES, place_of
from carna.heart.short_axis import bullseye, short_axis
from carna.phantom.heart import Heart
from carna.phantom.patient import short_axis as plane_of

SPACING = (10.0, 1.4, 1.4)
ANGLES = np.arange(72) * (2 * np.pi / 72)


def stack(**of: object) -> tuple[Heart, np.ndarray, np.ndarray]:
    """A heart, its end-diastolic labels (k, r, c) and their affine."""
    person = Heart(**of)  # type: ignore[arg-type]
    plane = plane_of(person, int(np.ceil((person.length_mm + 5) / 10)), 112, 1.4)
    drawn = person.label_at(plane.points(), 0.0)
    labels = np.where(drawn == 4, 3, np.where(drawn > 3, 0, drawn)).astype(np.uint8)
    return person, labels, plane.affine


def heart_angle(person: Heart, affine: np.ndarray, k: int, row: float, column: float) -> float:
    local = (affine[:3] @ (k, row, column, 1.0) - np.asarray(person.base_lps)) @ person.axes_lps.T
    return float(np.arctan2(local[1], local[0]))


def where(labels: np.ndarray, k: int, angle: float) -> tuple[float, float]:
    middle = np.argwhere(labels[k] == 3).mean(axis=0)
    return middle[0] + 20 * np.sin(angle), middle[1] + 20 * np.cos(angle)


HEARTS = (
    {},
    {"edv_ml": 260.0, "ef": 0.3, "rv_edv_ml": 200.0, "rv_half_angle_deg": 60.0},
    {"edv_ml": 110.0, "wall_mm": 14.0, "septal_mm": 5.0, "rv_edv_ml": 130.0},
    {"rv_reach": 0.7, "axis_lps": (0.55, -0.62, -0.56)},
)


@pytest.mark.parametrize("of", HEARTS)
def test_segments_lie_where_the_heart_has_them(of):
    person, labels, affine = stack(**of)
    found = short_axis(labels, SPACING, handedness=int(np.sign(np.linalg.det(affine[:3, :3]))))
    assert found.base_first and found.clockwise
    segments = found.segments(ANGLES)
    for k in np.flatnonzero(np.array(found.levels) != "none"):
        for angle, segment in zip(ANGLES, segments[k], strict=True):
            true = heart_angle(person, affine, int(k), *where(labels, int(k), angle))
            centre = place_of(int(segment), 0.0, 0.1)[0]
            half = 45.0 if segment > 12 else 30.0
            off = np.degrees(np.abs(np.angle(np.exp(1j * (true - centre)))))
            assert off < half + 8.0, (k, NAMES[segment - 1])


def test_levels_are_thirds_from_base_to_the_end_of_the_cavity():
    _, labels, _ = stack()
    found = short_axis(labels, SPACING)
    told = [level for level in found.levels if level != "none"]
    assert told == sorted(told, key=("basal", "mid", "apical").index)
    assert all(abs(told.count(level) - len(told) / 3) <= 1 for level in ("basal", "mid", "apical"))
    assert found.levels[0] == "none"  # above the valve
    assert (found.segments(ANGLES)[0] == 0).all() and found.segments(ANGLES).max() == 16


@pytest.mark.parametrize("flip", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_a_flipped_stack_has_its_segments_flipped(flip):
    _, labels, affine = stack(septal_mm=3.0)
    side = int(np.sign(np.linalg.det(affine[:3, :3])))
    there = short_axis(np.flip(labels, flip), SPACING, handedness=side * (-1) ** len(flip))
    here = short_axis(labels, SPACING, handedness=side)
    towards = np.stack([np.sin(ANGLES), np.cos(ANGLES)])
    for axis in flip:
        if axis:
            towards[axis - 1] *= -1
    # Off the borders of the sectors, where half a pixel decides.
    ours = here.segments(ANGLES + 0.04)
    theirs = there.segments(np.arctan2(towards[0], towards[1]))
    theirs = np.flip(theirs, 0) if 0 in flip else theirs
    assert np.mean(ours == theirs) > 0.9
    assert there.base_first != (0 in flip)


def test_insertions_enclose_the_septum():
    person, labels, _ = stack(rv_half_angle_deg=65.0)
    found = short_axis(labels, SPACING)
    mid = [k for k, level in enumerate(found.levels) if level == "mid"]
    width = np.degrees(np.mod(found.anterior[mid] - found.inferior[mid], 2 * np.pi))
    # The crescent is thinner than a pixel near its ends, and touching reaches a little further.
    assert (np.abs(width - 130.0) < 25.0).all()
    middle = np.angle(np.exp(1j * (found.inferior[mid] + np.radians(width) / 2 - found.septum[mid])))
    assert np.abs(np.degrees(middle)).max() < 6.0
    assert person.rv_half_angle_deg == 65.0


def test_one_slice_whose_right_ventricle_is_mislabelled_does_not_turn_the_others():
    _, labels, _ = stack()
    before = short_axis(labels, SPACING)
    wrong = labels.copy()
    wrong[4] = np.where(labels[4] == 1, 0, labels[4])
    rows, columns = np.indices(wrong.shape[1:])
    middle = np.argwhere(labels[4] == 3).mean(axis=0)
    away = np.hypot(rows - middle[0], columns - middle[1])
    wrong[4][(wrong[4] == 0) & (away < 32) & (columns > middle[1] + 15)] = 1  # on the other side
    after = short_axis(wrong, SPACING)
    assert np.abs(np.degrees(after.septum - before.septum)).max() < 5.0


def test_without_a_ring_or_a_right_ventricle_nothing_is_said():
    _, labels, _ = stack()
    with pytest.raises(InputError, match="right ventricle"):
        short_axis(np.where(labels == 1, 0, labels).astype(np.uint8), SPACING)
    with pytest.raises(InputError, match="closed ring"):
        short_axis(np.where(labels == 2, 0, labels).astype(np.uint8), SPACING)


def test_bullseye_is_the_mean_of_what_is_known():
    segments = np.array([[1, 1, 2, 2], [7, 7, 0, 13]], np.uint8)
    values = np.array([[1.0, 3.0, np.nan, 5.0], [2.0, 4.0, 99.0, np.nan]])
    found = bullseye(values, segments)
    assert found[0] == 2.0 and found[1] == 5.0 and found[6] == 3.0
    assert np.isnan(found[[2, 12, 16]]).all()
    assert bullseye(np.stack([values, 2 * values]), segments)[1, 0] == 4.0
