"""A multinomial logistic model: the smallest thing that can be learned, and every weight can be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Probabilities that sum to 1: the softmax of ``bias + x @ weight``.

    Parameters
    ----------
    weight : (features, classes) float
    bias : (classes,) float
    """

    weight: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return the probabilities ``(n, classes)`` of ``x (n, features)``."""
        score = np.asarray(x, np.float64) @ self.weight + self.bias
        score -= score.max(1, keepdims=True)
        odds = np.exp(score)
        return np.asarray(odds / odds.sum(1, keepdims=True))
