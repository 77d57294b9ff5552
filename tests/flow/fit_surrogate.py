"""Teach the surrogates: ``python tests/flow/fit_surrogate.py [NAME ...]`` writes ``models/flow_*``.

Needs torch for the nets (`pip install torch`); the boosted trees need nothing else. One thread, a fixed seed;
some minutes of CPU time each. Trees are drawn from two styles of `carna.flow.virtual`; truth is the steady
solver's ratio at every segment's tail. What a name stands for: tree_lstm, graph_net, boosted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from carna.flow.surrogate import models
from carna.flow.surrogate.features import LOCAL, Segments
from carna.flow.surrogate.networks import GraphNet, TreeLstm
from carna.learn.flow_surrogate import TAUGHT, save_net, taught_forests

HIDDEN, ROUNDS, BATCH, RATE = 16, 6, 200, 8e-3
EPOCHS = {"tree_lstm": 60, "graph_net": 40}
FOLDER = Path(models.__file__).resolve().parents[2] / "models"


def batches(trees: Segments, truth, order):
    """Cut one row of trees into batches, as tensors, with levels of their own."""
    import torch

    x = trees.local().astype(np.float32)
    whose = np.repeat(np.arange(len(trees.start) - 1), np.diff(trees.start))
    level_of = np.empty(len(trees), np.int64)
    for n, level in enumerate(trees.levels):
        level_of[level] = n
    for a in range(0, len(order), BATCH):
        rows = np.concatenate([np.arange(trees.start[t], trees.start[t + 1]) for t in order[a : a + BATCH]])
        new = np.full(len(trees), -1)
        new[rows] = np.arange(len(rows))
        parent = np.where(trees.parent[rows] >= 0, new[trees.parent[rows]], -1)
        depth = level_of[rows]
        part = {
            "x": x[rows], "parent": parent, "friction": trees.friction[rows], "jet": trees.jet[rows],
            "share": trees.share[rows], "drive": trees.drive[rows], "truth": truth[rows],
            "whose": whose[rows],
        }  # fmt: skip
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in part.items()}
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        levels = [torch.from_numpy(np.flatnonzero(depth == n)) for n in range(depth.max() + 1)]
        yield tensors, levels


def ratio(kept, b, levels):
    """The loss law on the flows that a net keeps."""
    import torch

    flow = b["share"] * torch.sigmoid(kept)
    loss = b["friction"] * flow + b["jet"] * flow**2
    whole = torch.zeros_like(loss)
    for n, level in enumerate(levels):
        above = whole[b["parent"][level]] if n else 0.0
        whole = whole.index_copy(0, level, loss[level] + above)
    return 1 - b["drive"] * whole


def tree_lstm(w, b, levels):
    """`TreeLstm`, in torch."""
    import torch

    size = w["up_f"].shape[0]
    x, parent = b["x"], b["parent"]
    given = x @ w["up_x"] + w["up_b"]
    h, heard, kept = (torch.zeros(len(x), size) for _ in range(3))
    for level in levels[::-1]:
        gates = given[level, : 3 * size] + heard[level] @ w["up_h"]
        c = torch.sigmoid(gates[:, :size]) * torch.tanh(gates[:, 2 * size :]) + kept[level]
        now = torch.sigmoid(gates[:, size : 2 * size]) * torch.tanh(c)
        h = h.index_copy(0, level, now)
        up = parent[level]
        if up[0] >= 0:
            heard = heard.index_add(0, up, now)
            forget = torch.sigmoid(given[up, 3 * size :] + now @ w["up_f"])
            kept = kept.index_add(0, up, forget * c)
    given = torch.cat([x, h], 1) @ w["down_x"] + w["down_b"]
    below, state = (torch.zeros(len(x) + 1, size) for _ in range(2))
    for level in levels:
        up = parent[level] % (len(x) + 1)
        gates = given[level] + below[up] @ w["down_h"]
        new = torch.sigmoid(gates[:, :size]) * torch.tanh(gates[:, 2 * size : 3 * size])
        c = new + torch.sigmoid(gates[:, 3 * size :]) * state[up]
        state = state.index_copy(0, level, c)
        below = below.index_copy(0, level, torch.sigmoid(gates[:, size : 2 * size]) * torch.tanh(c))
    return torch.cat([h, below[:-1]], 1) @ w["out_w"] + w["out_b"]


def graph_net(w, b, levels):
    """`GraphNet`, in torch."""
    import torch

    x, parent = b["x"], b["parent"]
    h = torch.tanh(x @ w["in_w"] + w["in_b"])
    size = h.shape[1]
    inner = torch.nonzero(parent >= 0)[:, 0]
    up = parent[inner]
    for _ in range(ROUNDS):
        above = torch.zeros_like(h).index_copy(0, inner, h[up])
        below = torch.zeros_like(h).index_add(0, up, h[inner])
        seen = torch.cat([x, above, below], 1)
        gates = torch.sigmoid(torch.cat([seen, h], 1) @ w["gate_w"] + w["gate_b"])
        reset, update = gates[:, :size], gates[:, size:]
        new = torch.tanh(torch.cat([seen, reset * h], 1) @ w["new_w"] + w["new_b"])
        h = update * h + (1 - update) * new
    return h @ w["out_w"] + w["out_b"]


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return the weights' shapes."""
    k, h = len(LOCAL), HIDDEN
    if name == "tree_lstm":
        return {
            "up_x": (k, 4 * h), "up_h": (h, 3 * h), "up_f": (h, h), "up_b": (4 * h,),
            "down_x": (k + h, 4 * h), "down_h": (h, 4 * h), "down_b": (4 * h,),
            "out_w": (2 * h,), "out_b": (1,),
        }  # fmt: skip
    return {
        "in_w": (k, h), "in_b": (h,), "gate_w": (k + 3 * h, 2 * h), "gate_b": (2 * h,),
        "new_w": (k + 3 * h, h), "new_b": (h,), "out_w": (h,), "out_b": (1,),
    }  # fmt: skip


def fit_net(name: str) -> None:
    """Adam with a falling rate on the squared error of the ratio, nearer 0.8 counting more."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = {"tree_lstm": tree_lstm, "graph_net": graph_net}[name]
    weights = {}
    for key, shape in shapes(name).items():
        scale = 1 / np.sqrt(shape[0]) if len(shape) > 1 else 0.1
        first = torch.randn(shape) * scale if not key.endswith("_b") else torch.zeros(shape)
        weights[key] = first.requires_grad_()
    with torch.no_grad():
        weights["out_b"] += 3.0  # most flow is kept
        for key in ("up_b", "down_b"):
            if key in weights:
                weights[key][3 * HIDDEN :] += 1.0  # forget little at first
    trees, truth = taught_forests()
    count = len(trees.start) - 1
    draws = np.random.default_rng(0)
    steps = EPOCHS[name] * -(-count // BATCH)
    adam = torch.optim.Adam(weights.values(), RATE)
    fall = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps, pct_start=0.1)
    begun = time.process_time()
    ready = list(batches(trees, truth, draws.permutation(count)))
    for epoch in range(EPOCHS[name]):
        whole = 0.0
        for n in draws.permutation(len(ready)):
            b, levels = ready[n]
            found = ratio(net(weights, b, levels), b, levels)
            near = 1 + 4 * torch.exp(-(((b["truth"] - 0.8) / 0.08) ** 2))
            # 1 / (1 + loss): an untaught net can lose many times the inlet's pressure.
            loss = (near * (1 / (2 - found) - 1 / (2 - b["truth"])) ** 2).mean()
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            adam.step()
            fall.step()
            whole += float(loss.detach())
        if epoch % 5 == 0 or epoch == EPOCHS[name] - 1:
            spent = time.process_time() - begun
            print(f"{name} epoch {epoch} rms {np.sqrt(whole / len(ready)):.5f} {spent:.0f} s", flush=True)
    kept = {k: v.detach().numpy() for k, v in weights.items()}
    if name == "graph_net":
        kept["rounds"] = np.array([ROUNDS], np.float32)
    b, levels = ready[0]
    whose = np.unique(b["whose"].numpy())
    ours = (TreeLstm if name == "tree_lstm" else GraphNet)(kept)(trees)
    rows = np.concatenate([np.arange(trees.start[t], trees.start[t + 1]) for t in whose])
    theirs = ratio(net(weights, b, levels), b, levels).detach().numpy()
    # Batches stand in another order than the row: compare what a segment was told.
    off = np.abs(np.sort(ours[rows]) - np.sort(theirs)).max()
    if off > 1e-4:
        raise SystemExit(f"{name}: numpy and torch differ by {off:.1e}")
    save_net(FOLDER, name, kept, {"seconds": round(time.process_time() - begun), "epochs": EPOCHS[name]})


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["boosted", "tree_lstm", "graph_net"]
    for which in wanted:
        if which == "boosted":
            from carna.learn.flow_surrogate import fit_boosted

            fit_boosted(FOLDER)
        else:
            fit_net(which)
    print(f"taught on {TAUGHT}")
