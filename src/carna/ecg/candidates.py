"""Everything that could be a beat, and seventeen numbers about each.

A maximum of the fused envelope is a *candidate*. On average two or three candidates come on one beat (P,
QRS, T, noise), and almost no beat is without one. What tells them apart is never one threshold: a premature
ventricular beat is broad, a T wave can be taller than the R wave before it, and a burst of muscle noise is
taller than both. So a candidate is described by its size, sharpness and slowness against the beats around
it, by how much it looks like other beats and like other non-beats, by the larger neighbour it may belong
to, and by whether the rhythm has room for it. All numbers are ratios: gain and polarity drop out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carna.ecg.traces import ENVELOPE_S, Bools, Float, Floats, Ints, Trace

NAMES = (
    "size", "size_rel", "sharp_rel", "slow_rel", "like_beats", "like_others", "size_before", "sharp_before",
    "size_after", "sharp_after", "stands_out", "floor", "room", "crowding", "broad_rel", "broad_before",
    "broad_after",
)  # fmt: skip
APART_S = 0.12  # closer maxima belong to one wave
SMALLEST = 0.08  # of a typical beat
SECTION_S = 30.0  # beats are compared with beats of this section and 10 s on either side
ALIKE = 3  # "looks like other beats" is the mean of the best three correlations
BROAD_S = 0.08  # a wide smooth beat has two maxima in the QRS band, its middle lies between
T_WAVE_S = (0.10, 0.42)  # where the T wave after a beat, and the P wave before one, are looked for


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Maxima of the fused envelope.

    Attributes
    ----------
    at : (n,) int64
        Working samples.
    time_s : (n,) float
        The same in seconds.
    size, sharp, slow, broad : (n,) float
        Natural logarithm of the fused envelopes there (``sharp``: its maximum within 50 ms; ``broad``: that
        of the slow one within 80 ms).
    shapes : list of (n, leads * samples) float32
        Unit-norm wave shapes, one array per alignment; the middle one is centred.
    """

    at: Ints
    time_s: Floats
    size: Floats
    sharp: Floats
    slow: Floats
    broad: Floats
    shapes: list[Float]


def candidates(view: Trace) -> Candidates:
    """Find everything that could be a beat."""
    from scipy.signal import find_peaks

    rate, n = view.rate_hz, len(view.envelope)
    peaks, _ = find_peaks(view.envelope, distance=max(1, int(APART_S * rate)), height=SMALLEST)
    margin = round(ENVELOPE_S / 2 * rate)  # half a wave at the very end cannot be told from a step
    at = np.asarray(peaks[(peaks >= margin) & (peaks < n - margin)], np.int64)
    reach = max(1, int(0.05 * rate))
    near = at[:, None] + np.arange(-reach, reach + 1, 2)
    sharp = view.sharp[np.clip(near, 0, n - 1)].max(1)
    reach = max(1, int(BROAD_S * rate))
    near = at[:, None] + np.arange(-reach, reach + 1, 3)
    broad = view.slow[np.clip(near, 0, n - 1)].max(1)
    return Candidates(
        at,
        at / rate,
        _log(view.envelope[at]),
        _log(sharp),
        _log(view.slow[at]),
        _log(broad),
        _shapes(view, at),
    )


def describe(view: Trace, cand: Candidates, picked: Bools) -> Floats:
    """Describe every candidate, given which of them pass for beats so far.

    Parameters
    ----------
    view, cand
        The trace and its candidates.
    picked : (n,) bool
        The current guess: what "the beats around" are.

    Returns
    -------
    (n, 17) float
        Columns as in `NAMES`; logarithmic ratios are cut at +-2.
    """
    beats = np.flatnonzero(picked) if picked.any() else np.array([np.argmax(cand.size)])
    t = cand.time_s

    def relative(v: Floats) -> Floats:
        return np.clip(v - np.interp(t, t[beats], _running_median(v[beats], 15)), -2, 2)

    others = ~picked & (cand.size > np.log(0.12))
    lo, hi = T_WAVE_S
    room, crowding = _rhythm(t, t[beats])
    return np.column_stack(
        [
            cand.size,
            relative(cand.size),
            relative(cand.sharp),
            relative(cand.slow - cand.size),
            _likeness(cand, picked, float(len(view.envelope) / view.rate_hz)),
            _likeness(cand, others, float(len(view.envelope) / view.rate_hz)),
            np.clip(cand.size - _largest(cand.size, t, -hi, -lo), -2, 2),
            np.clip(cand.sharp - _largest(cand.sharp, t, -hi, -lo), -2, 2),
            np.clip(cand.size - _largest(cand.size, t, lo, hi), -2, 2),
            np.clip(cand.sharp - _largest(cand.sharp, t, lo, hi), -2, 2),
            np.minimum(cand.size - _background(view, cand.at), 4),
            view.floor[cand.at],
            room,
            crowding,
            relative(cand.broad),
            np.clip(cand.broad - _largest(cand.broad, t, -hi, -lo - BROAD_S), -2, 2),
            np.clip(cand.broad - _largest(cand.broad, t, lo + BROAD_S, hi), -2, 2),
        ]
    )


def _log(v: Float) -> Floats:
    return np.log(v.astype(np.float64) + 1e-3)


def _running_median(v: Floats, width: int) -> Floats:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(v, min(width, 2 * len(v) - 1), mode="nearest"))


def _shapes(view: Trace, at: Ints) -> list[Float]:
    """Waves of +-90 ms in all leads, in several alignments because envelope maxima jitter."""
    half, slack = round(0.09 * view.rate_hz), round(0.03 * view.rate_hz)
    reach = half + slack
    leads = np.pad(view.qrs / view.level * np.sqrt(view.weight), ((0, 0), (reach, reach)))
    waves = leads[:, at[:, None] + np.arange(2 * reach + 1)].transpose(1, 0, 2)
    shapes = []
    for shift in range(2 * slack + 1):
        wave = waves[:, :, shift : shift + 2 * half + 1].reshape(len(at), len(leads) * (2 * half + 1))
        shapes.append(wave / (np.linalg.norm(wave, axis=1, keepdims=True) + 1e-9))
    return shapes


def _likeness(cand: Candidates, among: Bools, seconds: float) -> Floats:
    """Mean of the best correlations of every candidate with those of ``among`` near it, itself excluded."""
    alike = np.zeros(len(cand.at))
    index = np.flatnonzero(among)
    for start in np.arange(0, seconds, SECTION_S):
        a, b = np.searchsorted(cand.time_s, [start, start + SECTION_S])
        p, q = np.searchsorted(cand.time_s[index], [start - 10, start + SECTION_S + 10])
        near = index[p:q]
        if a == b or len(near) < 2:
            continue
        centred = cand.shapes[len(cand.shapes) // 2][near].T
        best = cand.shapes[0][a:b] @ centred
        for shape in cand.shapes[1:]:
            np.maximum(best, shape[a:b] @ centred, out=best)
        best[np.arange(a, b)[:, None] == near] = -1
        count = min(ALIKE, len(near) - 1)
        alike[a:b] = np.partition(best, len(near) - count, axis=1)[:, len(near) - count :].mean(1)
    return alike


def _largest(v: Floats, t: Floats, after_s: float, before_s: float) -> Floats:
    """Maximum of ``v`` over the candidates between ``t + after_s`` and ``t + before_s``."""
    first, last = np.searchsorted(t, t + after_s, "left"), np.searchsorted(t, t + before_s, "right")
    out = np.full(len(t), -9.0)
    for k in range(int((last - first).max(initial=0))):
        inside = first + k < last
        out[inside] = np.maximum(out[inside], v[(first + k)[inside]])
    return out


def _background(view: Trace, at: Ints) -> Floats:
    """Logarithm of the 45th percentile of the envelope over the 3 s around each candidate."""
    from scipy.ndimage import percentile_filter

    step = max(1, int(view.rate_hz // 25))
    coarse = percentile_filter(view.envelope[::step], 45, size=81)
    return np.asarray(np.log(coarse[np.minimum(at // step, len(coarse) - 1)].astype(np.float64) + 1e-2))


def _rhythm(t: Floats, beats: Floats) -> tuple[Floats, Floats]:
    """Length of the beat-free interval around ``t``, and distance to the nearest beat, in local intervals."""
    rr = np.diff(beats)
    usual = np.interp(t, beats[1:], _running_median(rr, 11)) if len(rr) else np.full(len(t), 0.8)
    before, after = np.searchsorted(beats, t, "left"), np.searchsorted(beats, t, "right")
    last = np.where(before > 0, beats[np.maximum(before - 1, 0)], t - usual)
    following = np.where(after < len(beats), beats[np.minimum(after, len(beats) - 1)], t + usual)
    room = np.clip(np.log((following - last) / usual), -1, 1.2)
    return room, np.minimum(np.minimum(t - last, following - t) / usual, 1)
