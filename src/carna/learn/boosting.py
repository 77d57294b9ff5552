"""Fit boosted trees of depth two to yes and no: Newton steps on the logistic loss, features cut into bins.

Friedman 2001 (doi:10.1214/aos/1013203451) with the second-order leaf of Chen and Guestrin 2016
(doi:10.1145/2939672.2939785): of a node with sums G of the gradients and H of the curvatures the leaf is
-G / (H + ridge), and a cut gains G_l^2 / (H_l + ridge) + G_r^2 / (H_r + ridge).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carna.ecg.second import Trees

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BINS = 16


def fit_trees(
    x: Floats,
    y: NDArray[np.bool_],
    *,
    trees: int = 120,
    rate: float = 0.06,
    ridge: float = 2.0,
    rows: float = 0.7,
    columns: float = 0.2,
    least: float = 1.0,
    seed: int = 0,
) -> Trees:
    """Return trees that tell ``y`` from ``x``, both answers weighing the same together.

    Parameters
    ----------
    x : (n, features) float
    y : (n,) bool
        With both answers in it.
    trees : int
    rate : float
        Of each step, 0 to 1.
    ridge : float
        Curvature added to every leaf.
    rows, columns : float
        Share of the rows and of the features that each tree sees.
    least : float
        Least curvature of a leaf.
    seed : int
    """
    random = np.random.default_rng(seed)
    n, features = x.shape
    cuts = np.quantile(x, np.arange(1, BINS) / BINS, axis=0)  # (BINS - 1, features)
    binned = (x[None] > cuts[:, None]).sum(0)
    weight = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    total = np.zeros(n)
    node, limit, leaf = np.zeros((trees, 3), np.int64), np.zeros((trees, 3)), np.zeros((trees, 4))
    for t in range(trees):
        p = 1 / (1 + np.exp(-total))
        g, h = weight * (p - y), weight * p * (1 - p)
        seen = np.sort(random.permutation(n)[: max(2, round(rows * n))])
        shown = np.sort(random.permutation(features)[: max(1, round(columns * features))])
        root = _cut(binned[:, shown], g, h, seen, ridge, least)
        side = binned[:, shown[root[0]]] > root[1]
        node[t, 0], limit[t, 0] = shown[root[0]], cuts[root[1], shown[root[0]]]
        for k in range(2):
            here = seen[side[seen] == bool(k)]
            f, b = _cut(binned[:, shown], g, h, here, ridge, least)
            node[t, 1 + k], limit[t, 1 + k] = shown[f], cuts[b, shown[f]]
            above = binned[:, shown[f]] > b
            for m in range(2):
                inside = here[above[here] == bool(m)]
                value = -rate * g[inside].sum() / (h[inside].sum() + ridge)
                leaf[t, 2 * k + m] = value
                total[(side == bool(k)) & (above == bool(m))] += value
    return Trees(0.0, node, limit, leaf)


def _cut(binned: Ints, g: Floats, h: Floats, rows: Ints, ridge: float, least: float) -> tuple[int, int]:
    """Return the feature and the bin after which a cut gains most; the first ones where none may be made."""
    features = binned.shape[1]
    flat = (binned[rows] + BINS * np.arange(features)).ravel()
    sums = [
        np.bincount(flat, np.repeat(v[rows], features), BINS * features).reshape(features, BINS)
        for v in (g, h)
    ]
    left_g, left_h = (s.cumsum(1)[:, :-1] for s in sums)
    right_g, right_h = (
        s.sum(1, keepdims=True) - left for s, left in zip(sums, (left_g, left_h), strict=True)
    )
    gain = left_g**2 / (left_h + ridge) + right_g**2 / (right_h + ridge)
    gain[(left_h < least) | (right_h < least)] = -np.inf
    feature, bin_ = np.unravel_index(int(np.argmax(gain)), gain.shape)
    return int(feature), int(bin_)
