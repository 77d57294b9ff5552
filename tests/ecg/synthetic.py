"""An electrocardiogram from Gaussian waves at known times: simple, and exactly true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (centre relative to R in s, amplitude in mV, width in s); T follows the rate
P, Q, R, S, T = (
    (-0.16, 0.12, 0.022),
    (-0.028, -0.12, 0.009),
    (0, 1.1, 0.011),
    (0.03, -0.25, 0.011),
    (0.27, 0.3, 0.045),
)
WIDE = ((0.0, 1.4, 0.035), (0.06, -0.6, 0.03), (0.3, -0.4, 0.06))  # a ventricular beat


def regular(bpm: float, seconds: float, start: float = 0.4) -> NDArray[np.float64]:
    """R times of a steady rhythm."""
    return np.arange(start, seconds - 0.2, 60 / bpm)


def lead(
    beats: NDArray[np.float64], seconds: float, rate_hz: float, wide: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """One lead, mV, with the waves shrinking in time as the rate grows."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    out = np.zeros(len(t))
    before = np.diff(beats, prepend=2 * beats[0] - beats[1] if len(beats) > 1 else -0.5)
    for k, (beat, rr) in enumerate(zip(beats, before, strict=True)):
        squeeze = min(1.0, float(np.sqrt(rr / 0.9)))
        waves = WIDE if wide is not None and wide[k] else (P, Q, R, S, T)
        for centre, height, width in waves:
            slow = abs(centre) > 0.1
            at, w = (centre * squeeze, width * squeeze) if slow else (centre, width)
            a, b = np.searchsorted(t, [beat + at - 5 * w, beat + at + 5 * w])
            out[a:b] += height * np.exp(-0.5 * ((t[a:b] - beat - at) / w) ** 2)
    return out


def twelve(one: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Twelve leads as scaled copies, some inverted, with independent noise of 0.02 mV."""
    gain = np.array([0.5, 1.0, 0.5, -0.75, 0.2, 0.75, -0.6, -0.3, 0.4, 0.9, 1.1, 0.9])
    return gain[:, None] * one + rng.normal(0, 0.02, (12, len(one)))
