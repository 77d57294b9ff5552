"""Form and beat of rings whose every measure is known."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.pattern import ANGLES, features

RV, MUSCLE, CAVITY = 1, 2, 3
N = 128
MM = (10.0, 1.5, 1.5)
ROWS, COLUMNS = np.indices((N, N))
THETA = np.arctan2(ROWS - 64.0, COLUMNS - 70.0)
AWAY = np.hypot(ROWS - 64.0, COLUMNS - 70.0)


def ring(inner, outer):
    """One slice (N, N): a ring with a block of right ventricle at its left; radii in pixels."""
    labels = np.zeros((N, N), np.uint8)
    labels[40:88, 10:30] = RV
    labels[outer > AWAY] = MUSCLE
    labels[inner > AWAY] = CAVITY
    return labels


def beat(full, empty, slices=6):
    return np.stack([np.stack([full] * slices), np.stack([empty] * slices)])


def test_a_round_ring_gives_its_closed_form():
    found = features(beat(ring(20, 30), ring(14, 27)), MM)
    assert (found.ed, found.es) == (0, 1)
    assert found.lvef == pytest.approx(1 - 14**2 / 20**2, abs=0.01)
    assert found.lv_edv_ml == pytest.approx(np.pi * 30.0**2 * 60 / 1e3, rel=0.01)
    assert found.mass_g == pytest.approx(1.05 * np.pi * (45.0**2 - 30.0**2) * 60 / 1e3, rel=0.01)
    assert found.ratio == pytest.approx(48 * 20 / (np.pi * 20**2), rel=0.01)
    assert found.rvef == 0.0
    assert found.relative_wall == pytest.approx(0.5, abs=0.01)
    assert found.thickest_mm == pytest.approx(15.0, abs=0.4)
    assert np.nanmax(np.abs(found.thickness_mm[:16] - 15.0)) < 0.4
    assert np.nanmax(np.abs(found.thickening[:16] - 0.3)) < 0.04
    assert np.nanmax(np.abs(found.excursion[:16] - 0.3)) < 0.03
    assert found.stillest == pytest.approx(1.0, abs=0.08)
    assert found.stillest_thickening == pytest.approx(0.3, abs=0.05)
    assert np.isnan(found.thickness_mm[16])  # no short-axis slice cuts segment 17


def test_thickness_is_across_the_wall_not_along_a_ray():
    from scipy.ndimage import distance_transform_edt

    oval = ((ROWS - 64) / 17.0) ** 2 + ((COLUMNS - 64) / 25.0) ** 2 < 1
    far = distance_transform_edt(~oval)
    labels = np.where(oval, CAVITY, np.where(far <= 9.5, MUSCLE, 0)).astype(np.uint8)
    found = features(beat(labels, labels), MM)
    # The wall is as thick everywhere; along rays it would look up to 8 % thicker where it slants.
    assert np.nanmax(np.abs(found.thickness_mm[:16] / 1.5 - 9.5)) < 0.45


@pytest.mark.parametrize("middle_deg", [0.0, 47.0, 171.0, -100.0])
def test_a_still_place_is_found_where_it_is(middle_deg):
    inner = 14.0 + np.zeros((N, N))
    turn = np.abs((THETA - np.radians(middle_deg) + np.pi) % (2 * np.pi) - np.pi)
    inner[turn < np.radians(32)] = 20.0
    full, empty = ring(20, 28), ring(0, 27)
    empty[inner > AWAY] = CAVITY
    labels = beat(full, ring(14, 27))
    labels[1, 2:4] = empty
    segments = np.broadcast_to(1 + np.arange(72) // 12, (6, 72)).astype(np.uint8)
    found = features(labels, MM, segments)
    assert found.stillest < 0.2
    assert found.stillest_thickening == pytest.approx(7 / 8 - 1, abs=0.08)
    assert found.stillest_segment == 1 + int(np.mod(middle_deg, 360.0) // 60)
    assert features(beat(full, ring(14, 27)), MM).stillest > 0.85


def test_a_heart_that_moves_as_a_whole_has_no_still_place():
    labels = beat(ring(20, 30), np.roll(ring(14, 27), (4, -3), axis=(0, 1)))
    assert features(labels, MM).stillest > 0.85


def test_without_a_pixel_size_ratios_stay_and_millimetres_go():
    labels = beat(ring(20, 30), ring(14, 27))
    known, unknown = features(labels, MM), features(labels, None)
    for name in ("lvef", "ratio", "relative_wall", "stillest"):
        assert getattr(unknown, name) == pytest.approx(getattr(known, name), rel=1e-6)
    assert np.isnan([unknown.lv_edv_ml, unknown.rv_edv_ml, unknown.mass_g, unknown.thickest_mm]).all()
    assert np.isnan(unknown.thickness_mm).all()


def test_narrow_slices_near_the_apex_do_not_count():
    labels = beat(ring(20, 27), ring(14, 25))
    labels[:, 5] = np.stack([ring(8, 26), ring(5, 24)])
    assert features(labels, MM).thickest_mm == pytest.approx(1.5 * 7, abs=0.4)


def test_segments_given_are_used_and_thin_corners_are_not():
    segments = np.zeros((6, 72), np.uint8)
    segments[:, :12], segments[0, 20:24] = 7, 9
    found = features(beat(ring(20, 30), ring(14, 27)), MM, segments)
    assert found.named and np.isfinite(found.thickness_mm[6])
    assert np.isnan(found.thickness_mm[[0, 8]]).all()
    assert len(ANGLES) == segments.shape[1]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (beat(ring(20, 30), ring(14, 27))[:1], "at least two phases"),
        (np.zeros((2, 3, N, N), np.uint8), "no left ventricle"),
        (beat(ring(20, 20), ring(14, 14)), "no slice with a closed ring"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, why):
    with pytest.raises(InputError, match=why):
        features(labels, MM)
