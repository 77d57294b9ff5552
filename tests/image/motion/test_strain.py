"""Strain against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.motion import ENDO, EPI, LAYERS, MID, SPOKES, Motion, longitudinal, strain

T = 24
TIMES = np.arange(T) * 40.0
AMOUNT = np.sin(np.pi * np.arange(T) / T) ** 2
ANGLES = np.arange(SPOKES) * (2 * np.pi / SPOKES)
SIX = np.repeat(np.arange(1, 7, dtype=np.uint8), SPOKES // 6)[None]


def tube(shortening=0.2, inner=25.0, outer=34.0, uneven=0.0, slices=1) -> Motion:
    """A tube that narrows: R^2 = r^2 + (A^2 - a^2), ``uneven``: less so on one side."""
    at = inner + np.array(LAYERS) * (outer - inner)
    less = shortening * (1.0 - uneven * (1 + np.cos(ANGLES)) / 2)[None, :, None] * AMOUNT[:, None, None]
    r = np.sqrt(at**2 + inner**2 * ((1 - less) ** 2 - 1))
    points = np.stack([r * np.sin(ANGLES)[:, None], r * np.cos(ANGLES)[:, None]], axis=-1)[:, None] + 60.0
    points = np.repeat(points, slices, axis=1)
    centre = np.full((T, slices, 2), 60.0)
    none = np.zeros(slices)
    return Motion(
        points, ANGLES, centre, np.ones(slices, bool), ("",) * slices, 0, True, none, none, (1.0, 1.0)
    )


def test_a_narrowing_tube_has_its_closed_form():
    found = strain(tube(), SIX, TIMES)
    inner, outer = 25.0 * 0.8, np.sqrt(34.0**2 + 20.0**2 - 25.0**2)
    middle = np.sqrt(29.5**2 + 20.0**2 - 25.0**2)
    assert found.peak_cc[ENDO] == pytest.approx(-0.2, abs=1e-9)
    assert found.peak_cc[MID] == pytest.approx(middle / 29.5 - 1, abs=1e-9)
    assert found.peak_cc[EPI] == pytest.approx(outer / 34.0 - 1, abs=1e-9)
    assert found.peak_rr[MID] == pytest.approx((outer - inner) / 9.0 - 1, abs=1e-9)
    assert found.peak_rr[ENDO] == pytest.approx((middle - inner) / 4.5 - 1, abs=1e-9)
    assert found.peak_rr[EPI] == pytest.approx((outer - middle) / 4.5 - 1, abs=1e-9)
    # Alike around the wall: every segment is the ventricle.
    assert (
        np.allclose(found.peaks_cc[:, :6], found.peak_cc[:, None]) and np.isnan(found.peaks_cc[:, 6:]).all()
    )
    assert np.allclose(found.thickness_mm[0, :6], 9.0) and found.end_systole == T // 2
    assert np.allclose(found.thickening[:6], found.peak_rr[MID])
    assert found.cavity_mm2[0] == pytest.approx(np.pi * 625, rel=0.002)


def test_a_still_side_has_no_strain():
    found = strain(tube(uneven=1.0), np.roll(SIX, -6, axis=1), TIMES)
    cc = found.peaks_cc[MID, :6]
    assert abs(cc[0]) < 0.02 and cc.argmin() == 3 and cc.min() < -0.12


def test_slices_are_pooled_before_division():
    two = tube(slices=2)
    points = two.points_mm.copy()
    points[:, 1] = points[0, 1]  # a still slice of the same size
    still = Motion(points, two.angles, two.centre_mm, two.followed, two.why, 0, True, two.drift_mm,
                   two.disagreement_mm, (1.0, 1.0))  # fmt: skip
    one, both = strain(tube(), SIX, TIMES), strain(still, np.repeat(SIX, 2, axis=0), TIMES)
    assert both.peak_cc[MID] == pytest.approx(one.peak_cc[MID] / 2, abs=1e-9)
    assert both.of_slices_cc[:, MID, 1] == pytest.approx(0.0) and both.of_slices_cc.shape == (T, 3, 2)


def test_segments_too_small_or_not_followed_are_not_told():
    few = np.where(np.arange(SPOKES) < 3, 2, 1).astype(np.uint8)[None]
    assert np.isnan(strain(tube(), few, TIMES).peaks_cc[MID, 1])
    with pytest.raises(InputError, match="no segment"):
        strain(tube(), SIX * 0, TIMES)
    with pytest.raises(InputError, match="segments of shape"):
        strain(tube(), SIX[:, :10], TIMES)


def test_rate_is_the_slope_in_seconds():
    found = strain(tube(), SIX, TIMES)
    beat = T * 0.04
    curve = np.sin(2 * np.pi * np.arange(T) / T)
    exact = 2 * np.pi / beat * np.cos(2 * np.pi * np.arange(T) / T)
    assert np.abs(found.rate(curve) - exact).max() < 0.02 * exact.max()
    ramp = found.rate(np.arange(T) * 0.04, closed=False)
    assert np.allclose(ramp, 1.0)


def test_longitudinal_is_the_change_of_a_line():
    line = np.stack([np.linspace(0, 80, 9), np.zeros(9)], axis=1)
    lines = np.stack([line * (1 - 0.15 * a) + 3 * a for a in AMOUNT])
    assert longitudinal(lines).min() == pytest.approx(-0.15)
    for wrong in (lines[:, :1], lines[..., :1], lines * np.nan, np.zeros((3, 4, 2))):
        with pytest.raises(InputError):
            longitudinal(wrong)
