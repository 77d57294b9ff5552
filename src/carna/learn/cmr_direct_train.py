"""Teach a network to measure a short-axis slice without outlining it: from virtual hearts alone.

Lessons (`carna.learn.cmr_train.draw_lessons`) are measured by `carna.image.ventricles.indices`; the network
sees a picture and twelve numbers, and never an outline. Its areas are sums over the picture of a share that
it gives to each patch of eight pixels, so that an area is where it is, wherever that be.

Needs torch. One thread.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.ventricles.indices import INDICES, indices
from carna.progress import SILENT, Progress

__all__ = ["Recipe", "export", "held_out", "net_of", "train"]

Floats = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]

KEPT = 0.998  # of the running mean of the weights at each step
HELD_OUT = 2  # shards of lessons never taught with
_FEW = 12.0  # pixels of left heart below which a slice has none
_PATCH = 64.0  # pixels that each place of the coarse map stands for


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights but the lessons.

    Parameters
    ----------
    steps, batch : int
    channels : tuple of int
        Feature maps at a half, a quarter, an eighth and a sixteenth of the picture's pixels.
    rate : float
        Largest learning rate; it warms up over 200 steps and falls as a cosine.
    seed : int
    pixels : int
        Side of a picture.
    """

    steps: int = 6_000
    batch: int = 32
    channels: tuple[int, ...] = (20, 40, 72, 128)
    rate: float = 2e-3
    seed: int = 1
    pixels: int = 128

    @property
    def name(self) -> str:
        """Eight digits that change with the recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


def net_of(channels: tuple[int, ...]) -> Any:
    """Return the network as a torch module: (b, 1, n, n) pictures to (b, 13) numbers.

    The numbers are those of `INDICES` in pixels, and the logit of a left ventricle being there.
    """
    import torch
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> Any:
        layers: list[Any] = []
        for first, step in ((inputs, stride), (outputs, 1)):
            layers += [nn.Conv2d(first, outputs, 3, step, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.01, inplace=True)]
        return nn.Sequential(*layers)

    class Direct(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(block(a, b, 2) for a, b in pairwise((1, *channels)))
            fine, coarse = channels[-2:]
            self.join = block(fine + coarse, fine, 1)
            self.share = nn.Conv2d(fine, 3, 1)
            nn.init.constant_(self.share.bias, -3.0)
            self.hidden = nn.Linear(3 * fine + 3, 96)
            self.last = nn.Linear(96, 10)

        def forward(self, x: Any) -> Any:
            kept = [x]
            for down in self.down:
                kept.append(down(kept[-1]))
            wide = nn.functional.interpolate(kept[-1], scale_factor=2.0, mode="nearest")
            x = self.join(torch.cat([kept[-2], wide], 1)).float()
            share = torch.sigmoid(self.share(x))  # (b, 3, n, n)
            area = _PATCH * share.sum((2, 3))
            weight = share / (share.sum((2, 3), keepdim=True) + 0.5)
            # What the three places show: the mean features where each is.
            looks = (weight[:, :, None] * x[:, None]).sum((3, 4)).flatten(1)
            size = torch.sqrt(area + 1.0) / 20.0
            rest = self.last(nn.functional.leaky_relu(self.hidden(torch.cat([looks, size], 1)), 0.01))
            across = 20.0 * nn.functional.softplus(rest[:, :3])
            wall = 8.0 * nn.functional.softplus(rest[:, 3:9])
            return torch.cat([area, across, wall, rest[:, 9:]], 1)

    return Direct()


def train(recipe: Recipe, folder: Path, progress: Progress = SILENT, *, keep_every: int = 250) -> Path:
    """Train on the lessons of a folder; return the file of the weights, ``direct-NAME.pt``.

    Raises
    ------
    InputError
        The folder holds no lessons.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    pictures, measured = _lessons(folder, slice(None, -HELD_OUT))
    net = net_of(recipe.channels).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=1e-4)
    keep = torch.optim.swa_utils.get_ema_multi_avg_fn(KEPT)
    weights = folder / f"direct-{recipe.name}.pt"
    begin = 0
    state: dict[str, Any] = {}
    if weights.exists():
        state = torch.load(weights, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        begin = int(state["step"])
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=keep, use_buffers=True)
    if state:
        mean.module.load_state_dict(state["mean"])
        mean.n_averaged += 1
    for step in range(begin, recipe.steps):
        random = np.random.default_rng([recipe.seed, step])
        x, y = _batch(pictures, measured, recipe.batch, random)
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 200)
            group["lr"] = recipe.rate * warm * float(0.5 * (1.0 + np.cos(np.pi * step / recipe.steps)))
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
            with (folder / f"direct-{recipe.name}.csv").open("a") as file:
                file.write(f"{step + 1},{loss:.4f}\n")
    return weights


def export(recipe: Recipe, weights: Path, path: Path, card: dict[str, Any]) -> None:
    """Write weights as ONNX with their card beside them, ``path`` and ``path`` as ``.json``."""
    import warnings

    import torch

    net = net_of(recipe.channels)
    net.load_state_dict(torch.load(weights, weights_only=True)["mean"])
    net.eval()
    example = torch.zeros(2, 1, recipe.pixels, recipe.pixels)
    free = {"pictures": {0: "n"}, "numbers": {0: "n"}}
    with warnings.catch_warnings():
        # The newer exporter needs a package of its own for a net of four kinds of layer.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net, (example,), str(path), input_names=["pictures"], output_names=["numbers"],
            dynamic_axes=free, dynamo=False,
        )  # fmt: skip
    many = sum(p.numel() for p in net.parameters())
    body = {"side": recipe.pixels, "recipe": asdict(recipe), "recipe_name": recipe.name, "parameters": many}
    body |= {"gives": [*INDICES, "logit of a left ventricle"]} | card
    body["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def held_out(folder: Path) -> tuple[Pictures, Floats]:
    """Return the pictures (n, r, c) and measures (n, 12) of the lessons that taught nothing."""
    return _lessons(folder, slice(-HELD_OUT, None))


def _lessons(folder: Path, which: slice) -> tuple[Pictures, Floats]:
    """Return pictures and measures of shards; what was measured is kept beside them."""
    paths = sorted(folder.glob("lessons-????.npz"))[which]
    if not paths:
        raise InputError(f"no lessons in {folder}", needed="lessons-NNNN.npz", fix="draw them first")
    pictures, measured = [], []
    for path in paths:
        with np.load(path) as shard:
            pictures.append(shard["pictures"])
            kept = path.with_name(path.name.replace("lessons", "measured")).with_suffix(".npy")
            if not kept.exists():
                np.save(kept, np.array([indices(one) for one in shard["labels"]], np.float32))
            measured.append(np.load(kept))
    return np.concatenate(pictures), np.concatenate(measured)


def _batch(
    pictures: Pictures, measured: Floats, size: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return pictures (b, 1, n, n) and measures (b, 12), turned, mirrored, scaled, windowed anew."""
    import cv2

    xs, ys = [], []
    for _ in range(size):
        n = int(random.integers(len(pictures)))
        x, y = pictures[n].astype(np.float32) / 255.0, measured[n].copy()
        scale = float(np.exp(random.uniform(-0.2, 0.2))) if random.random() < 0.5 else 1.0
        x = np.rot90(x, int(random.integers(4)))
        if random.integers(2):
            x = x[:, ::-1]
            y[3:6], y[6:] = y[3:6][::-1], y[6:][::-1]
        half = (len(x) - 1) / 2.0
        shift = half - scale * half
        matrix = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
        if scale != 1.0:
            x = cv2.warpAffine(np.ascontiguousarray(x), matrix, x.shape, borderMode=cv2.BORDER_REFLECT)
            y[:3] *= scale**2
            y[3:] *= scale
        x = np.clip(x, 0, 1) ** random.uniform(0.75, 1.35) * random.uniform(0.85, 1.15)
        x = x + random.uniform(0.0, 0.03) * random.standard_normal(x.shape, dtype=np.float32)
        xs.append((x - x.mean()) / (x.std() + 1e-6))
        ys.append(y)
    return np.stack(xs)[:, None].astype(np.float32), np.stack(ys).astype(np.float32)


def _step(net: Any, optimiser: Any, x: Any, y: Any) -> float:
    """Take one step down the error of areas (by their size), lengths and presence; return the loss."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        said = net(x.contiguous(memory_format=torch.channels_last))
    said = said.float()
    areas = smooth_l1_loss((said[:, :3] + 30).sqrt(), (y[:, :3] + 30).sqrt(), beta=0.5)
    known = torch.isfinite(y[:, 3:])
    lengths = smooth_l1_loss(said[:, 3:12][known], y[:, 3:][known], beta=0.5)
    there = (y[:, 0] >= _FEW).float()
    loss = areas + 0.5 * lengths + 0.5 * binary_cross_entropy_with_logits(said[:, 12], there)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())
