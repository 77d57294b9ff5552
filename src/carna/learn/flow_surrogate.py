"""Teach the flow surrogates and hold them against the steady solver, on trees that they never saw.

All trees are virtual and all truth is the steady solver's: the figures say how well a net imitates a solver,
nothing about patients. The nets are fitted by ``tests/flow/fit_surrogate.py``, which has torch.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carna.flow.surrogate.boosted import Boosted
from carna.flow.surrogate.features import LOCAL, PATH, Floats, Segments
from carna.flow.surrogate.models import FORMAT
from carna.flow.virtual import grow

Ints = npt.NDArray[np.int64]

# Style, trees, seed.
TAUGHT: Final = (("itu2016", 7000, 101), ("stable", 6000, 102))
WHAT: Final = {
    "boosted": "boosted symmetric trees on physics features of the path, added to the one-pass formula",
    "tree_lstm": "child-sum Tree-LSTM from the outlets up and a cell from the inlet down",
    "graph_net": "gated graph network of six rounds on segments, their parents and their children",
}
BINS, DEPTH = 64, 6


def taught_forests() -> tuple[Segments, Floats]:
    """Return the trees that surrogates are taught with, and the truth at each tail."""
    forests = [grow(n, style=style, seed=seed) for style, n, seed in TAUGHT]
    truth = np.concatenate([forest.ratio() for forest in forests])
    return joined([Segments.of_forest(forest) for forest in forests]), truth


def joined(parts: list[Segments]) -> Segments:
    """Lay rows of trees end to end."""
    before = np.cumsum([0, *map(len, parts)])
    placed = list(zip(parts, before.tolist(), strict=False))
    deepest = max(len(p.levels) for p in parts)
    levels = [
        np.concatenate([p.levels[n] + b for p, b in placed if n < len(p.levels)]) for n in range(deepest)
    ]
    return Segments(
        np.concatenate([[0], *(p.start[1:] + b for p, b in placed)]),
        np.concatenate([np.where(p.parent >= 0, p.parent + b, -1) for p, b in placed]),
        tuple(levels),
        np.concatenate([p.friction for p in parts]),
        np.concatenate([p.jet for p in parts]),
        np.concatenate([p.share for p in parts]),
        np.concatenate([p.leaf for p in parts]),
        np.concatenate([p.drive for p in parts]),
    )


def near_cut(truth: Floats) -> Floats:
    """Return how much a tail counts in training: five times as much at 0.80."""
    return np.asarray(1 + 4 * np.exp(-(((truth - 0.8) / 0.08) ** 2)))


def fit_boosted(folder: Path, *, trees: int = 400, rate: float = 0.08, rows: float = 0.4) -> None:
    """Fit the boosted trees and write them.

    Squared error of the ratio, `near_cut` as weight; every level of a tree asks the question that gains most
    over all of its nodes.

    Parameters
    ----------
    folder : Path
    trees : int
    rate, rows : float, 0 to 1
        Of each step; share of tails that a tree sees.
    """
    begun = time.process_time()
    seen, truth = taught_forests()
    x = seen.path().astype(np.float32)
    left = truth - seen.one_pass()
    weight = near_cut(truth)
    cuts = np.quantile(x[::7], np.arange(1, BINS) / BINS, axis=0).astype(np.float32)
    binned = np.stack([np.searchsorted(cuts[:, k], x[:, k], side="left") for k in range(x.shape[1])], 1)
    random = np.random.default_rng(0)
    feature, limit = np.zeros((trees, DEPTH), np.int64), np.zeros((trees, DEPTH), np.float32)
    leaf = np.zeros((trees, 2**DEPTH), np.float32)
    for t in range(trees):
        some = random.random(len(x)) < rows
        b, g, h = binned[some], (weight * left)[some], weight[some]
        at = np.zeros(len(b), np.int64)
        for level in range(DEPTH):
            column, bin_ = _question(b, g, h, at, 2**level)
            feature[t, level], limit[t, level] = column, cuts[bin_, column]
            at = 2 * at + (b[:, column] > bin_)
        sums, sizes = (np.bincount(at, v, 2**DEPTH) for v in (g, h))
        leaf[t] = rate * sums / (sizes + 20.0)
        left -= Boosted(feature[t : t + 1], limit[t : t + 1], leaf[t : t + 1]).correction(x)
    spent = round(time.process_time() - begun)
    save_net(folder, "boosted", {"feature": feature, "limit": limit, "leaf": leaf}, {"seconds": spent})


def _question(binned: Ints, g: Floats, h: Floats, at: Ints, nodes: int) -> tuple[int, int]:
    """Return the feature and the bin after which a cut of all nodes gains most."""
    best = (-np.inf, 0, 0)
    for column in range(binned.shape[1]):
        flat = at * BINS + binned[:, column]
        sums, sizes = (np.bincount(flat, v, nodes * BINS).reshape(nodes, BINS) for v in (g, h))
        below, few = sums.cumsum(1)[:, :-1], sizes.cumsum(1)[:, :-1]
        above, rest = sums.sum(1, keepdims=True) - below, sizes.sum(1, keepdims=True) - few
        gain = (below**2 / (few + 20.0) + above**2 / (rest + 20.0)).sum(0)
        bin_ = int(np.argmax(gain))
        if gain[bin_] > best[0]:
            best = (float(gain[bin_]), column, bin_)
    return best[1], best[2]


def save_net(
    folder: Path, name: str, weights: dict[str, npt.NDArray[Any]], training: dict[str, float]
) -> None:
    """Write a surrogate's numbers and its card."""
    small = {k: v.astype(np.int16 if v.dtype.kind == "i" else np.float32) for k, v in weights.items()}
    np.savez_compressed(folder / f"flow_{name}.npz", allow_pickle=False, **small)
    card = {
        "format": FORMAT,
        "what": WHAT[name],
        "reads": list(PATH if name == "boosted" else LOCAL),
        "answers": "pressure over inlet pressure at the tail of each segment",
        "taught_with": [f"{n} virtual trees of style {style}, seed {seed}" for style, n, seed in TAUGHT],
        "truth": "the steady solver (carna.flow.steady)",
        "never_taught_with": "patients; trees of other seeds",
        "use": "comparison with the steady solver, which is exact and faster; no FFR is computed with it",
        "numbers": int(sum(v.size for v in small.values())),
        "training": {**training, "threads": 1},
        "recipe": "tests/flow/fit_surrogate.py, carna.learn.flow_surrogate",
        "licence": "Apache-2.0",
    }
    (folder / f"flow_{name}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
