"""Learn the beat scores: ``python tests/ecg/fit_beats.py DATA`` rewrites ``carna/ecg/beats.npz``.

Learned from LUDB (all leads), MIT-BIH and QTDB (both leads, single and fused), the same with noise of
NSTDB's first half added, 10-20 s cuts of them, virtual wide beats laid over them (`wide`), and that noise
alone. CPSC2019, CPSC2021 and SVDB are never
learned from. With ``--folds`` the weights are learned five times without a fifth of the *persons*, and each
person is scored by the weights that never saw them: the honest figures of `docs/ecg-beats.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import resample_poly

from carna.ecg import beats as module
from carna.ecg.beat_weights import PARTS, Score
from carna.ecg.candidates import NAMES, Candidates, candidates, describe
from carna.ecg.traces import Trace, trace

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.ecg.recordings import Recording, cinc_noise, read_all, table
from tests.ecg.wide import premature, tachycardia

VIRTUAL = 1.0  # how much a strip with wide virtual beats counts, beside other strips of its kind
BLOCKED = 6.0  # the same with blocked P waves: one that passes for a beat hides a block
NOISE = 1.5  # a minute of noise alone
VOTERS = 8  # networks learned from other draws of rows; three still took P waves for beats by chance
UNITS, RIDGE, ROUNDS, ROWS = 6, 1.0, 100, 200_000
Floats = NDArray[np.float64]


@dataclass
class Strip:
    """One training strip: what is seen, what is true, how much it counts, whose it is."""

    person: str
    view: Trace
    cand: Candidates
    truth: Floats
    inside: NDArray[np.bool_]
    weight: float
    picked: NDArray[np.bool_]


def strip(r: Recording, ecg: NDArray[np.floating], weight: float) -> Strip:
    view = trace(ecg, r.rate_hz)
    cand = candidates(view)
    at, tolerance = cand.at * view.step, 0.1 * r.rate_hz
    truth = np.zeros(len(at))
    # a wide beat has two maxima: the second one is no evidence of what is not a beat
    second = np.zeros(len(at), bool)
    for beat in r.beats:
        a, b = np.searchsorted(at, [beat - tolerance, beat + tolerance])
        if b > a:
            truth[a + np.argmin(np.abs(at[a:b] - beat))] = 1
            second[a:b] = True
    inside = (at >= r.start) & (at <= r.stop) & ((truth == 1) | ~second)
    picked = module.first_guess(cand) if len(at) else np.zeros(0, bool)
    return Strip(r.person, view, cand, truth, inside, weight, picked)


def noisy(
    ecg: NDArray[np.floating],
    rate_hz: float,
    noise: dict[str, Floats],
    snr_db: float,
    rng: np.random.Generator,
) -> NDArray[np.floating]:
    """Add NSTDB noise of its first half at an SNR defined by standard deviations."""
    n = ecg.shape[1]
    need = int(n * 360 / rate_hz) + 400
    half = noise[("em", "ma", "bw")[rng.integers(3)]][rng.integers(2)][:325_000]
    start = rng.integers(max(1, len(half) - need))
    piece = np.resize(half[start : start + need], need)
    piece = resample_poly(piece, int(rate_hz), 360)[:n]
    return ecg + (piece - piece.mean()) / piece.std() * ecg.std() / 10 ** (snr_db / 20)


def shrunk(r: Recording, factor: float) -> NDArray[np.floating]:
    """The same recording with QRS waves made smaller, so that P and T waves rival them."""
    out = r.ecg.astype(float).copy()
    reach = int(0.09 * r.rate_hz)
    ramp = np.clip((1 - np.abs(np.linspace(-1, 1, 2 * reach + 1))) * 2.5, 0, 1)
    for beat in r.beats[(r.beats >= reach) & (r.beats < out.shape[1] - reach)]:
        wave = out[:, beat - reach : beat + reach + 1]
        line = np.linspace(wave[:, 0], wave[:, -1], wave.shape[1], axis=1)
        wave += (factor - 1) * ramp * (wave - line)
    return out


def blocked(r: Recording, every: int) -> Recording:
    """The same recording as if every ``every``-th P wave were blocked: its QRS and T become a line."""
    out = r.ecg.astype(float).copy()
    gone = np.arange(1, len(r.beats) - 1, every)
    for k in gone:
        a = int(r.beats[k] - 0.09 * r.rate_hz)
        b = int(r.beats[k] + 0.6 * (r.beats[k + 1] - r.beats[k]))
        if a > 0:
            out[:, a:b] = np.linspace(out[:, a], out[:, b], b - a, axis=1)
    return replace(r, ecg=out, beats=np.delete(r.beats, gone))


def strips(everything: list[Recording], noise: dict[str, Floats], rng: np.random.Generator) -> list[Strip]:
    out = []
    for r in everything:
        if r.set not in ("mitbih", "qtdb", "ludb"):
            continue
        short = r.set == "ludb"
        for lead in range(len(r.ecg)):
            first = 6.0 if short else 1.0
            rest = 0.9 if short else 0.4
            out.append(strip(r, r.ecg[[lead]], first if lead == r.lead else rest))
        out.append(strip(r, r.ecg, 2.0 if short else 0.4))
        out += _changed(r, noise, rng) if short else _cuts(r, noise, rng)
    for kind in noise.values():
        for channel in kind:
            for start in range(0, 325_000, 21_600):
                piece = channel[None, start : start + 21_600]
                r = Recording(
                    "noise", f"noise{start}", f"noise{start}", 360.0, piece, np.zeros(0, int), 0, 1e9, 0
                )
                out.append(strip(r, piece, NOISE))
    return out


def _changed(r: Recording, noise: dict[str, Floats], rng: np.random.Generator) -> Iterator[Strip]:
    """Ten seconds with noise, with blocked P waves, with wide beats, with small QRS."""
    for lead in (1, 0, 6, 7, 10):
        yield strip(r, noisy(r.ecg[[lead]], r.rate_hz, noise, rng.uniform(-2, 12), rng), 1.0)
    for lead in (0, 1, 6):
        part = blocked(r, 2 + lead % 2)
        yield strip(part, part.ecg[[lead]], BLOCKED)
    for every in (2, 3):
        part = blocked(r, every)
        yield strip(part, part.ecg, BLOCKED)
    for part in (premature(r, rng), tachycardia(r, rng, 100 * 3 ** rng.uniform(), bool(rng.integers(2)))):
        for lead in rng.choice(12, 2, replace=False):
            yield strip(part, part.ecg[[lead]], VIRTUAL)
        yield strip(part, part.ecg, VIRTUAL)
    for lead in (1, 6, 10):
        yield strip(r, shrunk(r, rng.uniform(0.15, 0.6))[[lead]], 1.0)


def _cuts(r: Recording, noise: dict[str, Floats], rng: np.random.Generator) -> Iterator[Strip]:
    """Stretches of a long recording, changed in one of the same ways."""
    for n in range(64):
        seconds = 300.0 if n < 4 else rng.uniform(10, 20)
        cut = r.cut(rng, seconds, int(rng.integers(len(r.ecg))))
        if len(cut.beats) < 5 or cut.ecg.std() <= 1e-3:
            continue
        if n % 8 == 1:
            cut = premature(cut, rng)
            dirty = noisy(cut.ecg, r.rate_hz, noise, rng.uniform(6, 30), rng)
        elif n % 8 == 6:
            cut = tachycardia(cut, rng, 100 * 3 ** rng.uniform(), n % 16 == 6)
            dirty = noisy(cut.ecg, r.rate_hz, noise, rng.uniform(10, 30), rng)
        elif n % 8 == 5:
            cut = blocked(cut, 2 + n % 3)
            dirty = cut.ecg
        elif n % 4 == 3:
            dirty = shrunk(cut, rng.uniform(0.15, 0.6))
        else:
            dirty = noisy(cut.ecg, r.rate_hz, noise, rng.uniform(-2 if n < 4 else -6, 12), rng)
        counts = VIRTUAL if n % 8 in (1, 6) else BLOCKED if n % 8 == 5 else 1.0
        yield strip(cut, dirty, 1.0 if n < 4 else 2.0 * counts)


def learn(rows: Floats, truth: Floats, weight: Floats, seed: int) -> Score:
    """Fit a one-layer network by weighted logistic loss (L-BFGS) to rows drawn by the seed."""
    rng = np.random.default_rng(seed)
    # drawn with replacement: without it half of all rows are taken and the weights hardly count
    chosen = rng.choice(len(truth), ROWS, p=weight / weight.sum())
    x, y = rows[chosen], truth[chosen].astype(np.float32)
    mean, sd = x.mean(0), x.std(0) + 1e-6
    z = np.column_stack([np.ones(len(x)), (x - mean) / sd]).astype(np.float32)
    wide, size = z.shape[1], z.shape[1] * UNITS

    def loss(p: Floats) -> tuple[float, Floats]:
        q = p.astype(np.float32)
        inner, outer = q[:size].reshape(wide, UNITS), q[size:-1]
        a = np.tanh(z @ inner)
        s = a @ outer + q[-1]
        g = (1 / (1 + np.exp(-s)) - y) / len(y)
        back = z.T @ (np.outer(g, outer) * (1 - a * a))
        grad = np.concatenate([back.ravel(), a.T @ g, [g.sum()]]).astype(float) + 2e-4 * RIDGE * p
        return float(np.mean(np.logaddexp(0, s) - y * s)) + 1e-4 * RIDGE * float(p @ p), grad

    start = rng.normal(size=size + UNITS + 1) * np.concatenate(
        [np.full(size, wide**-0.5), np.full(UNITS, 0.3), [0]]
    )
    p = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x
    inner = p[:size].reshape(wide, UNITS)
    scaled = inner[1:] / sd[:, None]
    return Score(inner[0] - mean @ scaled, scaled, p[size:-1], float(p[-1]))


def joined(scores: list[Score]) -> Score:
    """The mean of several networks is one network with all their units."""
    return Score(
        np.concatenate([s.offset for s in scores]),
        np.column_stack([s.inner for s in scores]),
        np.concatenate([s.outer for s in scores]) / len(scores),
        float(np.mean([s.bias for s in scores])),
    )


def passes(train: list[Strip], count: int = 2) -> tuple[Score, ...]:
    out = []
    picked = [s.picked for s in train]
    for _ in range(count):
        rows = [
            describe(s.view, s.cand, p) if len(p) else np.zeros((0, len(NAMES)))
            for s, p in zip(train, picked, strict=False)
        ]
        x = np.concatenate([x[s.inside] for x, s in zip(rows, train, strict=False)])
        truth = np.concatenate([s.truth[s.inside] for s in train])
        weight = np.concatenate([np.full(s.inside.sum(), s.weight) for s in train])
        score = joined([learn(x, truth, weight, seed) for seed in range(VOTERS)])
        out.append(score)
        picked = [
            module.best_sequence(
                s.cand, np.clip(score(x) - module.THRESHOLD, -12, 12), module.usual_interval(s.cand, p)
            )
            if len(x)
            else p
            for s, x, p in zip(train, rows, picked, strict=False)
        ]
    return tuple(out)


def written(scores: tuple[Score, ...]) -> dict[str, Floats]:
    """The scores as named arrays."""
    return {f"{k}.{part}": np.asarray(getattr(s, part)) for k, s in enumerate(scores) for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", action="store_true")
    options = parser.parse_args()
    everything = list(read_all(options.data))
    train = strips(everything, cinc_noise(options.data), np.random.default_rng(2))
    print(len(train), "strips")
    if options.folds:
        people = sorted({s.person for s in train} | {r.person for r in everything})
        fold = dict(zip(people, np.random.default_rng(0).permutation(len(people)) % 5, strict=False))
        found = {}
        for k in range(5):
            scores = passes([s for s in train if fold[s.person] != k])
            for r in everything:
                if fold[r.person] == k:
                    found[r.name] = module.find_beats(r.ecg[[r.lead]], r.rate_hz, scores=scores).sample
        print(table(everything, found))
        late = [replace(r, start=300 * r.rate_hz) for r in everything if r.set == "mitbih"]
        print("MIT-BIH after five minutes, as EC57 counts:")
        print(table(late, found))
        return
    np.savez_compressed(Path(module.__file__).with_name("beats.npz"), **written(passes(train)))


if __name__ == "__main__":
    main()
