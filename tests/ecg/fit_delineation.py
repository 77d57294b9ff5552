"""Learn the boundaries: ``python tests/ecg/fit_delineation.py DATA`` rewrites ``carna/ecg/delineate.npz``.

Learned from LUDB, every lead. Each epoch sees every recording once, in one to twelve leads, with beats moved
by up to 24 ms and, by chance: time stretched by up to 20 %, polarity turned, gain changed, noise of the first
half of NSTDB, white noise and hum added, blunted; in 8 % of the sinus recordings P waves are cut out and
fibrillatory waves put in. QTDB is never learned from.

With ``--folds`` the networks are learned five times without a fifth of the people:
``carna/learn/ecg_waves_folds.npz``, by which `carna evaluate ecg-waves` reads people that the weights never
saw. ``--fold K --into FOLDER`` learns one of the five, to spread the work; ``--folds --into FOLDER`` puts
them together. Needs torch, which nothing else here does. One core: 5 to 10 minutes, with folds five times as
long.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import resample_poly
from torch import Tensor, nn
from torch.nn import functional as F

from carna.ecg import delineate_weights as shipped
from carna.ecg import find_beats
from carna.ecg.delineate import NARROW, RATE_HZ, WIDE, prepared, windows
from carna.learn import ecg_waves
from carna.learn.ecg_waves import Marked, ludb

Floats = NDArray[np.float64]
Float = NDArray[np.float32]
Ints = NDArray[np.int64]
EPOCHS, BATCH, RATE, DECAY, AVERAGED = 80, 128, 3e-3, 1e-2, 0.998
MEAN_WEIGHT = 0.6  # of the error of the mean place beside that of the distribution
BLUR = {"wide": 1.5, "narrow": 2.0}  # samples
WIDE_ROWS, NARROW_ROWS = [0, 1, 2, 6, 7, 8], [3, 4, 5]


@dataclass
class Strip:
    """A recording at 250 Hz, its beats, and the truth of every beat in every lead."""

    person: str
    leads: Float
    beats: Floats
    at: Floats  # (leads, beats, 9), samples at 250 Hz, NaN where there is none
    there: Ints  # (leads, beats, 3): P, QRS, T is 1 there, 0 not there, -1 unknown


def strip(m: Marked) -> Strip:
    """Give every mark to a beat."""
    beats = find_beats(m.ecg, m.rate_hz).sample / m.rate_hz
    at, there = np.full((len(m.ecg), len(beats), 9), np.nan), np.full((len(m.ecg), len(beats), 3), -1)
    for lead in range(len(m.ecg)):
        p, qrs, t = (_whole(m, wave, lead) for wave in ("p", "qrs", "t"))
        if not len(qrs):
            continue
        for b, r in enumerate(beats):
            k = int(np.argmin(np.abs(qrs[:, [0, 2]].mean(1) - r)))
            if not qrs[k, 0] - 0.08 <= r <= qrs[k, 2] + 0.08:
                continue
            at[lead, b, 3:6], there[lead, b, 1] = qrs[k], 1
            onset = qrs[k, 0]
            before = qrs[k - 1, 2] if k else -9.0
            after = qrs[k + 1, 0] if k + 1 < len(qrs) else 99.0
            mine = p[(p[:, 2] <= onset + 0.03) & (p[:, 0] > max(onset - 0.46, before - 0.02))]
            if len(mine):
                at[lead, b, :3], there[lead, b, 0] = mine[-1], 1
            elif m.span[lead, 0] < onset - 0.25:
                there[lead, b, 0] = 0
            mine = t[(t[:, 0] >= onset) & (t[:, 0] < after) & (t[:, 2] < onset + 0.76)]
            if len(mine):
                at[lead, b, 6:], there[lead, b, 2] = mine[0], 1
            elif m.span[lead, 1] > onset + 0.5:
                there[lead, b, 2] = 0
    return Strip(m.person, prepared(m.ecg, m.rate_hz)[0], beats * RATE_HZ, at * RATE_HZ, there)


def _whole(m: Marked, wave: str, lead: int) -> Floats:
    """Onset, peak and offset of the waves of which both ends are marked, seconds; (n, 3)."""
    on, peak, off = (m.at[f"{wave}_{edge}"][lead] for edge in ("on", "peak", "off"))
    rows = []
    for a in on:
        z = off[off > a]
        inside = peak[(peak >= a) & (peak <= z[0])] if len(z) else peak[:0]
        if len(inside):
            rows.append((a, inside[0], z[0]))
    return np.array(rows).reshape(-1, 3)


def noises(data: Path) -> dict[str, Float]:
    """The first half of NSTDB at 250 Hz."""
    with h5py.File(data / "nstdb/nstdb.h5") as file:
        return {
            k: resample_poly(np.asarray(file[k]).T[:, :325_000], 25, 36, axis=1).astype(np.float32)
            for k in ("em", "ma", "bw")
        }


def fibrillatory(rng: np.random.Generator, n: int) -> Floats:
    """Waves of 4.5 to 9 Hz whose rate and height wander."""
    t = np.arange(n) / RATE_HZ

    def wander(low: float, high: float) -> Floats:
        return np.asarray(np.sin(2 * np.pi * rng.uniform(low, high) * t + rng.uniform(0, 6.28)))

    phase = 2 * np.pi * np.cumsum(rng.uniform(4.5, 9) + rng.uniform(0.2, 1) * wander(0.05, 0.4)) / RATE_HZ
    saw = sum(
        rng.uniform(0.2, 1) * k * np.sin(h * phase + rng.uniform(0, 6.28))
        for h, k in ((1, 1), (2, 0.5), (3, 0.2))
    )
    return np.asarray(saw * (1 + 0.4 * wander(0.1, 0.8)))


def without_p(s: Strip, rng: np.random.Generator) -> tuple[Float, Ints]:
    """Cut the P waves out and put fibrillatory waves over everything."""
    leads, there = s.leads.copy(), s.there.copy()
    for b in np.flatnonzero((s.there[:, :, 0] == 1).any(0)):
        low = int(np.nanmin(s.at[:, b, 0]) - 3)
        high = int(np.ceil(min(np.nanmax(s.at[:, b, 2]) + 3, np.nanmin(s.at[:, b, 3]) - 1)))
        if low < 1 or high >= leads.shape[1] - 1 or high <= low:
            continue
        rise = leads[:, high : high + 1] - leads[:, low - 1 : low]
        leads[:, low:high] = leads[:, low - 1 : low] + rise * np.linspace(0, 1, high - low)
        there[:, b, 0] = np.minimum(there[:, b, 0], 0)
    height = rng.choice([0.0, 0.02, 0.04, 0.07])
    for size in (1.0, 0.5):
        leads += height * size * rng.normal(size=(len(leads), 1)) * fibrillatory(rng, leads.shape[1])
    return leads, there


def disturbed(leads: Float, noise: dict[str, Float], rng: np.random.Generator) -> Float:
    """Add what recordings suffer from."""
    n, out = leads.shape[1], leads.copy()
    if rng.random() < 0.6:
        kind = ("em", "ma", "bw", "ma")[rng.integers(4)]
        for k in range(len(out)):
            start = rng.integers(noise[kind].shape[1] - n)
            piece = noise[kind][rng.integers(2), start : start + n]
            size = rng.choice([0.01, 0.02, 0.04, 0.08]) * rng.uniform(0.5, 1.5) * (3 if kind == "bw" else 1)
            out[k] += (piece - piece.mean()) / (piece.std() + 1e-6) * size
    if rng.random() < 0.25:
        hz = (50, 60)[rng.integers(2)]
        out += rng.uniform(0, 0.06) * np.sin(2 * np.pi * hz * np.arange(n) / RATE_HZ + rng.uniform(0, 6.28))
    if rng.random() < 0.3:
        out += rng.normal(0, rng.uniform(0, 0.03), out.shape)
    if rng.random() < 0.3:
        out = gaussian_filter1d(out, rng.uniform(0.5, 1.5), axis=1)
    return out * np.exp(rng.normal(0, 0.2))


def seen(s: Strip, noise: dict[str, Float], rng: np.random.Generator) -> tuple[NDArray[np.floating], ...]:
    """Windows of one recording as it may look, with places and presence: the training material."""
    chosen = rng.permutation(len(s.leads))[: rng.choice([1, 2, 3, 12], p=[0.2, 0.1, 0.1, 0.6])]
    stretch = float(np.exp(rng.uniform(-0.18, 0.18))) if rng.random() < 0.5 else 1.0
    fibrillates = rng.random() < 0.08 and (s.there[:, :, 0] == 1).mean() > 0.5
    leads, there = without_p(s, rng) if fibrillates else (s.leads, s.there)
    leads = leads[chosen]
    if stretch != 1:
        t = np.arange(int(leads.shape[1] * stretch)) / stretch
        low = np.minimum(t.astype(int), leads.shape[1] - 2)
        part = (t - low).astype(np.float32)
        leads = leads[:, low] * (1 - part) + leads[:, low + 1] * part
    turn = np.where(rng.random(len(chosen)) < 0.25, -1, 1)[:, None]
    leads = (disturbed(leads, noise, rng) * turn).astype(np.float32)
    beats = s.beats * stretch + rng.integers(-4, 5) + rng.integers(-2, 3, len(s.beats))
    beats = np.clip(np.round(beats), 0, leads.shape[1] - 1).astype(np.int64)
    wide, narrow = windows(leads, beats, 0, len(beats))
    if fibrillates:
        wide[..., 7] = rng.uniform(0.1, 1)  # fibrillation is irregular
    at = s.at[chosen] * stretch
    slow = (at[:, :, WIDE_ROWS] - 2 * (beats // 2)[:, None]) / 2 + WIDE[0]
    fast = at[:, :, NARROW_ROWS] - beats[:, None] + NARROW[0]
    return tuple(v.reshape(-1, *v.shape[2:]) for v in (wide, narrow, slow, fast, there[chosen]))


class Net(nn.Module):
    """The network of `carna.ecg.delineate_weights`, to be learned."""

    def __init__(self, channels: int, down: tuple[int, ...], up: tuple[int, ...], heads: int) -> None:
        super().__init__()
        taps = (7,) + (5,) * (len(down) - 1)
        ins = (channels, *down[:-1])
        self.down = nn.ModuleList(
            nn.Conv1d(i, o, k, padding=k // 2) for i, o, k in zip(ins, down, taps, strict=True)
        )
        ins = tuple(a + b for a, b in zip((down[-1], *up[:-1]), down[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Conv1d(i, o, 3, padding=1) for i, o in zip(ins, up, strict=True))
        self.places = nn.Conv1d(up[-1], heads, 3, padding=1)
        self.waves = nn.ModuleList([nn.Linear(2 * down[-1], 16), nn.Linear(16, 2)])
        self.drop, self.drop_more = nn.Dropout(0.15), nn.Dropout(0.4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = []
        for k, layer in enumerate(self.down):
            x = F.relu(layer(F.avg_pool1d(x, 2) if k else x))
            kept.append(x)
        bottom = self.drop_more(torch.cat([x.mean(2), x.amax(2)], 1))
        x = self.drop(x)
        for layer, beside in zip(self.up, kept[-2::-1], strict=True):
            x = F.relu(layer(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), beside], 1)))
        return self.places(x), self.waves[1](F.relu(self.waves[0](bottom)))

    def arrays(self, name: str) -> dict[str, NDArray[np.float16]]:
        """Weights in half precision, in the order and the shapes of `delineate_weights.from_arrays`."""
        out = {}
        for part, layers in (
            ("down", self.down),
            ("up", self.up),
            ("places", [self.places]),
            ("waves", self.waves),
        ):
            for k, layer in enumerate(layers):
                w = layer.weight.detach().numpy()
                w = w.T if w.ndim == 2 else w.transpose(2, 1, 0).reshape(-1, len(w))
                out[f"{name}.{part}.{k}.weight"] = w.astype(np.float16)
                out[f"{name}.{part}.{k}.bias"] = layer.bias.detach().numpy().astype(np.float16)
        return out


def loss(logits: Tensor, place: Tensor, mask: Tensor, blur: float) -> Tensor:
    """Cross-entropy with the place blurred, and a robust error of the mean place."""
    t = torch.arange(logits.shape[2], dtype=torch.float32)
    target = torch.exp(-0.5 * ((t - place[..., None]) / blur) ** 2)
    target = target / target.sum(2, keepdim=True).clamp_min(1e-6)
    log = F.log_softmax(logits, 2)
    off = F.smooth_l1_loss((log.exp() * t).sum(2), place, reduction="none", beta=3.0).clamp(max=20)
    return ((-(target * log).sum(2) + MEAN_WEIGHT * off) * mask).sum() / mask.sum().clamp_min(1)


def fit(
    strips: list[Strip], noise: dict[str, Float], seed: int, epochs: int = EPOCHS
) -> dict[str, NDArray[np.float16]]:
    """Learn both networks; the weights returned are running averages of those on the way."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 7)
    wide = Net(8, (16, 24, 32, 40, 40), (32, 24, 16, 8), 6)
    narrow = Net(6, (16, 24, 32, 32), (24, 16, 8), 3)
    weights = [*wide.parameters(), *narrow.parameters()]
    averages = [w.detach().clone() for w in weights]
    descent = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY)
    step = 0
    for epoch in range(epochs):
        columns = [np.concatenate(c) for c in zip(*(seen(s, noise, rng) for s in strips), strict=True)]
        order = rng.permutation(len(columns[0]))
        batches = [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
        for b, batch in enumerate(batches):
            done = (epoch + b / len(batches)) / epochs
            for group in descent.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * done))
            total = _batch_loss(
                wide, narrow, [torch.from_numpy(c[batch].astype(np.float32)) for c in columns]
            )
            descent.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(weights, 2.0)
            descent.step()
            step += 1
            for average, w in zip(averages, weights, strict=True):
                average.lerp_(w.detach(), 1 - min(AVERAGED, (1 + step) / (10 + step)))
    with torch.no_grad():
        for average, w in zip(averages, weights, strict=True):
            w.copy_(average)
    return wide.arrays("wide") | narrow.arrays("narrow")


def _batch_loss(wide: Net, narrow: Net, batch: list[Tensor]) -> Tensor:
    x_wide, x_narrow, slow, fast, there = batch
    places, waves = wide(x_wide.transpose(1, 2))
    mask = ((slow >= 0) & (slow < sum(WIDE))).float()
    mask[:, :3] *= (there[:, :1] == 1).float()
    total = loss(places, slow.nan_to_num(-99), mask, BLUR["wide"])
    mask = ((fast >= 0) & (fast < sum(NARROW))).float()
    total = total + loss(narrow(x_narrow.transpose(1, 2))[0], fast.nan_to_num(-99), mask, BLUR["narrow"])
    known = (there[:, [0, 2]] >= 0).float()
    doubt = F.binary_cross_entropy_with_logits(waves, there[:, [0, 2]].clamp(0.02, 0.98), reduction="none")
    return total + (doubt * known).sum() / known.sum().clamp_min(1)


def folds(marked: list[Marked]) -> Ints:
    """The fold of each person, the same every time."""
    fold = np.empty(len(marked), np.int64)
    fold[np.random.default_rng(0).permutation(len(marked))] = np.arange(len(marked)) % 5
    return fold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    marked = list(ludb(options.data / "ludb/data"))
    strips, noise, fold = [strip(m) for m in marked], noises(options.data), folds(marked)

    def learned(k: int) -> dict[str, NDArray[np.float16]]:
        kept = None if options.into is None else options.into / f"{k}.npz"
        if kept is not None and kept.exists():
            return dict(np.load(kept))
        arrays = fit([s for s, f in zip(strips, fold, strict=True) if f != k], noise, 100 * k, options.epochs)
        if kept is not None:
            np.savez_compressed(kept, **arrays)
        return arrays

    if options.fold is not None:
        learned(options.fold)
    elif options.folds:
        table = {f"{k}.{name}": w for k in range(5) for name, w in learned(k).items()}
        path = Path(ecg_waves.__file__).with_name("ecg_waves_folds.npz")
        np.savez_compressed(path, people=[m.person for m in marked], fold=fold, **table)
    else:
        path = Path(shipped.__file__).with_name("delineate.npz")
        np.savez_compressed(path, **fit(strips, noise, 0, options.epochs))


if __name__ == "__main__":
    main()
