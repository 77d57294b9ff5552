"""P waves one by one: those before the beats, and those that no QRS follows.

A blocked P wave is looked for only where the rhythm says that one must be: in an interval that is two, three
or four times the patient's own P-P interval, evenly spaced between the P waves before and after it, outside
T, and where nothing rises like a QRS. It is counted when it looks like the patient's average P wave in the
leads that show P waves well (correlation 0.75 and more, half to twice its size). When all intervals are long
(2:1 from beginning to end) the same is asked of every interval, and nearly all have to show it.

Anything in between ends in None: a long interval that could hide a P wave is neither block nor no block. So
do blocked premature atrial beats, whose P waves come early and lie in T.

Where P waves do not go before most beats, or PR is not steady, a train of P waves that keeps its own time is
looked for (`carna.ecg.p_train`): complete block, and Wenckebach periods with large steps, which look like
fibrillation to the delineator. It is used only when it shows what 1:1 conduction cannot: two P waves and more
that were *seen* with no QRS of their own, in intervals between plain beats, or dissociation. A regular
ventricle with a PR that changes, but not enough to be called dissociation, is left open: ten seconds of
complete block can look so. Slow beats (below 50 per minute) whose T may hide a P wave halfway are left open
too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.ecg.aligned import windows, working
from carna.ecg.arrhythmia import Conduction, conduction, quiet_intervals, since_last
from carna.ecg.beats import Beats
from carna.ecg.delineate import Waves
from carna.ecg.p_train import Train, p_train
from carna.ecg.traces import Bools, Float, Floats

FEWEST = 4  # beats
SEEN_IN = 0.4  # share of leads in which a P wave is delineated
HALF, BEFORE = 0.5, 0.8  # share of beats with a P wave, delineated; and with those found by their likeness
PR_S = (0.09, 0.42)  # from P peak to R
STEADY_S = 0.2  # spread of PR beyond which P waves do not belong to the beats
MOSTLY = 0.3  # share of plain beats below which all are taken for plain
STEADY_RR = 0.1  # 10-90 % range of intervals, of their median
LOCKED_S = 0.06  # spread of PR in block with a fixed ratio
HALF_S = 0.08  # an average P wave reaches this far from its peak
SHOWN = 0.7  # correlation of single P waves with their average in a lead that shows them
ALIKE, SIZE = 0.75, (0.5, 2.0)
LONG = 1.5  # P-P interval, of the patient's usual one
EVEN = 0.25  # how far a multiple may be off: the sinus node is not a clock
PLACE_S = 0.06  # how far from its place a P wave is looked for
AFTER_T_S = 0.07  # from the end of T to a P peak that can be told
ALL_LONG_S = (1.0, 2.4)  # P-P intervals of beats that may all be conducted 2:1 (atria 50 to 120 a minute)
HIDDEN_S = 1.2  # from here on a P wave that T may hide is not taken for none (atria below 100 a minute)
NEARLY_ALL, HARDLY_ANY = 0.8, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class PWaves:
    """P waves of a recording.

    Attributes
    ----------
    share : float, 0 to 1
        Beats with a P wave of those that could be seen and are not ventricular.
    conduction : Conduction or None
        P waves paired with beats; None when they could not be followed.
    train : Train or None
        The P waves that keep their own time, when ``conduction`` rests on them. Fibrillating atria have none.
    """

    share: float
    conduction: Conduction | None
    train: Train | None = None


def follow(ecg: NDArray[np.floating], rate_hz: float, beats: Beats, waves: Waves, plain: Bools) -> PWaves:
    """Follow the P waves from beat to beat.

    Parameters
    ----------
    ecg : (leads, samples) float
        mV; NaN where nothing was recorded.
    rate_hz : float
    beats : Beats
    waves : Waves
        Of the same leads and beats (`carna.ecg.delineate`).
    plain : (beats,) bool
        Beats from above the ventricles; before others no P wave is expected, and intervals that touch them
        are not searched.
    """
    r_s = beats.sample / rate_hz
    trace, hz = working(ecg, rate_hz)
    t_end = _t_ends(waves, rate_hz, r_s)
    found = _before_beats(ecg, rate_hz, (trace, hz), beats, waves, plain)
    told = found.conduction
    slow = len(r_s) > 1 and float(np.median(np.diff(r_s))) >= ALL_LONG_S[0]
    if len(r_s) < FEWEST or (told is not None and (told.blocked or not slow)):
        return found
    return _own_time(found, trace, hz, r_s, t_end, plain)


def _own_time(found: PWaves, trace: Float, hz: float, r_s: Floats, t_end: Floats, plain: Bools) -> PWaves:
    """Use the train of P waves where it shows block."""
    plain = plain if plain.mean() >= MOSTLY else np.ones(len(plain), bool)  # escape beats may all be wide
    train = p_train(trace, hz, r_s, t_end)
    if train is None:
        return found
    told = conduction(train.at_s, r_s)
    blocked = np.array(told.blocked)
    between = np.clip(np.searchsorted(r_s, blocked), 1, len(r_s) - 1)
    sound = plain[between] & plain[between - 1]
    seen = blocked if told.dissociated else np.intersect1d(blocked, train.at_s[train.seen])
    if len(seen) < 2 or not sound.all():
        return found
    rr, since = np.diff(r_s), since_last(train.at_s, r_s)
    steady = float(np.ptp(np.percentile(rr, (10, 90)))) < STEADY_RR * float(np.median(rr))
    if steady and not told.dissociated and np.ptp(np.percentile(since, (10, 90))) > LOCKED_S:
        return found
    return PWaves(found.share, told, train)


def _before_beats(
    ecg: NDArray[np.floating],
    rate_hz: float,
    work: tuple[Float, float],
    beats: Beats,
    waves: Waves,
    plain: Bools,
) -> PWaves:
    """Follow the P waves that go before beats."""
    trace, hz = work
    r_s = beats.sample / rate_hz
    p_s = _peaks(waves, rate_hz)
    could = plain & np.isfinite(waves.p).any(0)
    share = float(np.isfinite(p_s[could]).mean()) if could.any() else 0.0
    if np.isfinite(p_s[could]).sum() < FEWEST or share < HALF:
        return PWaves(share, None)
    shape = _Shape.of(trace, hz, p_s[np.isfinite(p_s) & plain])
    if shape is None:
        return PWaves(share, None)
    t_end = _t_ends(waves, rate_hz, r_s)
    p_s = np.where(plain, _placed(shape, p_s, r_s, t_end), np.nan)
    known = np.isfinite(p_s)
    pr = (r_s - p_s)[known]
    before = float(known[could].mean())
    if known.sum() < FEWEST or before < BEFORE or np.ptp(np.percentile(pr, (10, 90))) > STEADY_S:
        return PWaves(share, None)
    best = int(np.argmax(beats.share)) if len(beats.share) == len(trace) else 0
    calm = quiet_intervals(trace[best], hz, r_s, longer_s=0.0)
    recorded = np.isfinite(ecg[np.isfinite(ecg).any(1)]).all(0)
    whole = np.array([recorded[i:k].all() for i, k in itertools.pairwise(beats.sample)], bool)
    blocked = _blocked(shape, p_s, r_s, t_end, plain, calm & whole)
    if blocked is None:
        return PWaves(share, None)
    return PWaves(share, conduction(np.sort(np.concatenate([p_s[known], blocked])), r_s))


def _placed(shape: _Shape, p_s: Floats, r_s: Floats, t_end: Floats) -> Floats:
    """Move every P wave to where its average fits best, and look for those that were not delineated.

    A network that sees the neighbouring beats draws P waves to where theirs are: a PR that grows from beat to
    beat would be smoothed away.
    """
    out = p_s.copy()
    last_t = np.concatenate([[-np.inf], t_end[:-1]])
    for k, (p, r) in enumerate(zip(p_s, r_s, strict=True)):
        first, last = max(r - PR_S[1], last_t[k] + AFTER_T_S, HALF_S), r - PR_S[0]
        found = None
        if np.isfinite(p) and max(first, p - PLACE_S) < min(last, p + PLACE_S):
            found = shape.between(max(first, p - PLACE_S), min(last, p + PLACE_S))
        if found is None and first < last:
            found = shape.between(first, last)
        out[k] = p if found is None else found
    return out


def _peaks(waves: Waves, rate_hz: float) -> Floats:
    """P peak of every beat, s: the median of the leads, NaN where too few show one."""
    at = waves["p_peak"] / rate_hz
    seen, could = np.isfinite(at).sum(0), np.isfinite(waves.p).sum(0)
    enough = seen >= np.maximum(1, SEEN_IN * could)
    out = np.full(at.shape[1], np.nan)
    out[enough] = np.nanmedian(at[:, enough], 0) if enough.any() else np.nan
    return out


def _t_ends(waves: Waves, rate_hz: float, r_s: Floats) -> Floats:
    """End of T of every beat, s; the usual one where it was not found."""
    after = waves["t_off"] / rate_hz - r_s
    found = np.isfinite(after).any(0)
    ends = np.full(len(r_s), np.nan)
    ends[found] = np.nanmedian(after[:, found], 0)
    usual = float(np.median(ends[found])) if found.any() else 0.45
    return r_s + np.where(found, ends, usual)


def _blocked(
    shape: _Shape, p_s: Floats, r_s: Floats, t_end: Floats, plain: Bools, calm: Bools
) -> Floats | None:
    """Times of P waves without QRS; None when it cannot be told."""
    pp, rr = np.diff(p_s), np.diff(r_s)
    between = plain[1:] & plain[:-1]
    if not (np.isfinite(pp) & between).any():
        return None
    usual = float(np.percentile(pp[np.isfinite(pp) & between], 25))
    long = between & (np.where(np.isfinite(pp), pp, rr) > LONG * usual)
    all_long = between & np.isfinite(pp) & ~long & (pp >= ALL_LONG_S[0]) & (pp <= ALL_LONG_S[1])
    found: list[float] = []
    for k in np.flatnonzero(long):
        times = _places(p_s[k], p_s[k + 1], usual)
        if times is None:
            continue  # no multiple: a pause of the sinus node, or of a premature beat
        if not calm[k] or times[0] < t_end[k] + AFTER_T_S:
            return None
        here = [shape.near(t) for t in times]
        if any(t is None for t in here):
            return None
        found += [t for t in here if t is not None]
    if not all_long.any():
        return np.array(found, np.float64)
    steady = _two_to_one(shape, p_s, t_end, np.flatnonzero(all_long & calm))
    return None if steady is None else np.sort(np.concatenate([found, steady]))


def _places(first: float, last: float, usual: float) -> Floats | None:
    """Where P waves must be between two others; None when the interval is no multiple of the usual one.

    Not known (NaN) counts as a multiple that cannot be placed: an empty place before T.
    """
    gap = last - first
    if not np.isfinite(gap):
        return np.array([-np.inf])
    count = round(gap / usual)
    if not 2 <= count <= 4 or abs(gap / count - usual) > EVEN * usual:
        return None
    return np.asarray(first + gap / count * np.arange(1, count), np.float64)


def _two_to_one(shape: _Shape, p_s: Floats, t_end: Floats, where: NDArray[np.int64]) -> Floats | None:
    """Times of the P waves halfway, when nearly every interval shows one; none when hardly any does."""
    halfway = (p_s[where] + p_s[where + 1]) / 2
    clear = halfway >= t_end[where] + AFTER_T_S
    if clear.sum() < FEWEST - 1:
        slow = len(where) > 0 and float(np.median(np.diff(p_s)[where])) >= HIDDEN_S
        return None if slow else np.zeros(0)
    seen = [t for t in map(shape.near, halfway[clear]) if t is not None]
    share = len(seen) / int(clear.sum())
    if share <= HARDLY_ANY:
        return np.zeros(0)
    return np.array(seen) if share >= NEARLY_ALL and clear.mean() >= NEARLY_ALL else None


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """The average P wave in the leads that show it."""

    trace: Float
    rate_hz: float
    mean: Floats

    @classmethod
    def of(cls, trace: Float, rate_hz: float, p_s: Floats) -> _Shape | None:
        """Average the P waves; None when no lead shows them well."""
        each = _level(windows(trace, rate_hz, p_s, -HALF_S, HALF_S))
        mean = np.median(each, 0)
        norm = np.linalg.norm(each, axis=2) * np.linalg.norm(mean, axis=1)
        like = np.median((each * mean).sum(2) / np.maximum(norm, 1e-12), 0)
        shown = like >= SHOWN
        return cls(trace[shown], rate_hz, np.asarray(mean[shown])) if shown.any() else None

    def near(self, at_s: float) -> float | None:
        """Time of a wave like it near a place, s; None when there is none."""
        return self.between(at_s - PLACE_S, at_s + PLACE_S)

    def between(self, low_s: float, high_s: float) -> float | None:
        """Time of the wave most like it between two times, s; None when there is none."""
        times = np.arange(low_s, high_s + 0.001, 0.005)
        parts = _level(windows(self.trace, self.rate_hz, times, -HALF_S, HALF_S)).reshape(len(times), -1)
        mean = self.mean.reshape(-1)
        dot = parts @ mean
        like = dot / np.maximum(np.linalg.norm(parts, axis=1) * np.linalg.norm(mean), 1e-12)
        best = int(np.argmax(like))
        size = float(dot[best] / (mean @ mean))
        return float(times[best]) if like[best] >= ALIKE and SIZE[0] <= size <= SIZE[1] else None


def _level(parts: Float) -> Floats:
    """Take away the line through the first and last two samples of every window."""
    slope = np.linspace(0, 1, parts.shape[-1])
    first, last = parts[..., :2].mean(-1, keepdims=True), parts[..., -2:].mean(-1, keepdims=True)
    level = parts - first - (last - first) * slope
    return np.asarray(level - level.mean(-1, keepdims=True))
