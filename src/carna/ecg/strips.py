"""One short lead, four answers: sinus rhythm, atrial fibrillation, another rhythm, or too noisy to say.

The classes are those of the PhysioNet/CinC Challenge 2017 (doi:10.22489/CinC.2017.065-459). Forty-eight
numbers (`NAMES`) describe a strip of 9 s or more: the irregularity of its intervals and its atrial waves
(`carna.ecg.atrial`), the P waves that the delineator sees, how soon what lies between the beats repeats
itself (`carna.ecg.flutter`), premature and odd-shaped beats, rate, and how well it was recorded. A
multinomial logistic model (`strip_weights`, its card there) turns them into probabilities, and the score of
long recordings (`carna.ecg.atrial.rhythm_windows`, ectopic beats left out) has a third of a vote on
fibrillation.

"Other" is what the Challenge's annotators called other: ectopy, blocks, tachycardia and bradycardia,
flutter, in one heap. It is the weak class of every published entry (about half of it is found), and of this
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.aligned import GRID_HZ, windows, working
from carna.ecg.atrial import (
    BEAT_FROM_S,
    BEAT_TO_S,
    IRREGULARITY,
    LONG_FROM_S,
    LONGEST_RR_S,
    P_TO_S,
    Activity,
    activity,
    irregularity,
    mean_log_odds,
    p_units,
    rhythm_windows,
    running_likeness,
)
from carna.ecg.atrial_weights import FIBRILLATION_SCORE
from carna.ecg.beats import Beats, find_beats
from carna.ecg.delineate import delineate
from carna.ecg.flutter import repetition
from carna.ecg.kinds import beat_kinds, trusted
from carna.ecg.quality import lead_quality
from carna.ecg.strip_weights import STRIP_SCORE
from carna.ecg.traces import Bools, Float, Floats
from carna.errors import InputError

StripClass = Literal["sinus", "fibrillation", "other", "noise"]
CLASSES: tuple[StripClass, ...] = ("sinus", "fibrillation", "other", "noise")
SHORTEST_S = 8.5
FEWEST = 7  # beats
VOTE = 0.3  # of the window score
P_UNTOLD = 0.4  # chance of a P wave where none could be looked for

NAMES = (
    *IRREGULARITY,
    "interval", "slow_run", "fast_run", "longest", "fast", "slow",
    "early", "early_odd", "earliest", "rest_change", "rest_upper",
    "p_alike", "p_share", "p_explained", "p_likeness", "p_lower", "p_before", "f_share", "f_concentration",
    "f_size", "p_over_f", "p_seen", "f_alike", "f_repeats",
    "unlike", "least_alike", "alike", "qrs_spread", "qrs_width", "size_spread", "t_explained",
    "remainder", "snr", "bad", "trust", "least_trust", "unsure", "covered",
)  # fmt: skip
# What a strip gets whose beats are too few to describe: what noise gives.
UNTOLD = (-2.0, -2.6, -1.2, 0.4, 0.8, 1.3, 0.9, 0.3, 0.6, -0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What a short lead shows.

    Attributes
    ----------
    probability : (4,) float
        Of sinus rhythm, atrial fibrillation, another rhythm, noise (`CLASSES`); sums to 1.
    kind : str
        The most probable class.
    features : (48,) float
        As named in `NAMES`: the evidence.
    fibrillation_odds : float, -6 to 6
        Mean log odds of the windows of 30 beats; 0 when there are too few beats.
    """

    probability: Floats
    kind: StripClass
    features: Floats
    fibrillation_odds: float


def read_strip(ecg: NDArray[np.floating], rate_hz: float, beats: Beats | None = None) -> Strip:
    """Classify one lead of at least 8.5 s.

    Parameters
    ----------
    ecg : (samples,) float
        mV; NaN where nothing was recorded.
    rate_hz : float
        50 Hz or more.
    beats : Beats, optional
        Of `carna.ecg.find_beats`; found here when absent.

    Returns
    -------
    Strip

    Raises
    ------
    InputError
        If the strip is shorter than 8.5 s or not one lead.
    """
    ecg = np.asarray(ecg)
    _check(ecg, rate_hz)
    beats = find_beats(ecg[None], rate_hz) if beats is None else beats
    features = describe_strip(ecg, rate_hz, beats)
    kinds = beat_kinds(ecg[None], rate_hz, beats)
    found = rhythm_windows(beats.sample / rate_hz, kinds.before, kinds.plain, trusted(beats))
    odds = mean_log_odds(found, FIBRILLATION_SCORE)
    probability = with_windows(STRIP_SCORE(features[None]), np.array([odds]))[0]
    return Strip(probability, CLASSES[int(np.argmax(probability))], features, odds)


def _check(ecg: NDArray[np.floating], rate_hz: float) -> None:
    if ecg.ndim != 1 or len(ecg) < SHORTEST_S * rate_hz:
        raise InputError(
            f"an ECG array of shape {ecg.shape} at {rate_hz:g} Hz",
            needed=f"one lead of {SHORTEST_S} s or more",
        )


def with_windows(probability: Floats, odds: Floats) -> Floats:
    """Let the score of long recordings, learned from other people, have a vote.

    Parameters
    ----------
    probability : (n, 4) float
        Of the classes, from the 48 numbers.
    odds : (n,) float
        Mean log odds of fibrillation in windows of 30 beats, 0 when not told.

    Returns
    -------
    (n, 4) float
    """
    score = np.log(np.maximum(probability, 1e-12))
    score[:, 1] += VOTE / 2 * odds
    score[:, [0, 2]] -= VOTE / 2 * odds[:, None]
    out = np.exp(score - score.max(1, keepdims=True))
    return np.asarray(out / out.sum(1, keepdims=True))


def describe_strip(ecg: NDArray[np.floating], rate_hz: float, beats: Beats) -> Floats:
    """Return the 48 numbers of a strip (see `read_strip` for the parameters)."""
    seconds = len(ecg) / rate_hz
    at = beats.sample[beats.confidence >= 0.5] / rate_hz
    rr = np.diff(at)
    intervals = rr[rr < LONGEST_RR_S]
    recorded = _recorded(ecg, rate_hz, beats, float(intervals.sum()) / seconds)
    if len(intervals) < FEWEST - 1:
        return np.concatenate([UNTOLD, _rate(intervals), _early_untold(), _WAVES_UNTOLD, recorded])
    trace, rate = working(ecg[None], rate_hz)
    alike, shapes = _shapes(windows(trace, rate, at, BEAT_FROM_S, BEAT_TO_S)[:, 0])
    before = windows(trace, rate, at, LONG_FROM_S, P_TO_S)[:, 0]
    p_alike = max(float(running_likeness(units, len(at))[0]) for units in p_units(before))
    seen = delineate(ecg[None], rate_hz, beats.sample).p
    p_seen = float(np.nanmean(seen)) if np.isfinite(seen).any() else P_UNTOLD
    between = repetition(ecg, rate_hz, at)
    waves = np.concatenate([[p_alike], _waves(activity(trace[0], rate, at, alike)), [p_seen, *between]])
    sure = (beats.confidence >= 0.6) & (beats.trust >= 0.7)
    settled = beats.sample[sure] / rate_hz
    settled = settled[(settled > 0.6) & (settled < seconds - 0.3)]
    early = _early(trace, rate, settled) if len(settled) >= FEWEST - 1 else _early_untold()
    return np.concatenate(
        [irregularity(intervals[None])[0], _rate(intervals), early, waves, shapes, recorded]
    )


def _rate(rr: Floats) -> Floats:
    """Median, slowest and fastest three, longest interval (logarithms); how far beyond 97 and 57 per
    minute."""
    if len(rr) < 3:
        return np.array([-0.1, 0.1, -0.4, 0.7, 0.0, 0.0])
    median = float(np.median(rr))
    three = np.convolve(rr, np.full(3, 1 / 3), "valid")
    return np.array(
        [
            np.log(median),
            np.log(three.max()),
            np.log(three.min()),
            np.log(rr.max() / median),
            max(0.0, 0.62 - median),
            max(0.0, median - 1.05),
        ]
    )


def _early_untold() -> Floats:
    return np.array([0.0, 0.0, 1.0, -2.0, -1.5])


def _early(trace: Float, rate_hz: float, at: Floats) -> Floats:
    """Premature beats with a pause, of the usual shape and of another; how early; how steady the rest is."""
    from scipy.ndimage import median_filter

    rr = np.diff(at)
    local = median_filter(rr, min(11, 2 * len(rr) - 1), mode="nearest")
    like, size = _likeness(windows(trace, rate_hz, at, -0.12, 0.14)[:, 0])
    before, after = rr[:-1] / local[:-1], rr[1:] / local[:-1]
    early = (before > 0.3) & (before < 0.88) & (after > 0.92) & (rr[:-1] < 2.2) & (rr[1:] < 2.2)
    paused = early & (after > 1.05)
    usual = (like[1:-1] > 0.85) & (size[1:-1] > 0.6) & (size[1:-1] < 1.6)
    touched = np.zeros(len(rr), bool)
    touched[:-1] |= paused
    touched[1:] |= paused
    rest = rr[~touched]
    steady, upper = -2.0, -1.5
    if len(rest) > 5:
        change = np.abs(np.diff(rest)) / np.median(rest)
        steady = float(np.log(np.median(change) + 0.005))
        upper = float(np.log(np.percentile(change, 75) + 0.005))
    return np.array(
        [
            np.log1p(np.sum(paused & usual)),
            np.log1p(np.sum(paused & (like[1:-1] < 0.8))),
            before[early].min() if early.any() else 1.0,
            steady,
            upper,
        ]
    )


def _likeness(parts: Float) -> tuple[Floats, Floats]:
    """Correlation of every QRS with the dominant one, and size over the median."""
    parts = parts - parts.mean(1, keepdims=True)
    size = np.maximum(np.linalg.norm(parts, axis=1), 1e-9)
    unit = parts / size[:, None]
    mutual = unit @ unit.T
    centre = int(np.argmax(mutual.sum(1)))
    mean = np.median(unit[mutual[centre] > 0.85], 0)
    return np.asarray(unit @ (mean / np.linalg.norm(mean)), np.float64), np.asarray(size / np.median(size))


_WAVES_UNTOLD = np.array(
    [
        *(0.1, -2.0, 0.1, 0.4, 0.0, 0.13, 0.23, 0.42, -2.1, 0.2, 0.4, 0.2, 0.0),
        *(0.3, 0.2, 0.7, 0.30, 0.10, 0.5, 0.27, -1.3),
    ]
)


def _waves(found: Activity) -> Floats:
    return np.array(
        [
            np.log(found.p_share + 0.01),
            found.p_explained,
            found.p_likeness,
            found.p_lower,
            found.p_before_s,
            found.f_share,
            found.f_concentration,
            np.log(found.f_mV * found.p_share / (found.p_mV + 1e-9) + 1e-3),
            np.log((found.p_mV + 1e-3) / (found.f_mV + 1e-3)),
        ]
    )


def _shapes(beats: Float) -> tuple[Bools, Floats]:
    """Which beats have the dominant shape; how alike, wide, equal in size and repeatable beats are."""
    zero = round(-BEAT_FROM_S * GRID_HZ)
    like, size = _likeness(beats[:, zero - 8 : zero + 9])
    alike = like > 0.8
    alike[int(np.argmax(like))] = True
    mean = np.median(beats[alike], 0)
    qrs = mean[zero - 8 : zero + 9] - mean[zero - 8 : zero + 9].mean()
    energy = qrs.astype(np.float64) ** 2
    offset = np.arange(-8, 9)
    slope = np.abs(np.gradient(mean))[zero - 15 : zero + 16]
    st_t = beats[alike][:, zero + 10 : zero + 40]
    return alike, np.array(
        [
            np.mean(like < 0.7),
            np.sort(like)[: max(1, len(like) // 10)].mean(),
            np.mean(alike),
            np.sqrt((energy * offset**2).sum() / energy.sum()) / GRID_HZ * 10,
            np.sum(slope > 0.15 * slope.max()) / GRID_HZ,
            np.std(np.log(size)),
            np.median(st_t, 0).var() / max(float(st_t.var(1).mean()), 1e-9),
            np.log(np.sqrt(np.mean((beats[alike] - mean) ** 2)) / (np.ptp(qrs) + 1e-9) + 0.01),
        ]
    )


def _recorded(ecg: NDArray[np.floating], rate_hz: float, beats: Beats, covered: float) -> Floats:
    """How well the strip was recorded: signal to noise of its worse seconds, trust in its beats."""
    quality = lead_quality(ecg[None], rate_hz)
    each = np.nan_to_num(quality.snr_each_second_db[0], nan=0.0)
    found = len(beats.sample) > 0
    return np.array(
        [
            np.percentile(each, 20) / 10,
            np.mean(each < 10),
            beats.trust.mean() if found else 0.4,
            beats.trust.min() if found else 0.4,
            np.mean(beats.confidence < 0.8) if found else 1.0,
            min(covered, 1.0),
        ]
    )
