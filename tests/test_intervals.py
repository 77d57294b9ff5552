"""Intervals of counts against known values."""

import pytest

from carna.errors import InputError
from carna.intervals import wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (5, 10, 0.23659, 0.76341)],
)
def test_wilson(hits, n, low, high):
    """81 of 263 and 0 of 20 are worked examples of Newcombe 1998, Stat Med 17:857-872, method 3."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_nothing_counted_leaves_all_open():
    assert wilson(0, 0) == (0.0, 1.0)


def test_more_hits_than_trials_are_refused():
    with pytest.raises(InputError):
        wilson(3, 2)
