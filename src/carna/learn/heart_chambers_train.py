"""Teach a network to see four chambers in axial, coronal and sagittal slices: from virtual hearts only.

Lessons are those of `carna.phantom.chamber_slices`, drawn by `carna.learn.cmr_train.draw_lessons`. Unlike
short-axis pictures they are never turned by right angles nor mirrored: left is left in a chest, and where a
chamber lies is half of how it is recognised. They are tilted, stretched and moved a little, and windowed as
`carna.image.network.standardised` does. What ships is the running mean of the weights, its batch statistics
estimated anew on lessons. Needs torch (``pip install carna[train]``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.whole_heart import AORTA
from carna.learn.cmr_train import KEPT, Recipe
from carna.progress import SILENT, Progress

__all__ = ["train_chambers"]

Pictures = npt.NDArray[np.uint8]

# Of the cross-entropy, by label: muscle and left atrium are learned last, the background first.
_WEIGHTS = (0.5, 1.0, 2.0, 1.0, 2.0, 1.0, 1.5, 2.0)
_FEW, _PASSED = 200, 0.7  # pixels of chambers; a lesson with fewer is passed over this often
_SETTLE = 60  # batches from which the statistics of the mean weights are estimated


def train_chambers(
    recipe: Recipe, folder: Path, progress: Progress = SILENT, *, keep_every: int = 100
) -> Path:
    """Train on the lessons of a folder; return the file of the weights, which `cmr_train.export` takes.

    Parameters
    ----------
    recipe : Recipe
        Of "chambers".
    folder : Path
        Holds the lessons; the state is kept there too, and training goes on where it stopped.
    progress : Progress
    keep_every : int
        Steps between two savings of the state.

    Raises
    ------
    InputError
        The folder holds no lessons.
    """
    import torch

    from carna.learn.unet import unet

    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    taught = _lessons(folder, recipe.lessons)
    net = unet(recipe.channels, recipe.classes).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=1e-4)
    keep = torch.optim.swa_utils.get_ema_multi_avg_fn(KEPT)
    weights = folder / f"weights-{recipe.name}.pt"
    state = torch.load(weights, weights_only=True) if weights.exists() else None
    if state is not None:
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=keep, use_buffers=True)
    if state is not None:
        mean.module.load_state_dict(state["mean"])
        mean.n_averaged += 1
    for step in range(int(state["step"]) if state is not None else 0, recipe.steps):
        x, y = _batch(taught, recipe.batch, np.random.default_rng([recipe.seed, step]))
        rate = recipe.rate * min(1.0, (step + 1) / 200) * 0.5 * (1.0 + np.cos(np.pi * step / recipe.steps))
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        loss = _step(net, optimiser, torch.from_numpy(x), torch.from_numpy(y))
        mean.update_parameters(net)
        progress((step + 1) / recipe.steps, f"step {step + 1} of {recipe.steps}, loss {loss:.3f}")
        last = step + 1 == recipe.steps
        if last:
            _settle(mean.module, taught, recipe)
        if last or (step + 1) % keep_every == 0:
            kept = {"net": net.state_dict(), "mean": mean.module.state_dict()}
            torch.save(
                {**kept, "optimiser": optimiser.state_dict(), "step": step + 1}, weights.with_suffix(".part")
            )
            weights.with_suffix(".part").rename(weights)
    return weights


def _lessons(folder: Path, most: int) -> tuple[Pictures, Pictures]:
    shards = [np.load(path) for path in sorted(folder.glob("lessons-????.npz"))]
    if not shards:
        raise InputError(f"no lessons in {folder}", needed="lessons-NNNN.npz", fix="draw them first")
    pictures, labels = (np.concatenate([s[what] for s in shards]) for what in ("pictures", "labels"))
    return pictures[:most], labels[:most]


def _batch(
    taught: tuple[Pictures, Pictures], size: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return pictures (b, 1, n, n) and labels (b, n, n), each tilted, stretched, moved and windowed anew."""
    import cv2

    xs, ys = [], []
    for _ in range(size):
        n = int(random.integers(len(taught[0])))
        chambers = (taught[1][n] > 0) & (taught[1][n] < AORTA)
        if int(chambers.sum()) < _FEW and random.random() < _PASSED:
            n = int(random.integers(len(taught[0])))
        x, y = taught[0][n].astype(np.float32) / 255.0, taught[1][n]
        turn, scale = random.normal(0.0, 0.12), float(np.exp(random.normal(0.0, 0.08)))
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = matrix @ (np.eye(2) + random.normal(0.0, 0.05, (2, 2)))
        middle = (len(x) - 1) / 2.0
        shift = middle - matrix @ np.full(2, middle) + random.normal(0.0, 6.0, 2)
        whole = np.column_stack([matrix, shift])
        x = cv2.warpAffine(x, whole, x.shape, flags=cv2.INTER_LINEAR)
        y = cv2.warpAffine(y, whole, y.shape, flags=cv2.INTER_NEAREST)
        x = np.clip(x, 0, 1) ** random.uniform(0.75, 1.35) + random.uniform(
            0.0, 0.03
        ) * random.standard_normal(x.shape)
        low, high = np.percentile(x, (1.0, 99.0))
        x = np.clip((x - low) / max(float(high - low), 1e-6), 0.0, 1.0)
        xs.append((x - x.mean()) / (x.std() + 1e-6))
        ys.append(y)
    return np.stack(xs)[:, None].astype(np.float32), np.stack(ys).astype(np.int64)


def _step(net: Any, optimiser: Any, x: Any, y: Any) -> float:
    """Take one step down cross-entropy and soft Dice; return the loss."""
    import torch
    from torch.nn.functional import cross_entropy, one_hot

    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(x.contiguous(memory_format=torch.channels_last))
    scores = scores.float()
    share = scores.softmax(1)[:, 1:]
    truth = one_hot(y, scores.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
    both = (share * truth).sum((0, 2, 3))
    dice = (2 * both + 1) / (share.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    loss = cross_entropy(scores, y, torch.tensor(_WEIGHTS)) + (1 - dice).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _settle(net: Any, taught: tuple[Pictures, Pictures], recipe: Recipe) -> None:
    """Estimate the batch statistics of a net anew: those of a running mean lag behind its weights."""
    import torch

    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    net.train()
    with torch.no_grad():
        for n in range(_SETTLE):
            x, _ = _batch(taught, recipe.batch, np.random.default_rng([recipe.seed, 1_000_000 + n]))
            net(torch.from_numpy(x))
    net.eval()
