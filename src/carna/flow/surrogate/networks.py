"""Two small nets that run over a tree, in numpy: a Tree-LSTM and a graph network.

Both read `Segments.local` and say how much of its lossless flow each segment keeps, 0 to 1; the loss law
turns flows into pressures, so a net can be wrong about flow but not about what a flow costs.

The Tree-LSTM is the child-sum one of Tai et al. 2015 (doi:10.3115/v1/P15-1150) from the outlets up, then an
ordinary cell from the inlet down, since a segment's flow depends on both sides. The graph network lets every
segment hear its parent and the sum of its children, for some rounds, through one gated unit (Cho et al. 2014,
doi:10.3115/v1/D14-1179).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.flow.surrogate.features import Floats, Segments

Singles = npt.NDArray[np.float32]


def _squash(x: Singles) -> Singles:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)


def _ratio(trees: Segments, kept: Singles) -> Floats:
    return trees.ratio(trees.share * _squash(kept).astype(float))


@final
@dataclass(frozen=True, slots=True, eq=False)
class TreeLstm:
    """Child-sum Tree-LSTM from the outlets up, a cell from the inlet down.

    Parameters
    ----------
    weights : mapping of str to float32
        ``up_x`` (6, 4h), ``up_h`` (h, 3h), ``up_f`` (h, h), ``up_b`` (4h,); ``down_x`` (6 + h, 4h),
        ``down_h`` (h, 4h), ``down_b`` (4h,); ``out_w`` (2h,), ``out_b`` (1,). Gates stand in the order in,
        out, new, forget.
    """

    weights: Mapping[str, Singles]

    def __call__(self, trees: Segments) -> Floats:
        """Return pressure over inlet pressure at each segment's tail, (s,)."""
        w = self.weights
        size = w["up_f"].shape[0]
        x = trees.local().astype(np.float32)
        given = x @ w["up_x"] + w["up_b"]
        h, c = (np.zeros((len(trees), size), np.float32) for _ in range(2))
        heard, kept = (np.zeros((len(trees), size), np.float32) for _ in range(2))
        for level in trees.levels[::-1]:
            gates = given[level, : 3 * size] + heard[level] @ w["up_h"]
            new = _squash(gates[:, :size]) * np.tanh(gates[:, 2 * size :])
            c[level] = new + kept[level]
            h[level] = _squash(gates[:, size : 2 * size]) * np.tanh(c[level])
            up = trees.parent[level]
            if up[0] >= 0:
                np.add.at(heard, up, h[level])
                forget = _squash(given[up, 3 * size :] + h[level] @ w["up_f"])
                np.add.at(kept, up, forget * c[level])
        given = np.concatenate([x, h], 1) @ w["down_x"] + w["down_b"]
        below, state = (np.zeros((len(trees) + 1, size), np.float32) for _ in range(2))
        for level in trees.levels:
            # The row after the last stands for what lies before the inlet: zeros.
            up = trees.parent[level]
            gates = given[level] + below[up] @ w["down_h"]
            new = _squash(gates[:, :size]) * np.tanh(gates[:, 2 * size : 3 * size])
            state[level] = new + _squash(gates[:, 3 * size :]) * state[up]
            below[level] = _squash(gates[:, size : 2 * size]) * np.tanh(state[level])
        return _ratio(trees, np.concatenate([h, below[:-1]], 1) @ w["out_w"] + w["out_b"])


@final
@dataclass(frozen=True, slots=True, eq=False)
class GraphNet:
    """A gated unit that every segment runs on itself, its parent and its children, for some rounds.

    Parameters
    ----------
    weights : mapping of str to float32
        ``in_w`` (6, h), ``in_b`` (h,); ``gate_w`` (6 + 3h, 2h), ``gate_b`` (2h,) reset and update;
        ``new_w`` (6 + 3h, h), ``new_b`` (h,); ``out_w`` (h,), ``out_b`` (1,); ``rounds`` (1,).
    """

    weights: Mapping[str, Singles]

    def __call__(self, trees: Segments) -> Floats:
        """Return pressure over inlet pressure at each segment's tail, (s,)."""
        w = self.weights
        x = trees.local().astype(np.float32)
        h = np.tanh(x @ w["in_w"] + w["in_b"])
        size = h.shape[1]
        inner = np.flatnonzero(trees.parent >= 0)
        up = trees.parent[inner]
        for _ in range(int(w["rounds"][0])):
            above, below = np.zeros_like(h), np.zeros_like(h)
            above[inner] = h[up]
            np.add.at(below, up, h[inner])
            seen = np.concatenate([x, above, below], 1)
            gates = _squash(np.concatenate([seen, h], 1) @ w["gate_w"] + w["gate_b"])
            reset, update = gates[:, :size], gates[:, size:]
            new = np.tanh(np.concatenate([seen, reset * h], 1) @ w["new_w"] + w["new_b"])
            h = update * h + (1 - update) * new
        return _ratio(trees, h @ w["out_w"] + w["out_b"])
