"""Shape composition against shapes whose truth is known and that no dictionary has seen."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from tests.shape.shapes import SHAPES, VERTICES, damaged, family, mean_error, plain_l1

from carna.errors import InputError
from carna.shape.composition import Dictionary, compose


@cache
def dictionary(noisy=False):
    shapes = family(1, SHAPES)[0 if noisy else 1]
    return Dictionary.of(shapes)


@cache
def unseen():
    noisy, clean = family(2, 8)
    random = np.random.default_rng(3)
    return tuple((*damaged(random, shape), truth) for shape, truth in zip(noisy, clean, strict=True))


def test_a_contiguous_patch_of_ten_per_cent_is_repaired_where_the_baselines_fail():
    ours, plain, once, pca = [], [], [], []
    for shape, where, truth in unseen():
        found = compose(dictionary(), shape)
        ours.append(mean_error(found.shape, truth))
        once.append(mean_error(compose(dictionary(), shape, rounds=1).shape, truth))
        plain.append(mean_error(plain_l1(dictionary(), shape), truth))
        pca.append(mean_error(dictionary().project(shape), truth))
        assert found.is_gross[where].mean() > 0.99
        assert found.is_gross[~where].mean() < 0.1
    assert np.mean(ours) < 0.2 and max(ours) < 0.3
    assert np.mean(once) > 0.4 and np.mean(plain) > 0.4 and np.mean(pca) > 1.5


def test_training_shapes_with_noise_cost_what_statistics_says():
    error = np.mean([mean_error(compose(dictionary(True), y).shape, t) for y, _, t in unseen()])
    # A mode known from s shapes with noise: sd sqrt(3) sqrt(modes / s) a vertex, and no method is better.
    assert error == pytest.approx(0.5 * np.sqrt(3 * 25 / SHAPES), rel=0.1)


def test_it_takes_few_milliseconds():
    shape = unseen()[0][0]
    compose(dictionary(), shape)
    took = []
    for _ in range(20):
        begun = time.process_time()
        compose(dictionary(), shape)
        took.append(time.process_time() - begun)
    assert len(shape) == VERTICES
    # The least: a second thread of the matrix library only spins, and others use the processor too.
    assert min(took) < 0.015


def test_scattered_errors_are_found():
    noisy, clean = family(4, 3)
    random = np.random.default_rng(5)
    for shape, truth in zip(noisy, clean, strict=True):
        given, where = damaged(random, shape, scattered=True)
        found = compose(dictionary(), given)
        assert mean_error(found.shape, truth) < 0.2
        assert found.is_gross[where].all() and found.is_gross[~where].mean() < 0.01


def test_few_training_shapes_are_used():
    found = compose(dictionary(), unseen()[0][0])
    assert 0 < np.count_nonzero(found.coefficients) < 60
    assert np.count_nonzero(compose(dictionary(), unseen()[0][0], sparse=0.0).coefficients) == SHAPES


def test_the_unit_of_length_does_not_matter():
    shape = unseen()[1][0]
    small = Dictionary.of(family(1, SHAPES)[1] / 1000.0)
    there = compose(small, shape / 1000.0)
    here = compose(dictionary(), shape)
    np.testing.assert_allclose(there.shape * 1000.0, here.shape, atol=0.02)
    assert np.mean(there.is_gross == here.is_gross) > 0.995


def test_one_round_is_the_convex_minimum():
    """Against proximal gradients run to the end, with the same fixed threshold."""
    shape = unseen()[2][0]
    d = dictionary()
    found = compose(d, shape, rounds=1, sparse=0.0)
    limit = 4.0 * found.noise
    modes, flat = d.modes.astype(float), (shape - d.mean).ravel()
    z = np.zeros(modes.shape[1])
    for _ in range(600):
        left = (flat - modes @ z).reshape(-1, 3)
        away = np.linalg.norm(left, axis=1, keepdims=True)
        z = modes.T @ (flat - (left * np.maximum(1 - limit / away, 0.0)).ravel())
    there = d.mean + (modes @ z).reshape(-1, 3)
    # Four steps come near the minimum: what is left is a tenth of what the patch itself does.
    assert mean_error(found.shape, there) < 0.1 * mean_error(there, unseen()[2][2]) + 0.1


def test_a_warm_start_begins_where_the_last_phase_ended():
    shape = unseen()[3][0]
    first = compose(dictionary(), shape, sparse=0.0)
    again = compose(dictionary(), shape, start=first.coefficients, sparse=0.0)
    assert mean_error(again.shape, first.shape) < 0.05
    assert mean_error(again.shape, unseen()[3][2]) < 0.3


def test_the_dictionary_learns_a_new_family_and_stays_bounded():
    strangers = family(7, 60, latent=5)[1]
    _, clean = family(8, 5, latent=5)
    before, taught = dictionary(), dictionary()
    for start in range(0, 60, 20):
        taught = taught.with_shapes(strangers[start : start + 20], rank=50)
    assert taught.coefficients.shape[1] == SHAPES == taught.capacity
    assert taught.modes.shape[1] == 50
    gram = taught.modes.T @ taught.modes
    np.testing.assert_allclose(gram, np.eye(50), atol=1e-4)
    worse = np.mean([mean_error(before.project(c), c) for c in clean])
    better = np.mean([mean_error(taught.project(c), c) for c in clean])
    assert better < 0.1 * worse


def test_the_most_redundant_shape_leaves():
    shapes = family(1, 30)[1]
    full = Dictionary.of(shapes, rank=29)
    twin = full.with_shapes(shapes[4][None] + 0.01)
    kept = (twin.modes @ twin.coefficients).T.reshape(30, -1, 3) + twin.mean
    away = np.linalg.norm(kept[:, None] - shapes[None], axis=3).mean(2).min(0)
    # Its twin came, the fourth shape left: all the others are still there, and so is its place.
    assert away.max() < 0.1


@pytest.mark.parametrize("fault", ["short", "nan", "gross", "start", "one"])
def test_faults_are_named(fault):
    shape = unseen()[0][0].copy()
    with pytest.raises(InputError):
        if fault == "short":
            compose(dictionary(), shape[:-1])
        elif fault == "nan":
            shape[3] = np.nan
            compose(dictionary(), shape)
        elif fault == "gross":
            compose(dictionary(), shape, gross=0.0)
        elif fault == "start":
            compose(dictionary(), shape, start=np.zeros(3))
        else:
            Dictionary.of(shape[None])
