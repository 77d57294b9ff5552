"""Where the ventricles do not beat: fibrillation, flutter faster than beats can be told, P waves alone.

`carna.ecg.beats` finds beats; these are the states in which there are none, or none that could be told, and
in which silence would be the worst answer.

**Ventricular fibrillation or flutter pattern.** Beats have a flat line between them and energy above 10 Hz;
the fibrillating ventricle has neither. In windows of 4 s every 2 s, for every lead that moves, with the
signal between 1 and 30 Hz:

- more than `FULL` of the samples lie farther from zero than a fifth of the largest deflection (threshold
  crossing sample count; Arafat, Chowdhury and Hasan 2011, doi:10.1007/s11760-009-0136-1: a QRS complex is
  narrow, so sinus rhythm has few);
- the strongest frequency is between 3.2 and 10 Hz, at least `NARROW` of the power lies within 1.5 Hz of it
  and no more than `SHARP` above 12 Hz;
- the deflections reach 0.2 mV from the 2nd to the 98th percentile;
- it is faster than 294 per minute, or it does not repeat: the correlation with itself one period later is
  below `REPEATS`. What repeats more slowly is a tachycardia whose beats can be told.

Two thirds of the leads that move must show it, in two windows in a row; beside those, looser limits do
(`LOOSE`). A window whose beats stand clearly
(confident and slower than 220 per minute) is not looked at. Known limits: fine fibrillation below 0.2 mV
cannot be told from noise on an asystole; rhythmic artefacts (tremor, chest compressions, a moved electrode)
are named too: the pattern is named, not the disease.

**P waves alone.** A train of waves none of which reaches 0.3 mV in any lead, all smooth (hardly anything
above 14 Hz), with nothing after any of them where a T wave would be: P waves without QRS. They are no beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from carna.ecg.traces import Bools, Float, Floats, Ints, Trace
from carna.signal import runs

Kind = Literal["ventricular fibrillation or flutter pattern", "P waves without QRS"]
FIBRILLATION: Kind = "ventricular fibrillation or flutter pattern"
P_ALONE: Kind = "P waves without QRS"

WINDOW_S, HOP_S = 4.0, 2.0
BAND_HZ, STRONGEST_HZ = (1.0, 30.0), (3.2, 10.0)
FULL, NARROW, SHARP, REPEATS = 0.42, 0.45, 0.08, 0.75
LOOSE = (0.36, 0.35, 0.15, 0.82)  # the same, for windows beside two that show it
NEAR_HZ, ABOVE_HZ = 1.5, 12.0
LEAST_MV = 0.2
FASTEST_HZ = 4.9  # 294 per minute: beyond this nothing is called a beat
SINE_HZ, SINE = 4.2, 0.972  # flutter from 250 per minute, when nearly all power lies at one frequency
MOST_LEADS = 2 / 3
CLEAR, CLEAR_BPM = 0.9, 220.0
GROUP = 16  # waves that are judged together
P_MV, P_LEAST_MV = 0.3, 0.04
SMALL_MV = 0.12  # envelope of the QRS band, about a third of a wave's height: larger is not looked at
ALONE = 0.25  # of the wave: the largest deflection after it
SMOOTH, SMOOTH_HZ = 0.15, 14.0  # share of the slope's energy above; a small QRS has 0.2 and more
NOISE_HZ = 36.0  # beyond this is nothing of P or QRS that noise would not hide
MANY, SMOOTH_MANY = 6, 0.4  # no QRS stays below 0.3 mV in six leads: noise is all that has to be told
BESIDE_S, AFTER_S = 0.12, 0.42


@dataclass(frozen=True, slots=True)
class Arrest:
    """A stretch in which the ventricles do not beat, or not so that beats could be told.

    Attributes
    ----------
    kind : str
        "ventricular fibrillation or flutter pattern" or "P waves without QRS".
    start_s, stop_s : float
        From the first sample of the recording.
    per_minute : float
        Median strongest frequency, or the rate of the P waves.
    mV : float
        Median size from the 2nd to the 98th percentile in the largest lead, or of the P wave there.
    """

    kind: Kind
    start_s: float
    stop_s: float
    per_minute: float
    mV: float

    def later(self, by_s: float) -> Arrest:
        """Return the same stretch in a recording that began earlier."""
        return Arrest(self.kind, self.start_s + by_s, self.stop_s + by_s, self.per_minute, self.mV)


def joined(found: list[Arrest]) -> tuple[Arrest, ...]:
    """Join stretches of one kind that touch (the seams of a long recording), in order of their start."""
    out: list[Arrest] = []
    for arrest in sorted(found, key=lambda a: a.start_s):
        same = next((k for k in range(len(out) - 1, -1, -1) if out[k].kind == arrest.kind), None)
        if same is not None and arrest.start_s <= out[same].stop_s + HOP_S:
            before = out[same]
            stop = max(before.stop_s, arrest.stop_s)
            larger = max((before, arrest), key=lambda a: a.stop_s - a.start_s)
            out[same] = Arrest(before.kind, before.start_s, stop, larger.per_minute, larger.mV)
        else:
            out.append(arrest)
    return tuple(out)


def fibrillating(view: Trace, beats_s: Floats, confidence: Floats) -> tuple[Arrest, ...]:
    """Find where the ventricles seem to fibrillate or flutter.

    Parameters
    ----------
    view : Trace
    beats_s, confidence : (n,) float
        Beats found, s, and how sure each is: where they stand clearly nothing is looked for.

    Returns
    -------
    tuple of Arrest
        Times relative to the first sample of ``view``.
    """
    width, hop = round(WINDOW_S * view.rate_hz), round(HOP_S * view.rate_hz)
    n = view.leads.shape[1]
    starts = np.arange(0, n - width + 1, hop)
    if not len(starts):
        return ()
    first = np.searchsorted(beats_s, starts / view.rate_hz)
    last = np.searchsorted(beats_s, (starts + width) / view.rate_hz)
    total = np.concatenate([[0.0], np.cumsum(confidence)])
    count = last - first
    mean = (total[last] - total[first]) / np.maximum(count, 1)
    doubtful = np.flatnonzero((count < 2) | (mean < CLEAR) | (count > CLEAR_BPM / 60 * WINDOW_S))
    strict, loose = np.zeros(len(starts), bool), np.zeros(len(starts), bool)
    hz, size = np.zeros(len(starts)), np.zeros(len(starts))
    for k in doubtful:
        part = view.leads[:, starts[k] : starts[k] + width]
        strict[k], loose[k], hz[k], size[k] = _window(part, view.rate_hz)
    pairs = strict[1:] & strict[:-1]
    out = []
    for a, b in runs(loose):
        if pairs[a : b - 1].any():
            stop = min(n, starts[b - 1] + width)
            out.append(
                Arrest(
                    FIBRILLATION,
                    float(starts[a] / view.rate_hz),
                    float(stop / view.rate_hz),
                    60 * float(np.median(hz[a:b])),
                    float(np.median(size[a:b])),
                )
            )
    return tuple(out)


def _window(leads: Float, rate_hz: float) -> tuple[bool, bool, float, float]:
    """Whether most of the leads that move fibrillate here, strictly, loosely; how fast; how large (mV)."""
    n = leads.shape[1]
    low, high = BAND_HZ
    clock = np.linspace(-1, 1, n)
    slope = (leads @ clock) / (clock @ clock)  # a step at the seam of the transform is all frequencies
    flat = leads - leads.mean(1, keepdims=True) - slope[:, None] * clock
    spectrum = np.fft.rfft(flat, axis=1)
    hz = np.fft.rfftfreq(n, 1 / rate_hz)
    spectrum[:, (hz < low) | (hz > high)] = 0
    wave = np.fft.irfft(spectrum, n, axis=1)
    bottom, top = np.percentile(wave, (2, 98), axis=1)
    size = top - bottom
    moves = size > LEAST_MV / 2
    if not moves.any():
        return False, False, 0.0, 0.0
    wave, spectrum, size = wave[moves], spectrum[moves], size[moves]
    full = (np.abs(wave) > 0.2 * np.percentile(np.abs(wave), 99.5, axis=1)[:, None]).mean(1)
    power = np.abs(spectrum) ** 2
    power /= np.maximum(power.sum(1, keepdims=True), 1e-12)
    strongest = hz[np.argmax(power, axis=1)]
    near = ((np.abs(hz - strongest[:, None]) <= NEAR_HZ) * power).sum(1)
    above = power[:, hz > ABOVE_HZ].sum(1)
    again = _repeats(wave, rate_hz)
    within = (strongest >= STRONGEST_HZ[0]) & (strongest <= STRONGEST_HZ[1]) & (size > LEAST_MV)
    shown = []
    for fullest, narrow, sharp, repeats in ((FULL, NARROW, SHARP, REPEATS), LOOSE):
        met = within & (full > fullest) & (near > narrow) & (above < sharp)
        # regular waves are beats if there is a QRS in them: a sine has no overtones
        sine = (strongest > SINE_HZ) & (near > SINE)
        met &= (strongest > FASTEST_HZ) | (again < repeats) | sine
        shown.append(bool(met.sum() >= MOST_LEADS * moves.sum()))
    return shown[0], shown[1], float(np.median(strongest)), float(size.max())


def _repeats(wave: Floats, rate_hz: float) -> Floats:
    """Largest correlation of each lead with itself 0.2 to 0.6 s later."""
    spectrum = np.abs(np.fft.rfft(wave, 2 * wave.shape[1], axis=1)) ** 2
    own = np.fft.irfft(spectrum, axis=1)
    a, b = round(0.2 * rate_hz), min(round(0.6 * rate_hz), wave.shape[1] - 1)
    # fewer samples overlap at a larger lag
    share = 1 - np.arange(a, b + 1) / wave.shape[1]
    return np.asarray((own[:, a : b + 1] / share).max(1) / np.maximum(own[:, 0], 1e-12))


def p_alone(view: Trace, at: Ints) -> Bools:
    """Tell which waves are P waves without a QRS.

    Parameters
    ----------
    view : Trace
    at : (n,) int64
        Waves that pass for beats, working samples, increasing.

    Returns
    -------
    (n,) bool
        Judged in groups of 16 neighbours, by their median.
    """
    out = np.zeros(len(at), bool)
    rate, n = view.rate_hz, view.leads.shape[1]
    beside, after = round(BESIDE_S * rate), round(AFTER_S * rate)
    small = view.level[:, at].max(0) < SMALL_MV
    if not small.any():
        return out
    count = max(1, round(len(at) / GROUP))
    for group in np.array_split(np.arange(len(at)), count):
        inside = at[group][(at[group] >= beside) & (at[group] < n - after)]
        if len(inside) < 3 or not small[group].all():
            continue
        windows = view.leads[:, inside[:, None] + np.arange(-beside, after)]
        wave = np.median(windows - np.median(windows, axis=2, keepdims=True), axis=1)
        centre = wave[:, : 2 * beside]
        size = np.ptp(centre, axis=1)
        if size.max() > P_MV or size.max() < P_LEAST_MV:
            continue
        large = size > 0.7 * size.max()
        rest = np.abs(wave[large, 2 * beside :]).max(1) / size[large]
        slopes = np.diff(centre[large], axis=1)
        spectrum = (np.abs(np.fft.rfft(slopes, axis=1)) ** 2).sum(0)
        hz = np.fft.rfftfreq(slopes.shape[1], 1 / rate)
        spectrum = spectrum[hz < NOISE_HZ]
        sharp = spectrum[hz[hz < NOISE_HZ] > SMOOTH_HZ].sum() / max(float(spectrum.sum()), 1e-12)
        limit = SMOOTH_MANY if len(wave) >= MANY else SMOOTH
        out[group] = bool(np.median(rest) < ALONE and sharp < limit)
    return out


def trains(view: Trace, at: Ints, alone: Bools) -> tuple[Arrest, ...]:
    """Return the stretches of P waves without QRS, given what `p_alone` told of each wave."""
    time, out = at / view.rate_hz, []
    reach = round(BESIDE_S * view.rate_hz)
    for a, b in runs(alone):
        near = np.clip(at[a:b, None] + np.arange(-reach, reach + 1), 0, view.leads.shape[1] - 1)
        size = np.ptp(np.median(view.leads[:, near], axis=1), axis=1).max()
        rate = 60 / float(np.median(np.diff(time[a:b])))
        out.append(
            Arrest(P_ALONE, float(time[a]) - BESIDE_S, float(time[b - 1]) + BESIDE_S, rate, float(size))
        )
    return tuple(out)
