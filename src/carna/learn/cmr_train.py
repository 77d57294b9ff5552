"""Teach a network to see a heart: from virtual hearts, and with a hospital's own outlines.

Lessons (`LESSONS`: pictures of virtual hearts with exact labels) are drawn once, in shards on disk; training
reads them in random order, turned, mirrored and windowed, and saves its state every few hundred steps: both
go on where they stopped. What ships is the running mean of the weights. With labelled patients (few-shot
tuning) half of every batch are slices of theirs, stretched and turned, and training begins from given
weights; such weights belong to the hospital's data and terms.

One thread: two collapse on two busy cores. Needs torch (``pip install carna[train]``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.learn.cmr_patients import Labelled
from carna.progress import SILENT, Progress

__all__ = ["Recipe", "draw_lessons", "export", "slices_of", "train"]

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Lessons:
    """One kind of lesson.

    Parameters
    ----------
    draw : str
        ``module:function`` that draws one: ``(random, pixels)`` to `carna.phantom.slices.Lesson`.
    classes : int
        Labels it knows, the background among them.
    turned : bool
        Whether pictures are turned and mirrored while teaching; not where a picture has its own upright.
    """

    draw: str
    classes: int
    turned: bool = True


LESSONS: Mapping[str, Lessons] = MappingProxyType(
    {
        "short axis": Lessons("carna.phantom.slices:lesson", 4),
        "long axis": Lessons("carna.phantom.long_axis:lesson", 6),
        "echo": Lessons("carna.phantom.apical:lesson", 4, turned=False),
        "chambers": Lessons("carna.phantom.chamber_slices:lesson", 8, turned=False),
    }
)
SHARD = 500  # lessons
KEPT = 0.998  # of the running mean of the weights at each step


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights but the labelled patients.

    Parameters
    ----------
    of : str
        What the lessons show: one of `LESSONS`.
    lessons, steps, batch : int
        Pictures drawn, optimiser steps, pictures a step.
    pixels : int
        Side of a picture.
    channels : tuple of int
        See `carna.learn.unet.unet`.
    rate : float
        Largest learning rate; it warms up over 200 steps and falls as a cosine.
    seed : int
    """

    of: str = "short axis"
    lessons: int = 12_000
    steps: int = 18_000
    batch: int = 16
    pixels: int = 128
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    rate: float = 2e-3
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse lessons that nobody draws."""
        if self.of not in LESSONS:
            raise InputError(f"no lessons of {self.of!r}", needed=", ".join(LESSONS))

    @property
    def classes(self) -> int:
        """Labels of these lessons, the background among them."""
        return LESSONS[self.of].classes

    @property
    def name(self) -> str:
        """Eight digits that change with the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


def draw_lessons(recipe: Recipe, folder: Path, progress: Progress = SILENT) -> None:
    """Draw the lessons that are not on disk yet, as ``lessons-NNNN.npz`` of `SHARD` each."""
    module, function = LESSONS[recipe.of].draw.split(":")
    lesson = getattr(import_module(module), function)
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-recipe.lessons // SHARD)
    for shard in range(shards):
        path = folder / f"lessons-{shard:04}.npz"
        progress(shard / shards, "drawing lessons")
        if path.exists():
            continue
        random = np.random.default_rng([recipe.seed, shard])
        drawn = [lesson(random, recipe.pixels) for _ in range(SHARD)]
        pictures = np.stack([np.rint(255 * one.picture).astype(np.uint8) for one in drawn])
        part = path.with_suffix(".part.npz")
        np.savez(part, pictures=pictures, labels=np.stack([one.labels for one in drawn]))
        part.rename(path)


def slices_of(patients: Sequence[Labelled], pixels: int) -> tuple[Pictures, Pictures]:
    """Return the slices of patients as lessons (n, pixels, pixels): pictures 0 to 255, and labels."""
    pictures, labels = [], []
    for one in patients:
        rows, columns = np.nonzero((one.labels > 0).any((0, 1)))
        corner = [int(x.mean()) - pixels // 2 for x in (rows, columns)]
        for frame, outlined in zip(one.frames, one.labels, strict=True):
            for picture, label in zip(frame, outlined, strict=True):
                cut = _cut(np.asarray(picture, np.float32), corner, pixels)
                low, high = np.percentile(cut, (1.0, 99.0))
                scaled = np.clip((cut - low) / max(float(high - low), 1e-6), 0.0, 1.0)
                pictures.append(np.rint(255 * scaled).astype(np.uint8))
                labels.append(_cut(label, corner, pixels).astype(np.uint8))
    return np.stack(pictures), np.stack(labels)


def train(
    recipe: Recipe,
    folder: Path,
    progress: Progress = SILENT,
    *,
    own: tuple[Pictures, Pictures] | None = None,
    begin_with: Path | None = None,
    keep_every: int = 250,
) -> Path:
    """Train on the lessons of a folder; return the file of the weights, ``weights-NAME.pt``.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Holds the lessons; the state is kept there too.
    progress : Progress
    own : (pictures, labels), optional
        Slices of labelled patients (`slices_of`): half of every batch.
    begin_with : Path, optional
        Weights to begin with, where the folder holds no state of this recipe.
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
    taught = _lessons(recipe, folder)
    net = unet(recipe.channels, recipe.classes).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=1e-4)
    keep = torch.optim.swa_utils.get_ema_multi_avg_fn(KEPT)
    weights = folder / f"weights-{recipe.name}.pt"
    begin = 0
    if weights.exists():
        state = torch.load(weights, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        begin = int(state["step"])
    elif begin_with is not None:
        net.load_state_dict(torch.load(begin_with, weights_only=True)["mean"])
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=keep, use_buffers=True)
    if weights.exists():
        mean.module.load_state_dict(state["mean"])
        mean.n_averaged += 1
    for step in range(begin, recipe.steps):
        random = np.random.default_rng([recipe.seed, step])
        x, y = _batch(taught, own, recipe.batch, random, turned=LESSONS[recipe.of].turned)
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, step)
        loss = _step(net, optimiser, torch.from_numpy(x), torch.from_numpy(y))
        mean.update_parameters(net)
        progress((step + 1) / recipe.steps, f"step {step + 1} of {recipe.steps}, loss {loss:.3f}")
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
                file.write(f"{step + 1},{loss:.4f}\n")
    return weights


def export(recipe: Recipe, weights: Path, path: Path, card: dict[str, Any]) -> None:
    """Write weights as ONNX with their card beside them, ``path`` and ``path`` as ``.json``.

    Parameters
    ----------
    recipe : Recipe
    weights : Path
        As `train` returns it.
    path : Path
        Ends in ``.onnx``.
    card : dict
        What the card says besides the recipe: training data, scores, licence.
    """
    import warnings

    import torch

    from carna.learn.unet import unet

    net = unet(recipe.channels, recipe.classes)
    net.load_state_dict(torch.load(weights, weights_only=True)["mean"])
    net.eval()
    example = torch.zeros(2, 1, recipe.pixels, recipe.pixels)
    free = {"pictures": {0: "n"}, "scores": {0: "n"}}
    with warnings.catch_warnings():
        # The newer exporter needs a package of its own for a net of four kinds of layer.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net, (example,), str(path), input_names=["pictures"], output_names=["scores"],
            dynamic_axes=free, dynamo=False,
        )  # fmt: skip
    body = {"side": recipe.pixels, "recipe": asdict(recipe), "recipe_name": recipe.name} | card
    body["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def _lessons(recipe: Recipe, folder: Path) -> tuple[Pictures, Pictures]:
    paths = sorted(folder.glob("lessons-????.npz"))
    if not paths:
        raise InputError(f"no lessons in {folder}", needed="lessons-NNNN.npz", fix="draw them first")
    shards = [np.load(path) for path in paths]
    pictures, labels = (np.concatenate([s[what] for s in shards]) for what in ("pictures", "labels"))
    return pictures[: recipe.lessons], labels[: recipe.lessons]


def _rate(recipe: Recipe, step: int) -> float:
    warm = min(1.0, (step + 1) / 200)
    return recipe.rate * warm * float(0.5 * (1.0 + np.cos(np.pi * step / recipe.steps)))


def _batch(
    taught: tuple[Pictures, Pictures],
    own: tuple[Pictures, Pictures] | None,
    size: int,
    random: np.random.Generator,
    *,
    turned: bool = True,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return pictures (b, 1, n, n) and labels (b, n, n), each turned, mirrored and windowed anew."""
    xs, ys = [], []
    for k in range(size):
        real = own is not None and k % 2 == 0
        pictures, labels = own if real and own is not None else taught
        n = int(random.integers(len(pictures)))
        x, y = pictures[n].astype(np.float32) / 255.0, labels[n]
        if real:
            x, y = _stretched(x, y, random)
        turns, mirrored = int(random.integers(4)) * turned, bool(random.integers(2)) and turned
        x, y = np.rot90(x, turns), np.rot90(y, turns)
        if mirrored:
            x, y = x[:, ::-1], y[:, ::-1]
        x = np.clip(x, 0, 1) ** random.uniform(0.75, 1.35) * random.uniform(0.85, 1.15)
        x = x + random.uniform(0.0, 0.03) * random.standard_normal(x.shape)
        xs.append((x - x.mean()) / (x.std() + 1e-6))
        ys.append(y)
    return np.stack(xs)[:, None].astype(np.float32), np.stack(ys).astype(np.int64)


def _stretched(x: Any, y: Any, random: np.random.Generator) -> tuple[Any, Any]:
    """Return a real slice turned, scaled and sheared a little, picture and labels alike."""
    import cv2

    n = len(x)
    turn, scale = random.uniform(-0.4, 0.4), float(np.exp(random.uniform(-0.25, 0.25)))
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix @ (np.eye(2) + random.normal(0.0, 0.06, (2, 2)))
    shift = (n - 1) / 2.0 - matrix @ np.full(2, (n - 1) / 2.0) + random.normal(0.0, 6.0, 2)
    whole = np.column_stack([matrix, shift])
    return (
        cv2.warpAffine(x, whole, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        cv2.warpAffine(y, whole, (n, n), flags=cv2.INTER_NEAREST),
    )


def _cut(picture: npt.NDArray[Any], corner: Sequence[int], pixels: int) -> npt.NDArray[Any]:
    """Return a square of a picture; what lies beyond its rim is 0."""
    out = np.zeros((pixels, pixels), picture.dtype)
    r0, c0 = corner
    rows, columns = picture.shape
    a, b, c, d = max(r0, 0), min(r0 + pixels, rows), max(c0, 0), min(c0 + pixels, columns)
    out[a - r0 : b - r0, c - c0 : d - c0] = picture[a:b, c:d]
    return out


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
    loss = cross_entropy(scores, y) + (1 - dice).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())
