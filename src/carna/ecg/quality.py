"""How well each lead was recorded, before anything is concluded from it.

A lead is called, in this order:

- ``no signal``: less than half of it was recorded;
- ``flat``: without its wander it stays below 5 uV for more than half of the recorded seconds;
- ``implausible``: it swings by more than 20 mV in more than half of its two seconds, spikes aside: its gain
  is not as stated, or it is no electrocardiogram;
- ``clipped``: more than 1 % of its samples sit, four or more in a row, at its highest or lowest value;
- ``noisy``: its QRS band stands less than 10 dB above its own floor in more than half of the seconds, or
  mains hum of more than 0.3 mV lies on it;
- ``good``: otherwise.

The signal-to-noise ratio compares the largest QRS-band envelope of each two seconds with the 40th
percentile of the same seconds, where no beat is: a number about the lead, not about the heart. It needs no
beats found before. Known limits: atrial flutter fills the floor with real signal and reads as noise; a rate
above 200 per minute leaves little room between beats.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.traces import Bools, Float, Floats, bridged, checked, envelope, filtered
from carna.errors import InputError

Kind = Literal["good", "noisy", "clipped", "implausible", "flat", "no signal"]

RECORDED = 0.5
FLAT_MV = 0.005
CLIPPED = 0.01
CLIPPED_RUN = 4
GOOD_DB = 10.0
SWING_MV = 20.0  # the largest hearts stay below 12 mV
HUM_MV = 0.3  # 3 mm on paper: hides the ends of every wave
BELIEVED_MV = 30.0  # farther than this from its lead's middle is an overflow or a filler value
BELIEVED_SPREADS = 300.0
VOLTS_MV = 1e6
LONGEST_S = 600.0  # work in stretches of this length: bounded memory


@dataclass(frozen=True, slots=True, eq=False)
class LeadQuality:
    """Quality of every lead, over the whole recording and second by second.

    Attributes
    ----------
    kind : tuple of str
        One of "good", "noisy", "clipped", "implausible", "flat", "no signal", per lead.
    recorded, clipped : (leads,) float, 0 to 1
        Fraction of samples recorded; fraction that sits at an extreme of the lead.
    noise_mV : (leads,) float
        Root mean square above 40 Hz without mains (muscle, hum of the amplifier); NaN below 100 Hz sampling.
    wander_mV : (leads,) float
        Standard deviation of what is slower than 0.5 Hz.
    mains_mV : (leads,) float
        Amplitude at 50 or 60 Hz, whichever is larger; NaN when the rate cannot carry it.
    snr_db : (leads,) float
        Median over the seconds.
    snr_each_second_db : (leads, seconds) float
        NaN in seconds less than half recorded or flat.
    """

    kind: tuple[Kind, ...]
    recorded: Floats
    clipped: Floats
    noise_mV: Floats
    wander_mV: Floats
    mains_mV: Floats
    snr_db: Floats
    snr_each_second_db: Floats

    def of(self, rows: slice) -> LeadQuality:
        """Return the quality of some of the leads."""
        return LeadQuality(*(getattr(self, f)[rows] for f in self.__slots__))


def believed(ecg: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the leads with NaN where a number can't be a voltage of the body.

    That is: not finite, beyond 1 kV, or farther from the middle of its lead than 30 mV and than 300 times
    the spread of the lead's middle half (an R wave: 10 to 100 times): the overflows and fillers of
    recorders. A lead that is too large as a whole stays, and `lead_quality` calls it implausible.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts. Returned itself where there is nothing to take out.
    """
    wrong = ~(np.abs(ecg) < VOLTS_MV)
    for k, lead in enumerate(ecg):
        if not wrong[k].all():
            low, middle, high = np.percentile(lead[~wrong[k]], (25, 50, 75))
            wrong[k] |= ~(np.abs(lead - middle) < max(BELIEVED_MV, BELIEVED_SPREADS * (high - low)))
    return np.where(wrong, np.nan, ecg) if (wrong & ~np.isnan(ecg)).any() else ecg


def lead_quality(ecg: NDArray[np.floating], rate_hz: float) -> LeadQuality:
    """Judge every lead of an electrocardiogram.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        Sampling rate, 50 Hz or more.

    Returns
    -------
    LeadQuality

    Raises
    ------
    InputError
        If the array is not (leads, samples), the rate is below 50 Hz, or there is less than one second.
    """
    ecg = checked(ecg, rate_hz)
    leads, samples = ecg.shape
    if samples < rate_hz:
        raise InputError(f"an ECG of {samples / rate_hz:.2f} s", needed="one second or more")
    recorded = np.isfinite(ecg).mean(1)
    clipped = np.array([_clipped(lead[np.isfinite(lead)]) for lead in ecg])
    count = max(1, round(samples / rate_hz / LONGEST_S))
    edges = np.linspace(0, samples, count + 1).astype(int)
    parts = [_stretch(ecg[:, a:b], rate_hz) for a, b in itertools.pairwise(edges)]
    weight = np.diff(edges) / samples
    swing = np.median(np.concatenate([p[3] for p in parts], axis=1), axis=1)
    noise, wander, mains = np.sqrt(np.einsum("s,sql->ql", weight, np.stack([p[0] for p in parts]) ** 2))
    each = np.concatenate([p[1] for p in parts], axis=1)
    moving = np.concatenate([p[2] for p in parts], axis=1)
    kinds: list[Kind] = []
    snr = np.full(leads, np.nan)
    for k in range(leads):
        heard = np.isfinite(each[k])
        snr[k] = np.median(each[k, heard]) if heard.any() else np.nan
        if recorded[k] < RECORDED:
            kinds.append("no signal")
        elif moving[k].sum() < 0.5 * recorded[k] * moving.shape[1]:
            kinds.append("flat")
        elif swing[k] > SWING_MV:
            kinds.append("implausible")
        elif clipped[k] > CLIPPED:
            kinds.append("clipped")
        else:
            hum = np.nan_to_num(mains[k]) > HUM_MV
            kinds.append("good" if snr[k] >= GOOD_DB and not hum else "noisy")
    return LeadQuality(tuple(kinds), recorded, clipped, noise, wander, mains, snr, each)


def _clipped(lead: NDArray[np.floating]) -> float:
    """Fraction of samples in runs of four or more at the lead's extremes."""
    if len(lead) < CLIPPED_RUN or lead.max() == lead.min():
        return 0.0
    total = 0
    for extreme in (lead.max(), lead.min()):
        stuck = np.concatenate([[0], (lead == extreme).astype(np.int8), [0]])
        edge = np.flatnonzero(np.diff(stuck))
        run = edge[1::2] - edge[::2]
        total += int(run[run >= CLIPPED_RUN].sum())
    return total / len(lead)


def _stretch(ecg: NDArray[np.floating], rate_hz: float) -> tuple[Floats, Floats, Bools, Floats]:
    """(noise, wander, mains) in mV, signal-to-noise each second in dB, where the lead moves, its swings."""
    filled, missing = bridged(ecg)
    filled -= filled.mean(1, keepdims=True)
    slow = _low_passed(filled, rate_hz, 0.5)
    mains = _mains(filled, rate_hz)
    noise = np.full(len(ecg), np.nan)
    if rate_hz >= 100:
        above = filled - filtered(filled, _low_pass(rate_hz, 40.0, 0.1))
        power = np.maximum(above.astype(np.float64).var(1) - np.nan_to_num(mains) ** 2 / 2, 0)
        noise = np.sqrt(power)
    heart = filtered(filled - slow, _band(rate_hz))
    env = envelope(heart, rate_hz)
    width = min(round(2 * rate_hz), ecg.shape[1])
    count = ecg.shape[1] // width
    blocks = (filled - slow)[:, : count * width].reshape(len(ecg), count, width)
    low, high = np.percentile(blocks, (2, 98), axis=2)
    each = _each_second(env, filled - slow, missing, rate_hz)
    return np.stack([noise, slow.std(1), mains]), *each, np.asarray(high - low, np.float64)


def _each_second(env: Float, signal: Float, missing: Bools, rate_hz: float) -> tuple[Floats, Bools]:
    """Peak over floor of the two seconds around every second, and whether the lead moves in it."""
    leads, samples = env.shape
    seconds = max(1, int(samples / rate_hz))
    snr = np.full((leads, seconds), np.nan)
    moving = np.zeros((leads, seconds), bool)
    for s in range(seconds):
        a, b = int(s * rate_hz), int((s + 1) * rate_hz)
        wide = slice(max(0, int((s - 0.5) * rate_hz)), int((s + 1.5) * rate_hz))
        moving[:, s] = (signal[:, a:b].std(1) > FLAT_MV) & (missing[:, a:b].mean(1) < 0.5)
        part = np.sort(env[:, wide], axis=1)
        floor = part[:, int(0.4 * part.shape[1])]
        value = 20 * np.log10(np.maximum(part[:, -1], 1e-6) / np.maximum(floor, 1e-6))
        snr[:, s] = np.where(moving[:, s], np.minimum(value, 60), np.nan)
    return snr, moving


def _low_pass(rate_hz: float, edge_hz: float, kernel_s: float) -> Float:
    from scipy.signal import firwin

    edge = min(edge_hz, 0.45 * rate_hz)
    return np.asarray(firwin(2 * int(kernel_s * rate_hz / 2) + 1, edge, fs=rate_hz), np.float32)


def _band(rate_hz: float) -> Float:
    from scipy.signal import firwin

    edges = (5.0, min(22.0, 0.45 * rate_hz))
    return np.asarray(firwin(2 * int(0.25 * rate_hz) + 1, edges, fs=rate_hz, pass_zero=False), np.float32)


def _low_passed(leads: Float, rate_hz: float, edge_hz: float) -> Float:
    """Zero-phase second-order low-pass, for edges too low for a short kernel."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(2, edge_hz, fs=rate_hz, output="sos")
    return np.asarray(
        sosfiltfilt(sos, leads, axis=-1, padlen=min(leads.shape[1] - 1, int(rate_hz))), np.float32
    )


def _mains(leads: Float, rate_hz: float) -> Floats:
    """Amplitude of the larger of 50 and 60 Hz: root mean square of one-second projections.

    Whatever else lies in that one hertz is taken off as the mean of the bins 3 Hz to either side.
    """
    second = round(rate_hz)
    count = leads.shape[1] // second
    amplitude = np.full(len(leads), np.nan)
    if not count:
        return amplitude
    blocks = leads[:, : count * second].reshape(len(leads), count, second)
    t = np.arange(second) / rate_hz
    taper = np.hanning(second)
    for hz in (50.0, 60.0):
        if hz + 4 > rate_hz / 2:
            continue

        def power(f: float) -> Floats:
            tone = (taper * np.exp(-2j * np.pi * f * t)).astype(np.complex64)
            return np.asarray(((np.abs(blocks @ tone) * 2 / taper.sum()) ** 2).mean(1), np.float64)

        clean = np.sqrt(np.maximum(power(hz) - (power(hz - 3) + power(hz + 3)) / 2, 0))
        amplitude = np.fmax(amplitude, clean)
    return np.asarray(amplitude)


@dataclass(frozen=True, slots=True)
class Einthoven:
    """How far limb leads that are recorded together depart from the sums they must obey.

    Attributes
    ----------
    residual_mV : dict of str to float
        Root mean square, 0.5-40 Hz, of II - I - III and of each augmented lead against its definition.
    relative : float
        The largest residual over the root mean square of the leads in it. Exact files: below 0.02;
        exchanged or inverted channels: above 0.3.
    """

    residual_mV: dict[str, float]
    relative: float


# lead = a * I + b * II (Goldberger): what follows from two limb leads
LIMB = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


def einthoven_residual(ecg: NDArray[np.floating], rate_hz: float, leads: tuple[str, ...]) -> Einthoven | None:
    """Check limb leads against Einthoven's and Goldberger's equations: III = II - I, aVR = -(I + II) / 2, ...

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts.
    rate_hz : float
        Sampling rate.
    leads : tuple of str
        Names of the rows: "I", "II", "III", "aVR", "aVL", "aVF", others are left alone.

    Returns
    -------
    Einthoven or None
        None when I, II and a third limb lead are not all there and moving.
    """
    ecg = checked(ecg, rate_hz)
    if len(leads) != len(ecg):
        raise InputError(f"{len(ecg)} leads with {len(leads)} names", needed="one name per lead")
    names = [name for name in leads if name in LIMB or name in ("I", "II")]
    if "I" not in names or "II" not in names or len(set(names)) < 3:
        return None
    limbs = ecg[[leads.index(name) for name in names]]
    here = np.isfinite(limbs).all(0)
    if here.sum() < rate_hz:
        return None
    short = _low_passed(limbs[:, here].astype(np.float32), rate_hz, min(40.0, 0.4 * rate_hz))
    clean = (short - _low_passed(short, rate_hz, 0.5)).astype(np.float64)
    row = dict(zip(names, clean, strict=True))
    i, ii = row["I"], row["II"]
    residual: dict[str, float] = {}
    relative = 0.0
    for name, (a, b) in LIMB.items():
        if name in row:
            residual[name] = float(np.sqrt(np.mean((row[name] - a * i - b * ii) ** 2)))
            size = float(np.sqrt(np.mean(np.stack([row[name], i, ii]) ** 2)))
            if size < FLAT_MV:
                return None
            relative = max(relative, residual[name] / size)
    return Einthoven(residual, relative)
