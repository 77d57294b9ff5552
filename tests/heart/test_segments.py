from dataclasses import replace

import numpy as np
import pytest

from carna.errors import InputError
from carna.heart.anatomy import LV_CAVITY, LV_WALL, SEPTUM, Anatomy
from carna.heart.axes import Axes
from carna.heart.segments import NAMES, cavity_end, insertions, middle_of_septum, place_of, segments
from carna.heart.ventricles import ventricles, ventricles_of


def test_all_seventeen_are_there_and_alike_where_they_should_be(heart):
    share = np.bincount(heart.segment, minlength=18)[1:] / np.count_nonzero(heart.segment)
    assert len(share) == 17 == len(NAMES) and share.min() > 0
    for level in (share[:6], share[6:12], share[12:16]):
        assert level == pytest.approx(level.mean(), rel=0.03)
    assert 0.3 < share[:6].sum() < 0.42 and 0.2 < share[12:16].sum() < 0.3 and 0.01 < share[16] < 0.05
    assert ((heart.segment == 0) == heart.at.right).all()


def test_where_they_lie(heart):
    place = heart.axes.to_heart(heart.points_lps)
    lps = heart.points_lps
    centre = {n: lps[heart.segment == n].mean(0) for n in range(1, 18)}
    assert place[heart.segment == 17, 2].min() > Anatomy().length_mm - 1
    assert min(place[heart.segment == n, 2].mean() for n in range(1, 17)) > 0
    assert centre[17][0] > centre[5][0] - 60 and heart.axes.to_heart(centre[17])[2] > 90
    for anterior, inferior in ((1, 4), (7, 10), (13, 15)):
        assert centre[anterior][1] < centre[inferior][1]  # the anterior one is less posterior
        assert centre[anterior][2] > centre[inferior][2]  # and higher
    for lateral, septal in ((5, 3), (6, 2), (11, 9), (12, 8), (16, 14)):
        assert centre[lateral][0] > centre[septal][0]  # the septum is on the right
    septum = heart.labels.ravel()[heart.at.where] == SEPTUM
    high = septum & (heart.at.apicobasal > 0.4)
    assert np.isin(heart.segment[high], (2, 3, 8, 9)).mean() > 0.85
    for n in (2, 3, 8, 9):
        assert septum[heart.segment == n].mean() > 0.95
    for n in (5, 6, 11, 12, 16):
        assert not septum[heart.segment == n].any()


def test_the_right_ventricle_and_not_the_axes_sets_the_sectors(heart):
    """Axes that miss the septum by 20 degrees give the same segments."""
    off = np.radians(20)
    x, y, _ = heart.axes.matrix
    wrong = replace(heart.axes, septum_lps=tuple(np.cos(off) * x + np.sin(off) * y))
    again = ventricles_of(heart.labels, heart.grid, wrong)
    assert (again.segment == heart.segment).mean() > 0.985
    assert middle_of_septum(heart.labels, again.at) == pytest.approx(-off, abs=0.02)


def test_insertions_of_the_shape(heart):
    anterior, inferior = insertions(heart.labels, heart.at)
    assert anterior == pytest.approx(-inferior, abs=0.03)
    assert np.degrees(inferior) == pytest.approx(Anatomy().insertion_deg, abs=4)


def test_the_end_of_the_cavity(heart):
    one = Anatomy()
    end = cavity_end(heart.labels, heart.grid, heart.axes, heart.at)
    assert end == pytest.approx(1 - one.length_mm / one.span_mm, abs=0.015)


def test_places_lie_in_their_segments(heart):
    middle = middle_of_septum(heart.labels, heart.at)
    end = cavity_end(heart.labels, heart.grid, heart.axes, heart.at)
    for n in range(1, 18):
        angle, height = place_of(n, middle, end)
        away = np.abs(np.mod(heart.at.rotational - angle + np.pi, 2 * np.pi) - np.pi)
        near = (away < 0.2) & (np.abs(heart.at.apicobasal - height) < 0.03) & ~heart.at.right
        assert (heart.segment[near] == n).mean() > 0.95, n
    with pytest.raises(InputError):
        place_of(18, middle, end)


def test_a_left_ventricle_alone_takes_the_axes_word():
    both = ventricles(spacing_mm=2.0)
    left = np.where(np.isin(both.labels, (LV_WALL, SEPTUM)), LV_WALL, 0).astype(np.uint8)
    left[both.labels == LV_CAVITY] = LV_CAVITY
    alone = ventricles_of(left, both.grid, both.axes)
    same = both.segment[~both.at.right]
    assert (alone.segment == same).mean() > 0.95  # the insertions are found within a voxel
    assert segments(left, both.grid, Axes(), alone.at).max() == 17
    with pytest.raises(InputError, match="septum"):
        insertions(left, alone.at)
