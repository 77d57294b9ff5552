"""Atrial flutter: a wave that repeats itself without rest, 200 to 350 times a minute, under the beats.

The circuit is a clock. With every QRS bridged and 3 to 14 Hz kept, the trace of a flutter looks like itself
one, two and three circuits later, in every cycle and across beats. The score is the lowest of the three
correlations of the trace with itself after one, two and three periods (the second and third may be off by 1.5
%), at the period for which that is highest; only moments between QRS complexes count. It is taken over all
leads together, over II, III and aVF, and over V1, and the highest is used: typical flutter is plainest in
the inferior leads or in V1.

What else repeats: **T and P waves of a regular rhythm.** A third of an RR interval that happens to lie
between P and T gives some correlation after one and two periods, seldom more than a half. **Fibrillatory
waves** keep step for one period, not for three. **Tremor** of the arms beats at 4 to 6 Hz for as long as one
likes, but knows nothing of the heart: a flutter wave lies at the same place before every QRS, so the phase of
the waves at R must agree from beat to beat (length of the mean phasor, 0.85 and more). Where every second or
third wave is a QRS at 100 per minute and more, P and T fill the cycle and nothing in the trace tells them
from flutter waves: the answer is then None, *suspected* with its rate and score, and never yes; so it is for
a regular rhythm of 125 to 175 per minute whatever the score (2:1 conduction).

Limits were set on LUDB, CinC2021, MIT-BIH, QTDB and CPSC2021 (three flutters) and on virtual recordings:
``docs/ecg-rhythm.md``. Flutter whose PR changes from beat to beat fails the test of phase and is left open.
Atrial rates of flutter and what becomes of them under drugs: doi:10.1161/CIR.0000000000000311.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.ecg.aligned import working
from carna.ecg.traces import Bools, Floats

PERIOD_S = (0.17, 0.30)
F_PERIOD_S = (0.10, 0.26)  # of fibrillatory waves
BAND_HZ = (3.0, 14.0)
QRS_S = (0.07, 0.10)  # bridged around R
DRIFT = 0.015
MET, DOUBT = 0.65, 0.42
IN_STEP = 0.85  # length of the mean phasor of the waves at R
NEAR_HZ = 0.8  # around the rate, to tell the phase
LEAST_MV = 0.01  # root mean square of what repeats
FAST_BPM, TWO_TO_ONE_BPM = 100.0, (125.0, 175.0)
REGULAR = 0.04  # median change between intervals over their median
LOCKED = 0.06  # how far intervals may be from a whole number of periods
FEWEST, LEAST_S = 5, 2.0  # beats, seconds between them
GROUPS = (("II", "III", "aVF"), ("V1",))


@dataclass(frozen=True, slots=True)
class Flutter:
    """What was concluded about flutter.

    Attributes
    ----------
    present : bool or None
        None when it cannot be told; ``why`` says so.
    score : float or None
        How well the trace repeats itself, -1 to 1; None when nothing could be compared.
    rate_bpm : float or None
        60 over the period at which it does.
    why : str
        In words.
    """

    present: bool | None
    score: float | None
    rate_bpm: float | None
    why: str


def flutter(ecg: NDArray[np.floating], rate_hz: float, r_s: Floats, leads: tuple[str, ...] = ()) -> Flutter:
    """Look for atrial flutter.

    Parameters
    ----------
    ecg : (leads, samples) float
        mV; NaN where nothing was recorded.
    rate_hz : float
        50 Hz or more.
    r_s : (beats,) float
        R peaks, s, increasing.
    leads : tuple of str, optional
        Names of the rows; without them only all leads together are judged.

    Returns
    -------
    Flutter
        ``present`` is None with fewer than five beats.
    """
    if len(r_s) < FEWEST:
        return Flutter(None, None, None, f"{len(r_s)} beats are too few")
    rows = [[leads.index(name) for name in group if name in leads] for group in GROUPS]
    trace, hz, clear = _between_beats(ecg, rate_hz, r_s)
    if clear.sum() < LEAST_S * hz:
        return Flutter(None, None, None, "too little lies between the beats")
    groups = [group for group in (list(range(len(trace))), *rows) if group]
    found = [_repeats(*work) for work in _correlations(trace, hz, clear, groups)]
    score, period, size = max(found)
    rr = np.diff(r_s)
    median = float(np.median(rr))
    bpm, rate = 60 / median, 60 / period
    regular = float(np.median(np.abs(np.diff(rr)))) < REGULAR * median
    said = f"correlation of {score:.2f} after one, two and three periods of {1000 * period:.0f} ms"
    waves = median / period
    locked = regular and abs(waves - round(waves)) < LOCKED * waves and bpm >= FAST_BPM
    if score >= MET and size >= LEAST_MV:
        if locked:
            why = f"suspected, {round(waves)}:1: {said}, but P and T may do the same"
            return Flutter(None, score, rate, why)
        step = _in_step(trace[groups[found.index(max(found))]], hz, r_s, 1 / period)
        if step >= IN_STEP:
            return Flutter(True, score, rate, said)
        return Flutter(None, score, rate, f"{said}, but not in step with the beats ({step:.2f}): tremor?")
    if score >= DOUBT:
        return Flutter(None, score, rate, f"neither flutter nor not: {said}")
    if regular and TWO_TO_ONE_BPM[0] <= bpm <= TWO_TO_ONE_BPM[1]:
        return Flutter(None, score, None, f"a regular {bpm:.0f}/min may be flutter with 2:1 conduction")
    return Flutter(False, score, None, said)


def repetition(ecg: NDArray[np.floating], rate_hz: float, r_s: Floats) -> tuple[float, float]:
    """Tell how much what lies between the beats of one lead looks like itself a little later.

    Parameters
    ----------
    ecg : (samples,) float
        mV.
    rate_hz : float
    r_s : (beats,) float
        R peaks, s.

    Returns
    -------
    alike, repeats : float, -1 to 1
        The highest correlation after 0.10 to 0.26 s (fibrillatory waves: one period), and the score of
        flutter (three periods). Zeros when too little lies between the beats.
    """
    trace, hz, clear = _between_beats(ecg[None], rate_hz, r_s)
    if clear.sum() < LEAST_S * hz:
        return 0.0, 0.0
    found = _correlations(trace, hz, clear, [[0]])[0]
    periods = np.arange(*F_PERIOD_S, 0.0025)
    alike = np.interp(periods, np.arange(len(found[0])) / hz, found[0])
    return float(alike.max()), _repeats(*found)[0]


def _between_beats(ecg: NDArray[np.floating], rate_hz: float, r_s: Floats) -> tuple[Floats, float, Bools]:
    """Return the working trace with every QRS bridged, its rate, and where no QRS is."""
    trace, hz = working(ecg, rate_hz)
    times = np.arange(trace.shape[1]) / hz
    clear = np.ones(len(times), bool)
    for r in r_s:
        clear[np.searchsorted(times, r - QRS_S[0]) : np.searchsorted(times, r + QRS_S[1])] = False
    if not clear.any():
        return trace.astype(np.float64), hz, clear
    return np.array([np.interp(times, times[clear], lead[clear]) for lead in trace]), hz, clear


def _correlations(
    trace: Floats, hz: float, clear: Bools, groups: list[list[int]]
) -> list[tuple[Floats, float, float]]:
    """Autocorrelation of each group of leads, its rate, and the size of the trace, mV."""
    from scipy.signal import butter, sosfiltfilt

    x = sosfiltfilt(butter(2, BAND_HZ, "band", fs=hz, output="sos"), trace, axis=1) * clear
    size = 1 << (2 * trace.shape[1] - 1).bit_length()
    lags = int(4 * PERIOD_S[1] * hz)
    spectrum, energy = np.fft.rfft(x, size), np.fft.rfft(x**2, size)
    mask = np.fft.rfft(clear.astype(np.float64), size)
    both = np.fft.irfft(spectrum * spectrum.conj(), size)[:, :lags]
    now = np.fft.irfft(mask.conj() * energy, size)[:, :lags]
    later = np.fft.irfft(mask * energy.conj(), size)[:, :lags]
    out = []
    for group in groups:
        norm = np.sqrt(np.maximum(now[group].sum(0) * later[group].sum(0), 1e-18))
        level = float(np.sqrt((x[group] ** 2).sum() / (clear.sum() * len(group))))
        out.append((both[group].sum(0) / norm, hz, level))
    return out


def _in_step(trace: Floats, hz: float, r_s: Floats, rate_hz: float) -> float:
    """Return how well the waves' phase at R agrees from beat to beat, 0 to 1."""
    from scipy.signal import butter, hilbert, sosfiltfilt

    near = butter(2, (rate_hz - NEAR_HZ, rate_hz + NEAR_HZ), "band", fs=hz, output="sos")
    x = sosfiltfilt(near, trace, axis=1)
    _, vectors = np.linalg.eigh(x @ x.T)
    wave = hilbert(vectors[:, -1] @ x)
    at = wave[np.clip(np.round(r_s * hz), 0, len(wave) - 1).astype(np.int64)]
    return float(np.abs(np.mean(at / np.maximum(np.abs(at), 1e-12))))


def _repeats(correlation: Floats, hz: float, size_mV: float) -> tuple[float, float, float]:
    """Return the best score, its period, and the size of what repeats."""
    lag = np.arange(len(correlation)) / hz
    periods = np.arange(PERIOD_S[0], PERIOD_S[1] + 0.001, 0.0025)
    near = np.linspace(1 - DRIFT, 1 + DRIFT, 7)
    each = [np.interp(periods, lag, correlation)]
    each += [np.interp(k * periods[:, None] * near, lag, correlation).max(1) for k in (2, 3)]
    score = np.min(each, 0)
    best = int(np.argmax(score))
    return float(score[best]), float(periods[best]), size_mV * float(np.sqrt(max(score[best], 0.0)))
