"""Agreement by hand: bias, limits, and the intraclass correlation of a table worked out on paper."""

import numpy as np
import pytest

from carna.learn.agreement import icc, measures


def test_perfect_agreement():
    assert icc([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(1.0)


def test_icc_by_hand():
    # Subjects 1..3, raters (1, 2), (2, 3), (3, 4): MSR 2, MSC 1.5, MSE 0 -> 2 / (2 + 2 * 1.5 / 3) = 2/3.
    assert icc([1, 2, 3], [2, 3, 4]) == pytest.approx(2 / 3)


def test_a_shift_lowers_absolute_agreement_but_not_correlation():
    truth = np.arange(10.0)
    assert icc(truth + 3, truth) < 0.8
    assert np.corrcoef(truth + 3, truth)[0, 1] == pytest.approx(1.0)


def test_bias_and_limits():
    found = dict((m, v) for m, v, _ in measures([2, 4, 6, 9], [1, 4, 7, 8]))
    assert found["bias"] == pytest.approx(0.25)
    sd = np.std([1, 0, -1, 1], ddof=1)
    assert found["loa_high"] - found["loa_low"] == pytest.approx(2 * 1.96 * sd)
    assert found["mae"] == pytest.approx(0.75)


def test_two_pairs_have_a_bias_alone():
    assert [m for m, _, _ in measures([1, 2], [1, 1])] == ["bias"]
    assert list(measures([], [])) == []
