"""Indices of drawn slices against closed forms."""

import numpy as np
import pytest

from carna.image.ventricles.indices import INDICES, indices


def slice_of(inner=(20.0, 20.0), wall=8.0, right=True):
    """An elliptic cavity (half-axes in columns, rows) in a wall, the right cavity at the left."""
    rows, columns = np.indices((128, 128)) - 63.5
    labels = np.zeros((128, 128), np.uint8)
    if right:
        labels[np.hypot(rows, columns + 40) < 18] = 1
    a, b = inner
    labels[(columns / (a + wall)) ** 2 + (rows / (b + wall)) ** 2 < 1] = 2
    labels[(columns / a) ** 2 + (rows / b) ** 2 < 1] = 3
    return labels


def test_a_round_slice():
    found = indices(slice_of())
    assert len(found) == len(INDICES) == 12
    assert found[0] == pytest.approx(np.pi * 400, rel=0.01)
    assert found[1] == pytest.approx(np.pi * (28**2 - 400), rel=0.01)
    np.testing.assert_allclose(found[3:6], 40, atol=0.6)
    np.testing.assert_allclose(found[6:], 8, atol=0.6)


def test_dimensions_point_where_they_say():
    # Rows run from front to back: the middle dimension is along them, the septum at the left.
    found = indices(slice_of(inner=(15.0, 25.0)))
    assert found[4] > found[3] + 5
    assert found[4] > found[5] + 5


def test_a_mirrored_slice_counts_the_other_way():
    labels = slice_of()
    labels[:50, 50:78][labels[:50, 50:78] == 2] = 0  # the front wall is gone in places
    labels[40:44, 40:90][labels[40:44, 40:90] == 3] = 2
    found, mirrored = indices(labels), indices(labels[:, ::-1])
    np.testing.assert_allclose(mirrored[6:], found[:5:-1], atol=0.4)
    np.testing.assert_allclose(mirrored[3:6], found[5:2:-1], atol=0.4)


def test_turning_changes_nothing():
    labels = slice_of(inner=(15.0, 25.0))
    np.testing.assert_allclose(indices(np.rot90(labels)), indices(labels), atol=0.4)


def test_an_open_ring_has_no_wall_there():
    labels = slice_of()
    rows, columns = np.indices(labels.shape) - 63.5
    labels[(labels == 2) & (rows < 0) & (np.abs(columns) < -0.7 * rows)] = 0
    found = indices(labels)
    assert np.isnan(found[7])
    assert np.isfinite(found[[6, 8, 9, 10, 11]]).all()


def test_without_both_cavities_there_are_areas_alone():
    found = indices(slice_of(right=False))
    assert found[0] > 0
    assert found[2] == 0
    assert np.isnan(found[3:]).all()
    assert indices(np.zeros((8, 8), np.uint8))[:3].tolist() == [0, 0, 0]
