"""Looks leave the heart where it is, or move picture and labels alike."""

import numpy as np
import pytest

from carna.phantom.heart import ES_PHASE, Heart
from carna.phantom.labels import LV, MYOCARDIUM, RV, as_outlined
from carna.phantom.looks import in_disguise
from carna.phantom.mr import picture
from carna.phantom.patient import short_axis


@pytest.fixture(scope="module")
def clean():
    person = Heart()
    plane = short_axis(person, 9, 128, 1.6)
    cine, labels = picture(person, plane, np.array([0.0, ES_PHASE]), noise=0.02, seed=1)
    return cine.astype(np.float32), labels


def test_none_changes_nothing(clean):
    frames, labels = in_disguise(*clean, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(frames, clean[0], rtol=1e-3, atol=0.5)
    np.testing.assert_array_equal(labels, clean[1])


def test_a_seed_is_a_look(clean):
    one, two, other = (in_disguise(*clean, 0.8, np.random.default_rng(n))[0] for n in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or np.abs(one - other).mean() > 5


@pytest.mark.parametrize("seed", range(4))
def test_blood_stays_brighter_than_muscle_where_the_labels_are(clean, seed):
    frames, labels = in_disguise(*clean, 1.0, np.random.default_rng(seed))
    assert frames.shape == labels.shape
    assert frames.shape[1] >= 3
    outlined = as_outlined(labels)
    assert {RV, MYOCARDIUM, LV} <= set(np.unique(outlined).tolist())
    assert np.median(frames[labels == LV]) > np.median(frames[labels == MYOCARDIUM])


def test_looks_differ_in_contrast(clean):
    found = []
    for seed in range(8):
        frames, labels = in_disguise(*clean, 1.0, np.random.default_rng(seed))
        found.append(np.median(frames[labels == MYOCARDIUM]) / np.median(frames[labels == LV]))
    assert max(found) > 1.3 * min(found)


def test_a_stack_without_a_heart_is_left_alone():
    frames = np.ones((2, 3, 16, 16), np.float32)
    same, _ = in_disguise(frames, np.zeros(frames.shape, np.uint8), 1.0, np.random.default_rng(0))
    assert same is frames
