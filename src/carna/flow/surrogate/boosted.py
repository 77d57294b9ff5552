"""Boosted trees on physics features: how far the one-pass formula is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.flow.surrogate.features import Floats, Segments


@final
@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """Symmetric trees (one question a level), added to `Segments.one_pass`.

    Parameters
    ----------
    feature : (trees, depth) int
        Column of `Segments.path` that a level asks for.
    limit : (trees, depth) float32
        Above it the answer is 1; the first level's is the highest bit of the leaf.
    leaf : (trees, 2**depth) float32
    """

    feature: npt.NDArray[np.int64]
    limit: npt.NDArray[np.float32]
    leaf: npt.NDArray[np.float32]

    def __call__(self, trees: Segments) -> Floats:
        """Return pressure over inlet pressure at each segment's tail, (s,)."""
        return trees.one_pass() + self.correction(trees.path().astype(np.float32))

    def correction(self, x: npt.NDArray[np.float32]) -> Floats:
        """Return the sum of one leaf of each tree for features (s, 12)."""
        columns = np.ascontiguousarray(x.T)
        total = np.zeros(len(x))
        for feature, limit, leaf in zip(self.feature, self.limit, self.leaf, strict=True):
            at = np.zeros(len(x), np.int64)
            for f, cut in zip(feature, limit, strict=True):
                at = 2 * at + (columns[f] > cut)
            total += leaf[at]
        return total
