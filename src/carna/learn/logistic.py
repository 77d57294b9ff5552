"""Fit `carna.ecg.logistic.Logistic`: weighted maximum likelihood with a ridge on standardised columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carna.ecg.logistic import Logistic

Floats = NDArray[np.float64]


def fit_logistic(
    x: Floats, y: NDArray[np.int64], classes: int, weight: Floats | None = None, ridge: float = 10.0
) -> Logistic:
    """Return the weights that make ``y`` most probable.

    Minimises ``sum(weight * -ln p(y)) + ridge / 2 * |w|^2``, the weights scaled to mean 1 and ``w`` those
    of the standardised columns; the result takes the columns as they are.

    Parameters
    ----------
    x : (n, features) float
    y : (n,) int, 0 to classes - 1
    weight : (n,) float, optional
    ridge : float
        Of the order of ten rows' worth of evidence.
    """
    from scipy.optimize import minimize

    mean, sd = x.mean(0), x.std(0) + 1e-9
    z = (x - mean) / sd
    share = np.ones(len(x)) if weight is None else weight / weight.mean()
    truth = np.eye(classes)[y]
    features = x.shape[1]

    def loss(flat: Floats) -> tuple[float, Floats]:
        w, b = flat[:-classes].reshape(features, classes), flat[-classes:]
        score = z @ w + b
        score -= score.max(1, keepdims=True)
        log = score - np.log(np.exp(score).sum(1, keepdims=True))
        back = share[:, None] * (np.exp(log) - truth)
        value = -float((share[:, None] * truth * log).sum()) + ridge / 2 * float((w**2).sum())
        return value, np.concatenate([(z.T @ back + ridge * w).ravel(), back.sum(0)])

    flat = minimize(
        loss, np.zeros(features * classes + classes), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    ).x
    w = flat[:-classes].reshape(features, classes) / sd[:, None]
    return Logistic(w, flat[-classes:] - mean @ w)
