"""Wide smooth beats, laid over real recordings: premature ones, runs, and rhythms of nothing else.

No shared set holds a ventricular tachycardia of more than a few beats, and the premature beats of real
recordings have a sharp edge somewhere. A virtual wide QRS is two or three Gaussians of 22 to 48 ms, upright
or inverted or one after the other, with a discordant T wave; P waves and noise are those of the recording.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tests.ecg.recordings import Recording

Floats = NDArray[np.float64]


def shape(rng: np.random.Generator, leads: int) -> tuple[Floats, Floats, Floats]:
    """Centres (s), widths (s) and heights (leads, waves; of a QRS of height 1) of a wide beat's waves."""
    width = rng.uniform(0.022, 0.048)
    apart = rng.uniform(0.8, 2.4) * width
    count = int(rng.integers(2, 4))
    centre = (np.arange(count) - (count - 1) / 2) * apart
    widths = width * rng.uniform(0.8, 1.25, count)
    # in most leads all of one sign, in some the end points the other way
    heights = rng.uniform(0.4, 1.0, (leads, count)) * rng.choice((-1.0, 1.0), (leads, 1))
    heights[rng.uniform(size=leads) < 0.35, -1] *= -rng.uniform(0.3, 1.0)
    t = rng.uniform(0.1, 0.6, (leads, 1)) * -np.sign(heights[:, :1])
    return (
        np.concatenate([centre, [rng.uniform(0.24, 0.34)]]),
        np.concatenate([widths, [rng.uniform(0.04, 0.075)]]),
        np.column_stack([heights, t]),
    )


def add(
    ecg: Floats, rate_hz: float, at_s: Floats, form: tuple[Floats, Floats, Floats], rng: np.random.Generator
) -> None:
    """Add wide beats in place; T comes earlier when they follow each other fast."""
    centres, widths, heights = form
    clock = np.arange(ecg.shape[1]) / rate_hz
    before = np.diff(at_s, prepend=at_s[0] - 0.8)
    for beat, rr in zip(at_s, before, strict=True):
        slow = float(np.sqrt(np.clip(rr, 0.2, 1.0)))
        size = rng.uniform(0.9, 1.1)
        for k in range(len(centres)):
            squeeze = slow if k == len(centres) - 1 else 1.0
            centre, width = beat + centres[k] * squeeze, widths[k] * squeeze
            a, b = np.searchsorted(clock, (centre - 5 * width, centre + 5 * width))
            ecg[:, a:b] += size * heights[:, k : k + 1] * np.exp(-0.5 * ((clock[a:b] - centre) / width) ** 2)


def _height(r: Recording) -> Floats:
    """Usual height of the QRS of every lead, mV (leads, 1)."""
    reach = int(0.05 * r.rate_hz)
    near = r.beats[(r.beats > reach) & (r.beats < r.ecg.shape[1] - reach)]
    waves = r.ecg[:, near[:, None] + np.arange(-reach, reach + 1)]
    return np.asarray(np.median(np.ptp(waves, axis=2), axis=1)[:, None], float)


def _scaled(
    form: tuple[Floats, Floats, Floats], height: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    return form[0], form[1], form[2] * np.maximum(height, 0.1) * rng.uniform(0.5, 2.2)


def premature(r: Recording, rng: np.random.Generator) -> Recording:
    """The same recording with every third to tenth beat replaced by a wide one that comes early."""
    out = r.ecg.astype(float).copy()
    every, early = int(rng.integers(3, 11)), rng.uniform(0.5, 0.95)
    gone = np.arange(1 + int(rng.integers(every)), len(r.beats) - 1, every)
    if not len(gone):
        return r
    _erase(out, r, gone)
    at = r.beats[gone - 1] + early * (r.beats[gone] - r.beats[gone - 1])
    add(out, r.rate_hz, at / r.rate_hz, _scaled(shape(rng, len(out)), _height(r), rng), rng)
    beats = np.sort(np.concatenate([np.delete(r.beats, gone), np.round(at).astype(np.int64)]))
    return replace(r, ecg=out, beats=beats)


def tachycardia(r: Recording, rng: np.random.Generator, bpm: float, whole: bool) -> Recording:
    """The same recording with a run of wide beats in its middle, or with nothing else."""
    out = r.ecg.astype(float).copy()
    n = out.shape[1]
    start, stop = (0.0, float(n)) if whole else np.sort(rng.uniform(0.1, 0.9, 2)) * n
    gone = np.flatnonzero((r.beats >= start) & (r.beats <= stop))
    if not whole and (len(gone) < 2 or len(gone) > len(r.beats) - 3):
        return r
    height = _height(r)
    _erase(out, r, np.arange(len(r.beats)) if whole else gone)
    first, last = (start, stop) if whole else (float(r.beats[gone[0]]), float(r.beats[gone[-1]]))
    count = max(2, int((last - first) / r.rate_hz * bpm / 60))
    rr = 60 / bpm * np.clip(1 + rng.normal(0, 0.02, count), 0.8, 1.2)
    at = first / r.rate_hz + np.cumsum(rr) - rr[0] * rng.uniform(0, 1)
    at = at[(at > 0) & (at < n / r.rate_hz)]
    if not len(at):
        return r
    add(out, r.rate_hz, at, _scaled(shape(rng, len(out)), height, rng), rng)
    kept = np.zeros(0, np.int64) if whole else np.delete(r.beats, gone)
    beats = np.sort(np.concatenate([kept, np.round(at * r.rate_hz).astype(np.int64)]))
    beats = beats[np.concatenate([[True], np.diff(beats) > 0.12 * r.rate_hz])]
    return replace(r, ecg=out, beats=beats)


def _erase(ecg: Floats, r: Recording, gone: NDArray[np.int64]) -> None:
    """Draw a straight line where P, QRS and T of these beats were, in place; noise around stays."""
    n = ecg.shape[1]
    for k in gone:
        rr = r.beats[k] - r.beats[k - 1] if k else r.beats[min(1, len(r.beats) - 1)] - r.beats[0]
        a = max(0, int(r.beats[k] - 0.35 * max(rr, 0.5 * r.rate_hz)))
        after = r.beats[k + 1] if k + 1 < len(r.beats) else n
        b = min(n - 1, int(r.beats[k] + 0.62 * (after - r.beats[k])))
        if b > a + 1:
            texture = ecg[:, a:b] - _smooth(ecg[:, a:b], int(0.03 * r.rate_hz))
            quiet = np.median(np.abs(texture), axis=1, keepdims=True) * 3
            ecg[:, a:b] = np.linspace(ecg[:, a], ecg[:, b], b - a, axis=1) + np.clip(texture, -quiet, quiet)


def _smooth(x: Floats, width: int) -> Floats:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(x, max(1, width), axis=1))
