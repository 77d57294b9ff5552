"""The sparse factorisation against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest

from carna.flow.zerod.kernel import Order, factor, fill, solve


def sparse(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    """A random matrix with zeros on its diagonal, as circuits have."""
    a = np.where(rng.random((n, n)) < share, rng.normal(size=(n, n)), 0.0)
    np.fill_diagonal(a, 0.0)
    a[np.arange(n), rng.permutation(n)] += 3.0
    return a


def ordered(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Order]:
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    matrix = csc_array(a)
    matrix.sort_indices()
    start, row = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    found = splu(matrix)
    column, place = np.argsort(found.perm_c).astype(np.int64), found.perm_r.astype(np.int64)
    return start, row, matrix.data, Order(column, place, *fill(start, row, column, place))


@pytest.mark.parametrize("n", [1, 2, 7, 40, 150])
@pytest.mark.parametrize("share", [0.02, 0.2, 1.0])
def test_factors_solve_what_they_were_made_of(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    a = sparse(rng, n, share)
    start, row, value, order = ordered(a)
    lower, upper, pivot = np.zeros(len(order.l_row)), np.zeros(len(order.u_row)), np.zeros(n)
    for scale in (1.0, -2.5):  # the second time with other values in the same places
        changed = value * scale * rng.uniform(0.9, 1.1, len(value))
        dense = np.zeros((n, n))
        dense[row, np.repeat(np.arange(n), np.diff(start))] = changed
        work, right = np.zeros(n), rng.normal(size=n)
        assert factor(start, row, changed, order, lower, upper, pivot, work, 0.0)
        found = right.copy()
        solve(order, lower, upper, pivot, found, work)
        assert found == pytest.approx(np.linalg.solve(dense, right), rel=1e-6, abs=1e-8)
        assert not work.any()


def test_a_pivot_that_became_small_is_reported() -> None:
    start, row, value, order = ordered(np.array([[4.0, 1.0], [1.0, 3.0]]))
    for first, whole in ((4.0, True), (1e-14, False), (0.0, False), (np.nan, False)):
        changed = np.where(value == 4.0, first, value)
        done = factor(start, row, changed, order, np.zeros(1), np.zeros(1), np.zeros(2), np.zeros(2), 1e-11)
        assert done == whole
