"""Local activation times from electrograms: window, reference and one named rule.

Rules (a rule is part of the result: times of two rules are not comparable):

``steepest_descent``  unipolar: the most negative dV/dt, where the front passes under the electrode
                      (Spach 1979, doi:10.1161/01.RES.45.2.188)
``peak``              bipolar: the largest absolute value
``onset``             bipolar: going back from the peak, the last time below a fifth of it
``energy``            centroid of the Teager-Kaiser energy around its maximum: least hurt by noise, and the
                      middle of a fractionated electrogram rather than one of its spikes

An electrogram that cannot be annotated gets no time but a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LOW_SNR_DB = 6.0
ONSET = 0.2
ENERGY_MS = 6.0
SMOOTHED_HZ = 250.0
REASONS = ("", "flat or lost", "amplitude too low", "too noisy", "at the edge of the window", "saturated")


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Local activation times.

    Attributes
    ----------
    lat_ms : (n,) float
        After the reference; NaN where there is none.
    reason : (n,) int
        Why there is none: index into `REASONS`; 0 where there is a time.
    amplitude_mv : (n,) float
        Peak to peak inside the window.
    snr_db : (n,) float
        20 log10 of the peak to peak inside the window over six standard deviations outside it.
    rule : str
    """

    lat_ms: Floats
    reason: npt.NDArray[np.int8]
    amplitude_mv: Floats
    snr_db: Floats
    rule: str


def annotate(
    electrograms_mv: Floats,
    rate_hz: float,
    *,
    reference_ms: float,
    window_ms: tuple[float, float],
    rule: str,
    least_mv: float = 0.05,
    least_snr_db: float = LOW_SNR_DB,
) -> Annotation:
    """Find the local activation time of each electrogram in one beat.

    Parameters
    ----------
    electrograms_mv : (n, samples) float
        Unipolar or bipolar, mV, as the rule asks.
    rate_hz : float
        At least 500.
    reference_ms : float
        Time of the reference beat from the first sample, e.g. of `reference_time`.
    window_ms : (from, to)
        Window of interest around the reference, ms.
    rule : str
        One of the names on the first page.
    least_mv, least_snr_db : float
        Below these there is no time.

    Returns
    -------
    Annotation
    """
    signals = np.asarray(electrograms_mv, float)
    if rule not in RULES:
        raise InputError(f"the rule {rule!r}", needed=f"one of {', '.join(RULES)}")
    if signals.ndim != 2 or rate_hz < 500:
        raise InputError(
            f"electrograms of shape {signals.shape} at {rate_hz:g} Hz", needed="(n, samples), 500 Hz or more"
        )
    begin, end = (round((reference_ms + edge) * rate_hz / 1000) for edge in window_ms)
    if not 0 <= begin < end - 8 or end > signals.shape[1]:
        raise InputError(
            f"a window from {begin} to {end} in {signals.shape[1]} samples",
            needed="a window inside the recording, longer than eight samples",
        )
    lost = ~np.isfinite(signals).all(axis=1) | (np.ptp(np.nan_to_num(signals), axis=1) == 0)
    clean = _smooth(np.where(lost[:, None], 0.0, signals), rate_hz)
    inside = clean[:, begin:end]
    amplitude = np.ptp(inside, axis=1)
    rest = np.delete(clean, np.s_[begin:end], axis=1)
    # Half the spread between the 16th and the 84th percentile: other beats outside the window are no noise.
    noise = (
        np.subtract(*np.percentile(rest, [84, 16], axis=1)) / 2
        if rest.shape[1] >= 50
        else np.zeros(len(clean))
    )
    snr = 20 * np.log10(np.maximum(amplitude, 1e-12) / np.maximum(6 * noise, 1e-9))
    at = RULES[rule](inside, rate_hz)
    reason = np.zeros(len(signals), np.int8)
    edge = 0.001 * rate_hz
    reason[(at < edge) | (at > end - begin - 1 - edge)] = 4
    reason[snr < least_snr_db] = 3
    reason[amplitude < least_mv] = 2
    reason[_saturated(signals[:, begin:end]) & ~lost] = 5
    reason[lost] = 1
    lat = (begin + at) * 1000 / rate_hz - reference_ms
    return Annotation(np.where(reason == 0, lat, np.nan), reason, amplitude, snr, rule)


def reference_time(reference_mv: Floats, rate_hz: float, near_ms: float, within_ms: float = 100.0) -> float:
    """Return the time (ms) of the steepest point of a reference channel nearest to an expected time."""
    at = np.arange(len(reference_mv)) * 1000 / rate_hz
    chosen = np.flatnonzero(np.abs(at - near_ms) <= within_ms)
    if len(chosen) < 8:
        raise InputError(
            f"a reference near {near_ms:g} ms in {at[-1]:g} ms", needed="a time in the recording"
        )
    smooth = _smooth(np.asarray(reference_mv, float)[None, chosen], rate_hz)
    slope = np.abs(np.gradient(smooth, axis=1))
    return float((chosen[0] + _parabola(slope)[0]) * 1000 / rate_hz)


def bipoles(unipolar_mv: Floats, pairs: npt.ArrayLike) -> Floats:
    """Return bipolar electrograms (m, samples) of electrode pairs (m, 2): first minus second."""
    first, second = np.asarray(pairs, int).reshape(-1, 2).T
    return np.asarray(unipolar_mv[first] - unipolar_mv[second])


def _smooth(signals: Floats, rate_hz: float) -> Floats:
    """Return signals below 250 Hz, no phase shift (Gaussian of the same half-power frequency)."""
    from scipy.ndimage import gaussian_filter1d

    sigma = rate_hz * np.sqrt(np.log(2)) / (2 * np.pi * SMOOTHED_HZ)
    return np.asarray(gaussian_filter1d(signals, sigma, axis=1))


def _parabola(values: Floats) -> Floats:
    """Return where each row is largest, between samples: the parabola through the three highest."""
    last = values.shape[1] - 1
    at = np.argmax(values, axis=1)
    inner = np.clip(at, 1, last - 1)
    rows = np.arange(len(values))
    before, here, after = (values[rows, inner + n] for n in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(here), where=bend < 0)
    return np.asarray(np.where(at == inner, inner + np.clip(shift, -0.5, 0.5), at), float)


def _steepest_descent(inside: Floats, rate_hz: float) -> Floats:
    return _parabola(-np.gradient(inside, axis=1))


def _peak(inside: Floats, rate_hz: float) -> Floats:
    return _parabola(np.abs(inside - np.median(inside, axis=1, keepdims=True)))


def _onset(inside: Floats, rate_hz: float) -> Floats:
    height = np.abs(inside - np.median(inside, axis=1, keepdims=True))
    peak = np.argmax(height, axis=1)
    out = np.zeros(len(inside))
    for n, at in enumerate(peak):
        level = ONSET * height[n, at]
        low = np.flatnonzero(height[n, : at + 1] < level)
        if len(low):
            k = low[-1]
            out[n] = k + (level - height[n, k]) / (height[n, k + 1] - height[n, k])
    return out


def _energy(inside: Floats, rate_hz: float) -> Floats:
    from scipy.ndimage import gaussian_filter1d

    teager = np.zeros_like(inside)
    teager[:, 1:-1] = inside[:, 1:-1] ** 2 - inside[:, :-2] * inside[:, 2:]
    sigma = ENERGY_MS / 2 * rate_hz / 1000
    power = np.maximum(gaussian_filter1d(teager, sigma, axis=1), 0)
    centre = np.argmax(power, axis=1)
    at = np.arange(inside.shape[1])
    weights = np.maximum(teager, 0) * (np.abs(at - centre[:, None]) <= ENERGY_MS * rate_hz / 1000)
    total = weights.sum(axis=1)
    return np.asarray(np.where(total > 0, weights @ at / np.maximum(total, 1e-30), centre))


def _saturated(inside: Floats) -> Bools:
    """Tell rows that stay at their highest or lowest value for five samples: an amplifier at its end."""
    top = (inside == inside.max(axis=1, keepdims=True)) | (inside == inside.min(axis=1, keepdims=True))
    # A flat baseline may be the lowest value too.
    away = np.abs(inside - np.median(inside, axis=1, keepdims=True))
    top &= away > 0.25 * np.ptp(inside, axis=1, keepdims=True)
    run = np.all(np.lib.stride_tricks.sliding_window_view(top, 5, axis=1), axis=2)
    return np.asarray(np.any(run, axis=1) & (np.ptp(inside, axis=1) > 0))


RULES: dict[str, Callable[[Floats, float], Floats]] = {
    "steepest_descent": _steepest_descent,
    "peak": _peak,
    "onset": _onset,
    "energy": _energy,
}
