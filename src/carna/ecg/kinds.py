"""What kind each beat is: normal, supraventricular (early, same shape), ventricular (another shape), or
unknown.

Everything is relative to the patient's own dominant beat, so that a bundle branch block is not a run of
ventricular beats. In stretches of ten minutes

1. beats are laid over each other (`aligned`) and gathered into clusters of like QRS shape (correlation
   above 0.85);
2. the **dominant** cluster is the one with most beats that do not come early; among near equals the
   narrowest;
3. thirteen numbers (`NAMES`) say of every beat how early it came and what pause followed, how its QRS, its
   T wave and its P window correlate with the dominant beat, how wide and large it is beside it, how common
   its cluster is and how early its members come, and how irregular the rhythm is around it;
4. **ventricular**: a logistic score on products of these (`kind_weights`, its card there). Nothing counts
   for it that is not multiplied by a difference in shape: an early beat of the dominant shape is never
   ventricular;
5. **supraventricular**: not ventricular, of the dominant shape, early by more than 14 % and by more than six
   times the lower quartile of the changes between intervals here (in atrial fibrillation hardly anything is
   early), suddenly so, and with the usual interval restored after it, or after the run of such beats it
   belongs to;
6. **unknown**: every beat where the dominant one is itself as broad as only ventricular beats are and comes
   faster than 100 or slower than 45 per minute (agonal and escape rhythms, a tachycardia that fills the
   recording): there is nothing narrower to compare with;
7. **unknown** as well: confidence below 0.5, trust below 0.7 (the trace carries no rhythm), or a score
   between 0.35 and 0.65.

Kinds map to the classes of ANSI/AAMI EC57: normal = N (all beats conducted as usual, bundle branch blocks
included), supraventricular = S, ventricular = V; fusion beats (F) come out as normal or ventricular,
whichever they resemble more; paced = Q, told by its spike alone
(`carna.ecg.spikes`).

Known failures: aberrantly conducted early beats pass for ventricular; ventricular beats that arise near the
conduction system, or late ones with nearly the dominant shape, pass for normal; supraventricular beats
within atrial fibrillation are not told; when most of ten minutes is ventricular, the dominant beat is the
wrong one (named unknown only when very broad).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carna.ecg.aligned import GRID_HZ, windows, working
from carna.ecg.atrial import BEAT_TO_S, BEFORE_WIDTH, LONG_FROM_S, p_units
from carna.ecg.beats import Beats
from carna.ecg.kind_weights import VENTRICULAR_SCORE
from carna.ecg.logistic import Logistic
from carna.ecg.spikes import paced_beats, pacing_spikes
from carna.ecg.traces import Bools, Float, Floats, Ints, checked
from carna.progress import SILENT, Progress
from carna.signal import runs

NORMAL, SUPRAVENTRICULAR, VENTRICULAR, PACED, UNKNOWN = range(5)
KINDS = ("normal", "supraventricular", "ventricular", "paced", "unknown")
NAMES = (
    "early", "after", "both", "qrs_like", "t_like", "p_like", "wider", "larger", "cluster_share",
    "cluster_early", "rhythm", "cluster_like", "calm",
)  # fmt: skip
# What the ventricular score sees: products of them.
CROSSED = (
    "unlike", "unlike^2", "cluster unlike", "cluster unlike^2", "unlike, early", "unlike, pause",
    "unlike, T unlike", "unlike, wider", "wider", "unlike, P", "cluster unlike, early",
    "cluster unlike, share", "unlike, larger", "T unlike", "unlike, irregular",
)  # fmt: skip
STRETCH_S = 600.0
MARGIN_S = 5.0
LEADS = 3  # the best ones: more cost time and add little
QRS_S = (-0.10, 0.12)
T_S = (0.14, 0.42)
ALIKE = 0.85
CLUSTERS = 24
LOCAL = 21  # intervals: what is usual here
EARLY, EARLY_CHANGES, SUDDEN, RESTORED = 0.15, 6.0, 0.10, -0.05  # natural logarithms of interval ratios
SURE = 0.15  # this far from even odds
CONFIDENCE, TRUST = 0.5, 0.7
BROAD_S = 0.09  # spread of a QRS: bundle branch blocks of 121 people reach 0.089, the median is 0.032
BROAD_RR_S = (0.60, 1.33)  # not called broad between these intervals


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """The kind of every beat.

    Attributes
    ----------
    kind : (n,) int64
        Index into `KINDS`.
    ventricular : (n,) float, 0 to 1
        Score for ventricular; even odds at 0.5. Calibrated on nobody else's recordings.
    features : (n, 13) float32
        As in `NAMES`: the evidence.
    before : (n, 45) float32
        What lies 0.50 to 0.06 s before every beat in the lead with the largest QRS (see `atrial.p_units`).
    """

    kind: Ints
    ventricular: Floats
    features: Float
    before: Float

    @property
    def plain(self) -> Bools:
        """Beats that are not known to be ectopic."""
        return np.asarray((self.kind != SUPRAVENTRICULAR) & (self.kind != VENTRICULAR))


def trusted(beats: Beats) -> Bools:
    """Tell which intervals have two beats of trust 0.7 and more, ``(n - 1,)``."""
    return np.asarray(np.minimum(beats.trust[1:], beats.trust[:-1]) >= TRUST)


def beat_kinds(
    ecg: NDArray[np.floating],
    rate_hz: float,
    beats: Beats,
    *,
    score: Logistic | None = None,
    progress: Progress = SILENT,
) -> Kinds:
    """Tell the kind of every beat.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        50 Hz or more.
    beats : Beats
        Of `carna.ecg.find_beats` on the same recording.
    score : Logistic, optional
        On the columns of `CROSSED`; the shipped one when absent.
    progress : Progress
        Told about every ten minutes.

    Returns
    -------
    Kinds

    Raises
    ------
    InputError
        If the array is not (leads, samples) or the rate is below 50 Hz.
    """
    features, before = describe_kinds(ecg, rate_hz, beats, progress=progress)
    kinds = told(features, before, beats, score)
    broad = _broad(ecg, rate_hz, beats) & kinds.plain
    paced = paced_beats(beats.sample, pacing_spikes(ecg, rate_hz), rate_hz)
    return replace(kinds, kind=np.where(paced, PACED, np.where(broad, UNKNOWN, kinds.kind)))


def _broad(ecg: NDArray[np.floating], rate_hz: float, beats: Beats) -> Bools:
    """Tell which beats are as broad as only ventricular ones are, in a rhythm that is fast or slow."""
    from scipy.ndimage import median_filter

    n = len(beats.sample)
    out = np.zeros(n, bool)
    if n < 3:
        return out
    rr = median_filter(np.diff(beats.sample) / rate_hz, min(5, 2 * (n - 1) - 1), mode="nearest")
    odd = np.concatenate([rr[:1], rr])
    odd = (odd < BROAD_RR_S[0]) | (odd > BROAD_RR_S[1])
    lead = int(np.argmax(beats.share))
    for a, b in runs(odd):
        # in stretches: a day of tachycardia is long
        for group in np.array_split(np.arange(a, b), max(1, (b - a) // 200)):
            start = max(0, int(beats.sample[group[0]] - MARGIN_S * rate_hz))
            stop = int(beats.sample[group[-1]] + MARGIN_S * rate_hz)
            trace, rate = working(ecg[lead : lead + 1, start:stop], rate_hz)
            qrs = windows(trace, rate, (beats.sample[group] - start) / rate_hz, *QRS_S)
            width = _spread(qrs - qrs.mean(2, keepdims=True))
            width = median_filter(width, min(9, 2 * len(width) - 1), mode="nearest")
            out[group] = width > BROAD_S
    return out


def told(features: Float, before: Float, beats: Beats, score: Logistic | None = None) -> Kinds:
    """Decide, given the description of the beats (`describe_kinds`)."""
    chance = (score or VENTRICULAR_SCORE)(crossed(features))[:, 1]
    wide = chance > 0.5
    kind = np.where(wide, VENTRICULAR, np.where(_supraventricular(features, wide), SUPRAVENTRICULAR, NORMAL))
    unsure = (beats.confidence < CONFIDENCE) | (beats.trust < TRUST) | (np.abs(chance - 0.5) < SURE)
    return Kinds(np.where(unsure, UNKNOWN, kind).astype(np.int64), chance, features, before)


def crossed(features: Float) -> Floats:
    """Return the products of `CROSSED`, ``(n, 15)``, of the numbers of `NAMES`."""
    early, after, _, like, t_like, p_like, wider, larger, share, c_early, rhythm, c_like, _ = (
        features.T.astype(float)
    )
    unlike = np.sqrt(np.clip(1 - like, 0, 1.2))
    cluster = np.sqrt(np.clip(1 - c_like, 0, 1.2))
    other_t = np.clip(1 - t_like, 0, 2)
    wide = np.clip(wider, -0.3, 1)
    return np.column_stack(
        [
            unlike,
            unlike**2,
            cluster,
            cluster**2,
            unlike * np.clip(-early, -0.1, 0.7),
            unlike * np.clip(after, -0.3, 0.6),
            unlike * other_t,
            unlike * wide,
            wide,
            unlike * np.clip(p_like, -0.6, 1),
            cluster * np.clip(-c_early, -0.1, 0.6),
            cluster * np.clip(share, -6, 0),
            unlike * larger,
            other_t / 2,
            unlike * np.clip(rhythm + 3, 0, 3),
        ]
    )


def _supraventricular(features: Float, wide: Bools) -> Bools:
    """Early, sudden, of the dominant shape, and the usual interval after it."""
    early, after, like = (features[:, NAMES.index(n)].astype(float) for n in ("early", "after", "qrs_like"))
    change = np.exp(features[:, NAMES.index("calm")].astype(float)) - 0.005
    hasty = ~wide & (like > ALIKE) & (early < -np.maximum(EARLY, EARLY_CHANGES * change))
    out = np.zeros(len(hasty), bool)
    for a, b in runs(hasty):
        sudden = a > 0 and early[a] - early[a - 1] < -SUDDEN and not wide[a - 1]
        if sudden and after[b - 1] > RESTORED:
            out[a:b] = True
    return out


def describe_kinds(
    ecg: NDArray[np.floating], rate_hz: float, beats: Beats, *, progress: Progress = SILENT
) -> tuple[Float, Float]:
    """Return the numbers ``(n, 13)`` of every beat and what is before it ``(n, 45)``; see `beat_kinds`."""
    ecg = checked(ecg, rate_hz)
    samples = ecg.shape[1]
    out = np.zeros((len(beats.sample), len(NAMES)), np.float32)
    before = np.zeros((len(beats.sample), BEFORE_WIDTH), np.float32)
    chosen = np.sort(np.argsort(beats.share)[::-1][:LEADS])
    chosen = chosen[beats.share[chosen] >= 0.1 * beats.share.max()]
    weight = np.sqrt(beats.share[chosen]).astype(np.float32)
    timing = _timing(beats.sample / rate_hz)
    count = max(1, round(samples / rate_hz / STRETCH_S))
    edges = np.linspace(0, samples, count + 1).astype(int)
    for k in progress.over(range(count), count, "telling beats apart"):
        mine = slice(*np.searchsorted(beats.sample, (edges[k], edges[k + 1])))
        if mine.stop == mine.start:
            continue
        start = max(0, edges[k] - round(MARGIN_S * rate_hz))
        part = ecg[chosen, start : min(samples, edges[k + 1] + round(MARGIN_S * rate_hz))]
        trace, rate = working(part, rate_hz)
        at = (beats.sample[mine] - start) / rate_hz
        cut = windows(trace, rate, at, LONG_FROM_S, BEAT_TO_S) * weight[:, None]
        out[mine], before[mine] = _stretch(cut, timing[mine])
    return out, before


def _timing(at_s: Floats) -> Floats:
    """How early each beat comes, what follows, both together (logarithms), and how irregular it is around."""
    from scipy.ndimage import median_filter, percentile_filter

    n = len(at_s)
    if n < 3:
        return np.zeros((n, 5))
    rr = np.diff(at_s)
    usual = median_filter(np.minimum(rr, 2.0), min(LOCAL, 2 * len(rr) - 1), mode="nearest")
    change = np.abs(np.diff(np.minimum(rr, 2.0)))
    change = np.concatenate([change, change[-1:]]) / usual
    width = min(LOCAL, 2 * len(rr) - 1)
    irregular = median_filter(change, width, mode="nearest")
    calm = percentile_filter(change, 25, width, mode="nearest")
    before, after = np.concatenate([rr[:1], rr]), np.concatenate([rr, rr[-1:]])
    here = np.concatenate([usual[:1], usual])
    early, late = np.log(before / here), np.log(after / here)
    both = np.log((before + after) / (2 * here))
    rhythm, least = (np.log(np.concatenate([c[:1], c]) + 0.005) for c in (irregular, calm))
    return np.column_stack(
        [np.clip(early, -1.2, 1), np.clip(late, -1.2, 1), np.clip(both, -1, 1), rhythm, least]
    )


def _stretch(beats: Float, timing: Floats) -> tuple[Float, Float]:
    """Describe the beats ``(n, leads, width)`` of one stretch."""

    def cut(span: tuple[float, float]) -> Float:
        a, b = (round((s - LONG_FROM_S) * GRID_HZ) for s in span)
        part = beats[:, :, a : b + 1]
        return np.asarray(part - part.mean(2, keepdims=True))

    qrs, t = cut(QRS_S), cut(T_S)
    flat = qrs.reshape(len(qrs), -1)
    size = np.maximum(np.linalg.norm(flat, axis=1), 1e-9)
    unit = flat / size[:, None]
    cluster = clusters(unit)
    count = np.bincount(cluster)
    early = timing[:, 0] < np.log(0.9)
    spread = _spread(qrs)
    on_time = np.bincount(cluster, ~early)
    # among clusters with nearly as many beats that come in time, the narrowest
    rivals = np.flatnonzero(on_time >= 0.7 * on_time.max())
    widths = [float(np.median(spread[cluster == c])) for c in rivals]
    dominant = int(rivals[int(np.argmin(widths))])
    own = cluster == dominant
    model = _normed(np.median(unit[own], 0))
    t_flat = t.reshape(len(t), -1)
    t_model = _normed(np.median(t_flat[own], 0))
    best = int(np.argmax(np.abs(flat[own]).reshape(own.sum(), qrs.shape[1], -1).max(2).mean(0)))
    before = beats[:, best, :BEFORE_WIDTH]
    p, _ = p_units(before)
    p_model = p[own & ~early].mean(0) if (own & ~early).any() else np.zeros(p.shape[1])
    like = unit @ model
    members_early = np.bincount(cluster, timing[:, 0]) / np.maximum(count, 1)
    members_like = np.bincount(cluster, like) / np.maximum(count, 1)
    numbers = np.column_stack(
        [
            timing[:, :3],
            like,
            t_flat @ t_model / np.maximum(np.linalg.norm(t_flat, axis=1), 1e-9),
            # the model is not normed: where P waves do not repeat, likeness to them stays small
            p @ p_model,
            np.clip(np.log(spread / np.median(spread[own])), -1, 1),
            np.clip(np.log(size / np.median(size[own])), -1.5, 1.5),
            np.log(count[cluster] / len(cluster)),
            members_early[cluster],
            timing[:, 3],
            members_like[cluster],
            timing[:, 4],
        ]
    ).astype(np.float32)
    return numbers, before


def clusters(unit: Float) -> Ints:
    """Gather rows of norm 1 into clusters of correlation above 0.85, the most crowded first.

    Parameters
    ----------
    unit : (n, width) float32
        Centred shapes of norm 1.

    Returns
    -------
    (n,) int64
        Cluster of every row; after 24 clusters what is left goes to the nearest, or into one of the rest
        when it resembles none (correlation below 0.5).
    """
    near = unit @ unit.T > ALIKE
    np.fill_diagonal(near, True)  # a flat cut-out resembles nothing, not even itself
    left = np.ones(len(unit), bool)
    out = np.zeros(len(unit), np.int64)
    crowd = near.sum(1).astype(np.int64)
    models: list[Float] = []
    for k in range(CLUSTERS):
        if not left.any():
            break
        centre = int(np.argmax(np.where(left, crowd, -1)))
        mean = _normed(unit[near[centre] & left].mean(0))
        members = left & (near[centre] | (unit @ mean > ALIKE))
        out[members] = k
        models.append(mean)
        crowd -= near[:, members].sum(1)
        left &= ~members
    if left.any():
        fit = unit[left] @ np.stack(models).T
        out[left] = np.where(fit.max(1) > 0.5, fit.argmax(1), len(models))
    return out


def _spread(qrs: Float) -> Floats:
    """Width of every QRS: twice the standard deviation of its squared slope in time, s."""
    power = (np.diff(qrs, axis=2) ** 2).sum(1).astype(np.float64)
    power /= np.maximum(power.sum(1, keepdims=True), 1e-12)
    time = np.arange(power.shape[1]) / GRID_HZ
    centre = power @ time
    return np.asarray(2 * np.sqrt(np.maximum(power @ time**2 - centre**2, 1e-6)))


def _normed(v: NDArray[np.floating]) -> Float:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-9), np.float32)
