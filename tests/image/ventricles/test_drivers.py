"""Which slices and sixths drive an ejection fraction."""

import numpy as np
import pytest

from carna.errors import InputError
from carna.image.ventricles import LV, RV
from carna.image.ventricles.drivers import drivers


def beat(radii):
    """Round cavities of radii (t, k) pixels, a right one at their left side."""
    rows, columns = np.indices((80, 80)) - 40.0
    labels = np.zeros((*np.shape(radii), 80, 80), np.uint8)
    for (t, k), radius in np.ndenumerate(np.asarray(radii, float)):
        labels[t, k][np.hypot(rows, columns) < radius] = LV
        labels[t, k][np.hypot(rows, columns + 30) < 6] = RV
    return labels


def test_shares_of_round_cavities_follow_their_areas():
    found = drivers(beat([[20, 10, 10], [10, 10, 5]]), 0, 1)
    assert found.ef == pytest.approx(1 - 225 / 600, abs=0.02)
    np.testing.assert_allclose(found.slices, [0.8, 0.0, 0.2], atol=0.02)
    assert found.without[0] == pytest.approx(1 - 125 / 200, abs=0.02)
    assert found.without[1] == pytest.approx(1 - 125 / 500, abs=0.02)
    assert found.main(0.5).tolist() == [0]
    assert found.main(0.9).tolist() == [0, 2]
    np.testing.assert_allclose(found.shares[0], 0.8 / 6, atol=0.02)


def test_the_sixth_that_moves_has_the_share():
    labels = beat([[20], [20]])
    rows, columns = np.indices((80, 80)) - 40.0
    above = (rows < -1) & (np.abs(columns) < -0.5 * rows)  # clockwise from the left: front
    labels[1, 0][above & (labels[1, 0] == LV)] = 0
    assert drivers(labels, 0, 1).shares[0].argmax() == 1
    assert drivers(labels[..., ::-1, :], 0, 1).shares[0].argmax() == 4


def test_a_thick_slice_weighs_more():
    assert drivers(beat([[10, 10], [5, 5]]), 0, 1, [10, 30]).slices[1] == pytest.approx(0.75)


def test_without_a_right_cavity_sixths_are_alike():
    labels = beat([[20], [10]])
    labels[labels == RV] = 0
    np.testing.assert_allclose(drivers(labels, 0, 1).shares, 1 / 6)


def test_one_that_does_not_empty_is_refused():
    with pytest.raises(InputError, match="empties"):
        drivers(beat([[10], [20]]), 0, 1)
