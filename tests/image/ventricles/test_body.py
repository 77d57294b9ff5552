"""One beating body: what a picture at a time can't know."""

import numpy as np

from carna.image.ventricles.body import one_body

RV, MUSCLE, CAVITY = 1, 2, 3


def _heart(slices=5, frames=2, n=64):
    """Labels (t, k, n, n): a ring with a crescent at its left in every slice."""
    rows, columns = np.indices((n, n))
    away = np.hypot(rows - 32, columns - 36)
    labels = np.zeros((n, n), np.uint8)
    labels[np.hypot(rows - 32, columns - 22) < 12] = RV
    labels[away < 14] = MUSCLE
    labels[away < 8] = CAVITY
    return np.broadcast_to(labels, (frames, slices, n, n)).copy()


def _shares(labels, sure=0.9):
    one_hot = (labels[:, :, None] == np.arange(4)[:, None, None]).astype(np.float32)
    return one_hot * sure + (1 - one_hot) * (1 - sure) / 3


def test_a_whole_heart_stays_as_it_is():
    labels = _heart()
    found, certainty, changed = one_body(_shares(labels))
    assert np.array_equal(found, labels)
    assert changed.max() == 0
    # Belief in the cavity counts 0.75 times, the rest once: certainty changes a little, the same everywhere.
    assert np.allclose(certainty, certainty[0, 0], atol=1e-6)
    assert np.allclose(certainty, 0.9, atol=0.01)


def test_what_lies_elsewhere_is_no_heart():
    labels = _heart()
    labels[0, 2, 2:9, 52:60] = CAVITY
    labels[0, 2, 55:60, 50:60] = RV
    found, _, changed = one_body(_shares(labels))
    assert np.array_equal(found, _heart())
    assert changed[0, 2] > 0 and changed[1].max() == 0


def test_a_slice_without_heart_does_not_cut_it_in_two():
    labels = _heart(slices=7)
    labels[0, 3] = 0
    found, _, changed = one_body(_shares(labels))
    # The left heart is drawn half-way between its neighbours; of the right one nothing is invented.
    assert np.array_equal(found[0, 3] >= MUSCLE, labels[0, 2] >= MUSCLE)
    assert np.array_equal(found[0, 3] == CAVITY, labels[0, 2] == CAVITY)
    assert not (found[0, 3] == RV).any()
    assert changed[0, 3] == 1
    found[0, 3] = 0
    assert np.array_equal(found, labels)


def test_what_ends_is_not_continued():
    labels = _heart(slices=7)
    labels[0, 5:] = 0
    found, _, _ = one_body(_shares(labels))
    assert not found[0, 5:].any()


def test_a_hole_in_the_muscle_is_cavity_and_a_nearly_closed_ring_is_closed():
    labels = _heart()
    labels[0, 1, 44, 36] = 0  # in the muscle
    labels[0, 2, 24:41, 44:51] = np.where(labels[0, 2, 24:41, 44:51] == MUSCLE, 0, labels[0, 2, 24:41, 44:51])
    found, _, _ = one_body(_shares(labels))
    assert found[0, 1, 44, 36] == CAVITY
    cavity = found[0, 2] == CAVITY
    beside = np.zeros_like(cavity)
    beside[:, 1:] |= cavity[:, :-1]
    beside[:, :-1] |= cavity[:, 1:]
    assert (found[0, 2][beside & ~cavity] == MUSCLE).all()


def test_one_frame_that_differs_is_outvoted_by_its_neighbours_in_a_closed_beat():
    labels = _heart(frames=24)
    labels[0, 2] = 0
    shares = _shares(labels)
    shares[0, 2] = _shares(labels[:1, 2:3], sure=0.6)[0, 0]
    few, _, _ = one_body(shares[:4].copy())
    found, _, _ = one_body(shares)
    assert np.array_equal(found[0, 2], labels[1, 2])
    assert not (few[0, 2] == RV).any()  # too few frames to be neighbours


def _squeezed(frames=2):
    """A thick heart whose lower slices, at end-systole, are taken for cavity within a thin wall."""
    labels = _heart(slices=6, frames=frames)
    cavity = np.hypot(*(np.indices((64, 64)) - np.array([32, 36])[:, None, None]))
    for k in range(6):
        labels[:, k][:, cavity < 14] = MUSCLE
        labels[0, k][cavity < 9 - k / 2] = CAVITY  # narrower towards the apex
        labels[1:, k][:, cavity < (5 if k < 4 else 11)] = CAVITY
    return labels


def test_the_wall_keeps_its_volume():
    labels = _squeezed()
    found, _, _ = one_body(_shares(labels))
    assert np.array_equal(found[0], labels[0])
    assert np.array_equal(found[1, :4], labels[1, :4])  # muscle has grown: nothing to mend
    for k in (4, 5):
        full, empty = ((found[t, k] == MUSCLE).sum() for t in (0, 1))
        assert abs(int(empty) - int(full)) <= 8  # pixels equally deep go together
        assert found[1, k, 32, 36] == CAVITY  # the rim is given back, the middle stays
        assert np.array_equal(found[1, k] >= MUSCLE, labels[1, k] >= MUSCLE)


def test_the_base_may_lose_its_muscle():
    labels = _squeezed()
    labels[1, 0] = labels[1, 5]  # atrium descends into the first slice: a wide ring of little muscle
    found, _, _ = one_body(_shares(labels))
    assert np.array_equal(found[1, 0], labels[1, 0])
    turned, _, _ = one_body(_shares(labels[:, ::-1]))
    assert np.array_equal(turned, found[:, ::-1])
