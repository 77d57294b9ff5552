"""Teach a network to see the left atrium in late enhancement volumes: from virtual hearts only.

Lessons (`carna.phantom.atrium_lge`) are small volumes, drawn once in shards on disk, several pictures of each
anatomy; training reads them in random order, shifted and windowed anew, and saves its state: both go on
where they stopped. Left and right, front and back are never swapped: where the atrium lies is half of how it
is recognised. What ships is the running mean of the weights. Needs torch (``pip install carna[train]``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.phantom.atrium_lge import SHAPE, STEP_MM, anatomy_of, clutter, lesson
from carna.phantom.chambers import draw_whole
from carna.progress import SILENT, Progress

__all__ = ["AtriumRecipe", "draw_volumes", "export_volumes", "train_volumes", "unet_3d"]

PEOPLE = 50  # of a shard
KEPT = 0.998  # of the running mean of the weights at each step


@dataclass(frozen=True, slots=True)
class AtriumRecipe:
    """Everything that decides the weights.

    Parameters
    ----------
    people, pictures : int
        Anatomies drawn, and pictures of each.
    empty : int
        Pictures without any heart in every shard of `PEOPLE` anatomies.
    steps, batch : int
        Optimiser steps, volumes a step.
    channels : tuple of int
        Feature maps of each level, from the finest.
    rate : float
        Largest learning rate; it warms up over 200 steps and falls as a cosine.
    seed : int
    """

    people: int = 600
    pictures: int = 5
    empty: int = 25
    steps: int = 3500
    batch: int = 2
    channels: tuple[int, ...] = (8, 16, 32, 64)
    rate: float = 2e-3
    seed: int = 1

    @property
    def name(self) -> str:
        """Eight digits that change with the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


def draw_volumes(recipe: AtriumRecipe, folder: Path, progress: Progress = SILENT) -> None:
    """Draw the lessons that are not on disk yet, as ``volumes-NNNN.npz`` of `PEOPLE` anatomies each."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-recipe.people // PEOPLE)
    for shard in range(shards):
        path = folder / f"volumes-{shard:04}.npz"
        progress(shard / shards, "drawing volumes")
        if path.exists():
            continue
        random = np.random.default_rng([recipe.seed, shard])
        drawn = [
            lesson(anatomy, random)
            for anatomy in (anatomy_of(draw_whole(random), random) for _ in range(PEOPLE))
            for _ in range(recipe.pictures)
        ]
        drawn += [clutter(random) for _ in range(recipe.empty)]
        pictures = np.stack([np.rint(255 * one.picture).astype(np.uint8) for one in drawn])
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, pictures=pictures, labels=np.stack([one.labels for one in drawn]))
        part.rename(path)


def train_volumes(
    recipe: AtriumRecipe, folder: Path, progress: Progress = SILENT, *, keep_every: int = 250
) -> Path:
    """Train on the lessons of a folder; return the file of the weights, ``weights-NAME.pt``.

    Raises
    ------
    InputError
        The folder holds no lessons.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    net = unet_3d(recipe.channels).to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=1e-4)
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(KEPT)
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    weights, begin = folder / f"weights-{recipe.name}.pt", 0
    if weights.exists():
        state = torch.load(weights, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        mean.module.load_state_dict(state["mean"])
        mean.n_averaged += 1
        begin = int(state["step"])
    losses: list[float] = []
    for step, (x, y) in enumerate(_batches(recipe, folder, begin, keep_every), begin):
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 200)
            group["lr"] = recipe.rate * warm * float(0.5 * (1.0 + np.cos(np.pi * step / recipe.steps)))
        losses.append(_step(net, optimiser, torch.from_numpy(x), torch.from_numpy(y)))
        mean.update_parameters(net)
        progress((step + 1) / recipe.steps, f"step {step + 1} of {recipe.steps}, loss {losses[-1]:.3f}")
        if (step + 1) % keep_every == 0 or step + 1 == recipe.steps:
            state = {
                "net": net.state_dict(),
                "mean": mean.module.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            torch.save(state, weights.with_suffix(".part"))
            weights.with_suffix(".part").rename(weights)
            with (folder / f"loss-{recipe.name}.csv").open("a") as file:
                file.write(f"{step + 1},{np.mean(losses[-keep_every:]):.4f}\n")
    return weights


def export_volumes(recipe: AtriumRecipe, weights: Path, path: Path, card: dict[str, Any]) -> None:
    """Write the mean weights as ONNX with their card beside them, ``path`` and ``path`` as ``.json``."""
    import warnings

    import torch

    net = unet_3d(recipe.channels)
    net.load_state_dict(torch.load(weights, weights_only=True)["mean"])
    net.eval()
    free = {"volumes": {0: "n"}, "scores": {0: "n"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net, (torch.zeros(1, 1, *SHAPE),), str(path), input_names=["volumes"], output_names=["scores"],
            dynamic_axes=free, dynamo=False,
        )  # fmt: skip
    body = {"shape": SHAPE, "step_mm": STEP_MM, "recipe": asdict(recipe), "recipe_name": recipe.name} | card
    body["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def unet_3d(channels: tuple[int, ...]) -> Any:
    """Return a three-dimensional U-Net as a torch module (Cicek 2016, doi:10.1007/978-3-319-46723-8_49).

    Volumes (b, 1, k, r, c) to scores (b, 2, k, r, c); sides are multiples of ``2 ** (levels - 1)``.
    """
    import torch
    from torch import nn

    def block(inputs: int, outputs: int) -> Any:
        layers: list[Any] = []
        for first in (inputs, outputs):
            layers += [nn.Conv3d(first, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs)]
            layers += [nn.LeakyReLU(0.01, inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            pairs = list(pairwise(channels))
            self.first = block(1, channels[0])
            self.down = nn.ModuleList(block(a, b) for a, b in pairs)
            self.up = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairs)
            self.join = nn.ModuleList(block(2 * a, a) for a, _ in pairs)
            self.last = nn.Conv3d(channels[0], 2, 1)

        def forward(self, x: Any) -> Any:
            kept = [self.first(x)]
            for down in self.down:
                kept.append(down(nn.functional.max_pool3d(kept[-1], 2)))
            x = kept.pop()
            for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
                x = join(torch.cat([up(x), kept.pop()], 1))
            return self.last(x)

    return UNet()


def _batches(
    recipe: AtriumRecipe, folder: Path, begin: int, look_every: int
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    """Yield volumes (b, 1, k, r, c) and labels (b, k, r, c), shifted and windowed anew.

    Shards that another process is still drawing join in as they appear.
    """
    shards: dict[Path, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]] = {}
    for step in range(begin, recipe.steps):
        if not shards or step % look_every == 0:
            for path in sorted(folder.glob("volumes-????.npz")):
                if path not in shards:
                    with np.load(path) as stored:
                        shards[path] = (stored["pictures"], stored["labels"])
        if not shards:
            raise InputError(f"no lessons in {folder}", needed="volumes-NNNN.npz", fix="draw them first")
        random = np.random.default_rng([recipe.seed, step])
        xs, ys = [], []
        for _ in range(recipe.batch):
            pictures, labels = list(shards.values())[int(random.integers(len(shards)))]
            n = int(random.integers(len(pictures)))
            x, y = _seen(pictures[n].astype(np.float32) / 255.0, labels[n], random)
            xs.append(x)
            ys.append(y)
        yield np.stack(xs)[:, None], np.stack(ys).astype(np.int64)


def _seen(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.uint8], random: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return one lesson shifted by a few voxels, with another window and a little more noise."""
    moved = np.zeros_like(x), np.zeros_like(y)
    by = random.integers(-3, 4, 3)
    to = tuple(slice(max(b, 0), n + min(b, 0)) for b, n in zip(by, x.shape, strict=True))
    of = tuple(slice(max(-b, 0), n + min(-b, 0)) for b, n in zip(by, x.shape, strict=True))
    moved[0][to], moved[1][to] = x[of], y[of]
    bright = moved[0] ** random.uniform(0.7, 1.4)
    there = bright > 0.0
    bright = bright + there * random.uniform(0.0, 0.04) * random.standard_normal(x.shape, np.float32)
    return ((bright - bright.mean()) / (bright.std() + 1e-6)).astype(np.float32), moved[1]


def _step(net: Any, optimiser: Any, x: Any, y: Any) -> float:
    """Take one step down cross-entropy and soft Dice; return the loss."""
    import torch
    from torch.nn.functional import cross_entropy

    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(x.contiguous(memory_format=torch.channels_last_3d))
    scores = scores.float()
    share, truth = scores.softmax(1)[:, 1], y.float()
    both = (share * truth).sum((1, 2, 3))
    dice = (2 * both + 1) / (share.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    loss = cross_entropy(scores, y) + (1 - dice).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())
