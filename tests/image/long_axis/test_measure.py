"""Measures of long-axis outlines against closed forms: a bowl of muscle below an ellipse of an atrium."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ellipeinc

from carna.errors import InputError
from carna.image.long_axis import (
    LA,
    LV,
    MYOCARDIUM,
    RA,
    RV,
    area_length_ml,
    at_phases,
    biplane,
    biplane_discs_ml,
    fractions_of_beat,
    measure,
    of_planes,
    one_heart,
)

MM = 1.4
CAP, WALL = 8.0, 9.0
ATRIUM = (22.0, 25.0)  # half its width, half its height


def bowl(half, length, *, turn_deg=0.0, atrium=ATRIUM, pixels=150, mm=MM):
    """Labels (r, c) of half an ellipse of cavity in muscle, its base up, an ellipse of atrium on it."""
    at = (np.arange(pixels) - (pixels - 1) / 2.0) * mm
    rows, columns = np.meshgrid(at, at, indexing="ij")
    turn = np.deg2rad(turn_deg)
    z = np.cos(turn) * rows + np.sin(turn) * columns + 20.0
    x = -np.sin(turn) * rows + np.cos(turn) * columns
    labels = np.zeros((pixels, pixels), np.uint8)
    below = z >= 0
    labels[below & ((x / (half + WALL)) ** 2 + (z / (length + CAP)) ** 2 < 1)] = MYOCARDIUM
    labels[below & ((x / half) ** 2 + (z / length) ** 2 < 1)] = LV
    labels[~below & ((x / atrium[0]) ** 2 + ((z + atrium[1]) / atrium[1]) ** 2 < 1)] = LA
    # So broad at the ring as atria are.
    labels[~below & (np.abs(x) < half - 1) & (z > -6)] = LA
    return labels


def rim(half, length):
    """Length of half the ellipse's rim."""
    return 2 * length * ellipeinc(np.pi / 2, 1 - (half / length) ** 2)


@pytest.mark.parametrize("turn_deg", [0.0, 30.0, 90.0, 200.0])
def test_a_bowl_has_its_length_rim_areas_and_cap(turn_deg):
    half, length = 24.0, 85.0
    one = measure(bowl(half, length, turn_deg=turn_deg)[None], (MM, MM))
    assert one.length_mm[0] == pytest.approx(length, abs=1.8)
    walked = np.linalg.norm(np.diff(one.contour_mm[0], axis=0), axis=1).sum()
    assert walked == pytest.approx(rim(half, length), rel=0.03)
    assert one.area_mm2[LV][0] == pytest.approx(np.pi * half * length / 2, rel=0.02)
    assert one.cap_mm[0] == pytest.approx(CAP, abs=1.0)
    assert np.linalg.norm(one.valve_mm[0, 0] - one.valve_mm[0, 1]) == pytest.approx(2 * half, abs=3.5)
    assert one.atrium_mm[0] == pytest.approx(2 * ATRIUM[1], abs=2.5)
    assert one.area_mm2[RV][0] == one.area_mm2[RA][0] == 0.0


def test_two_bowls_hold_an_ellipsoid():
    half, length = 24.0, 85.0
    four = two = measure(np.stack([bowl(half, length)] * 2), (MM, MM))
    found = biplane(four, two, (np.array([0.0, 0.5]),) * 2, count=4)
    assert found.ventricle_ml == pytest.approx(np.full(4, 2 / 3 * np.pi * half**2 * length / 1e3), rel=0.03)
    area = float((bowl(half, length) == LA).sum()) * MM**2
    assert found.atrium_ml[0] == pytest.approx(8 / (3 * np.pi) * area**2 / (2 * ATRIUM[1]) / 1e3, rel=0.03)
    assert found.length_mm == pytest.approx(np.full(4, length), abs=1.8)


def test_formulas_are_those_of_ellipsoids():
    a, b, length = 20.0, 24.0, 60.0
    first, second = (np.array([np.pi * r * length / 2]) for r in (a, b))
    true = np.pi / 6 * (2 * a) * (2 * b) * length / 1e3
    assert area_length_ml(first, second, np.array([length]))[0] == pytest.approx(true)
    level = (np.arange(400) + 0.5) / 400 * 2 - 1
    widths = [2 * r * np.sqrt(1 - level**2)[None] for r in (a, b)]
    assert biplane_discs_ml(*widths, np.array([length]))[0] == pytest.approx(true, rel=1e-3)


def test_strain_is_that_of_the_rim_and_the_mean_of_planes():
    long, short = (24.0, 85.0), (18.0, 70.0)
    contracted = rim(*short) / rim(*long) - 1
    phases = np.array([0.0, 0.25, 0.5, 0.75])
    beat = measure(np.stack([bowl(*long), bowl(*short), bowl(*long), bowl(*long)]), (MM, MM), closed=False)
    still = measure(np.stack([bowl(*long)] * 4), (MM, MM), closed=False)
    one = of_planes([(beat, phases)], 20)
    assert one.peak == pytest.approx(contracted, abs=0.012)
    assert one.phases[one.curve.argmin()] == pytest.approx(0.25)
    both = of_planes([(beat, phases), (still, phases)], 20)
    assert both.peak == pytest.approx(one.peak / 2, abs=1e-6)
    assert one.cap_thickness_mm == pytest.approx(CAP, abs=1.0)


def test_the_fullest_frame_is_end_diastole_wherever_it_lies():
    phases = np.arange(4) / 4
    frames = [bowl(18.0, 70.0), bowl(24.0, 85.0), bowl(24.0, 85.0), bowl(24.0, 85.0)]
    one = of_planes([(measure(np.stack(frames), (MM, MM), closed=False), phases)], 20)
    assert one.curve[0] == 0.0
    assert one.peak < -0.1


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.zeros((1, 60, 60), np.uint8), "without left ventricle"),
        (np.zeros((60, 60), np.uint8), "shape"),
        (np.where(bowl(24, 85) == MYOCARDIUM, 0, bowl(24, 85))[None], "muscle"),
        (np.pad(np.full((20, 20), LV, np.uint8), 15, constant_values=MYOCARDIUM)[None], "muscle"),
    ],
)
def test_what_is_no_long_axis_is_refused(labels, why):
    with pytest.raises(InputError, match=why):
        measure(labels, (MM, MM))


def test_an_atrium_missing_in_a_frame_is_refused():
    with_one = bowl(24.0, 85.0)
    without = np.where(with_one == LA, 0, with_one).astype(np.uint8)
    full, part = (measure(np.stack(x), (MM, MM)) for x in ([with_one] * 2, [with_one, without]))
    with pytest.raises(InputError, match="1 of 2 frames of the 2-chamber"):
        biplane(full, part, (np.array([0.0, 0.5]),) * 2)


def test_a_valve_that_leaps_is_refused():
    still, moved = bowl(24.0, 85.0), np.roll(bowl(24.0, 85.0), 12, axis=0)
    with pytest.raises(InputError, match="leaps by 17 mm between frames 5 and 6"):
        measure(np.stack([*[still] * 5, *[moved] * 5]), (MM, MM))
    assert measure(np.stack([still, moved]), (MM, MM)).length_mm[1] > 80.0


def test_phases_are_closed():
    assert fractions_of_beat(np.array([10.0, 35.0, 60.0, 85.0])) == pytest.approx([0, 0.25, 0.5, 0.75])
    values = at_phases(np.array([0.0, 1.0]), np.array([0.0, 0.5]), np.array([0.25, 0.75, 1.5]))
    assert values == pytest.approx([0.5, 0.5, 1.0])


def test_one_heart_has_no_specks_holes_or_stray_atria():
    raw = bowl(24.0, 85.0)
    spoiled = raw.copy()
    inside = np.argwhere(raw == LV)
    r, c = inside[len(inside) // 2]
    spoiled[r : r + 3, c : c + 3] = 0  # a hole in the cavity
    spoiled[5:15, 5:15] = LV  # a second ventricle
    spoiled[130:142, 5:17] = LA  # an atrium far from it
    mended = one_heart(spoiled)
    assert np.array_equal(mended == LV, raw == LV)
    assert ((mended == MYOCARDIUM) == (raw == MYOCARDIUM)).mean() > 0.999
    # The corners of an atrium may be taken for the beginning of veins.
    assert (mended == LA).sum() > 0.95 * (raw == LA).sum() and not (mended == LA)[raw != LA].any()


def test_a_vein_is_cut_off_the_atrium():
    raw = bowl(24.0, 85.0)
    with_vein = raw.copy()
    r = int(np.argwhere(raw == LA)[:, 0].min())
    with_vein[r - 8 : r + 3, 73:78] = LA  # five pixels wide
    assert not one_heart(with_vein)[: r - 3].any()
