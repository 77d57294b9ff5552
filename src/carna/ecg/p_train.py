"""A train of P waves that keeps its own time, whatever the ventricles do.

Where P waves do not go before most beats, `carna.ecg.p_waves` cannot start from them: in complete block
they drift through the cardiac cycle, in short Wenckebach periods PR jumps. What remains is that the sinus
node goes on. The train is found in four steps:

1. the average QRS and T are taken away, and every QRS is bridged; what happens between the end of T and the
   next QRS is *seen*, the rest *hidden*;
2. bumps of the width of a P wave: the direction across the leads in which most of them point is that of the
   atria, and their maxima along it (both signs are tried) are candidates;
3. every strong candidate and every period of 40 to 165 per minute propose a train, followed in both
   directions with a period that may change slowly; the best one has most waves on time, few missing where one
   would be seen, and leaves few candidates over;
4. the waves on time are averaged, all that look like their average become the candidates, and step 3 is
   repeated.

It is believed when nine places of ten that can be seen hold a wave like the average, when hardly any such
wave lies elsewhere, when six or more were seen, and when they are not every second or third of the places.
**Waves at hidden places are inferred**, not seen: `Train` tells which. Fibrillatory waves and noise leave
waves over; a sinus node that is reset (early beats) or irregular by more than a tenth from beat to beat has
no train.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carna.ecg.aligned import GRID_HZ, windows
from carna.ecg.traces import Bools, Float, Floats

PERIOD_S = (0.36, 1.5)
PERIODS = 56
STARTS = 8  # strongest candidates from which a train is followed
LATE = 0.07  # of the period: how far a wave may be off its place
DRIFT = 0.3  # how much of a period measured anew is taken over
QRS_S = (0.07, 0.10)  # hidden around R
T_S = 0.03  # hidden after the end of T
BUMP_S = 0.09  # from the peak of a P wave to its feet
LEAST_SEEN = 0.15  # of every second and every third place
STRONG = 0.4  # of the stronger candidates
ON_TIME, OVER, FEWEST = 0.87, 0.19, 6
INFERRED = 0.4  # what a hidden place costs: else twice the true rate fits as well
HALF_S = 0.08
ALIKE, SIZE = 0.70, (0.5, 2.0)
SHOWN = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """P waves that keep their own time.

    Attributes
    ----------
    at_s : (n,) float
        P peaks, s, increasing.
    seen : (n,) bool
        False where QRS or T hides the place: the time is inferred from the neighbours.
    on_time : float, 0 to 1
        Share of the places that can be seen at which a wave is.
    over : float
        Waves alike elsewhere, for each wave on time.
    """

    at_s: Floats
    seen: Bools
    on_time: float
    over: float


def p_train(trace: Float, rate_hz: float, r_s: Floats, t_end_s: Floats) -> Train | None:
    """Follow P waves independently of the beats.

    Parameters
    ----------
    trace : (leads, n) float
        `carna.ecg.aligned.working`, mV.
    rate_hz : float
        Its rate.
    r_s, t_end_s : (beats,) float
        R peaks and ends of T, s; three beats or more.

    Returns
    -------
    Train or None
        None when no train is believed.
    """
    if len(r_s) < 3:
        return None
    rest = _without_beats(trace, rate_hz, r_s, t_end_s)
    clock = np.arange(0.1, trace.shape[1] / rate_hz - 0.1, 1 / GRID_HZ)
    seen = _seen(clock, r_s, t_end_s)
    if seen.sum() < GRID_HZ:
        return None
    bumps = _bumps(rest, rate_hz, clock)
    _, vectors = np.linalg.eigh(np.cov(bumps[seen].T.reshape(len(rest), -1)).reshape(len(rest), -1))
    along = bumps @ vectors[:, -1]
    best, tallest = None, 0.0
    for signed in (along, -along):
        first = _follow(clock, signed, seen, STRONG * _usual(signed, seen))
        if first is None or first.seen.sum() < FEWEST - 1:
            continue
        like = _likeness(rest, rate_hz, clock, first.at_s[first.seen])
        found = None if like is None else _follow(clock, like, seen, ALIKE)
        if found is None or not _believed(found):
            continue
        # what dips beside every P wave makes a train of its own, but a lower one
        height = float(np.median(np.interp(found.at_s[found.seen], clock, signed)))
        if height > tallest:
            best, tallest = found, height
    return best


def _believed(train: Train) -> bool:
    if train.on_time < ON_TIME or train.over > OVER or train.seen.sum() < FEWEST:
        return False
    # every second place always hidden, or two of three: the true rate may be a half or a third
    halves, thirds = ([train.seen[k::n].mean() >= LEAST_SEEN for k in range(n)] for n in (2, 3))
    return all(halves) and sum(thirds) >= 2


def _without_beats(trace: Float, rate_hz: float, r_s: Floats, t_end_s: Floats) -> Floats:
    """Take the average beat from QRS to the end of T away, and bridge what is left of every QRS."""
    rest = trace.astype(np.float64)
    until = np.minimum(t_end_s + 0.06, np.append(r_s[1:] - QRS_S[0], np.inf))
    longest = float(np.max(until - r_s))
    mean = np.median(windows(trace, rate_hz, r_s, -QRS_S[0], longest), 0)
    grid = np.arange(mean.shape[1]) / GRID_HZ - QRS_S[0]
    times = np.arange(trace.shape[1]) / rate_hz
    bad = np.zeros(len(times), bool)
    for r, stop in zip(r_s, until, strict=True):
        a, b = np.searchsorted(times, (r - QRS_S[0], stop))
        if b - a < 3:
            continue
        for lead, shape in zip(rest, mean, strict=True):
            # the average starts and ends at the level of the beat's own surroundings
            own = np.interp(times[a:b] - r, grid, shape)
            lead[a:b] -= own - np.interp(times[a:b], (times[a], times[b - 1]), (own[0], own[-1]))
        bad[a : np.searchsorted(times, r + QRS_S[1])] = True
    if bad.all():
        return rest
    return np.array([np.interp(times, times[~bad], lead[~bad]) for lead in rest])


def _seen(clock: Floats, r_s: Floats, t_end_s: Floats) -> Bools:
    out = np.ones(len(clock), bool)
    for r, end in zip(r_s, t_end_s, strict=True):
        out &= (clock < r - QRS_S[0]) | (clock > max(end + T_S, r + QRS_S[1]))
    return out


def _bumps(rest: Floats, rate_hz: float, clock: Floats) -> Floats:
    """How far every moment stands out from 90 ms before and after, ``(times, leads)`` mV."""
    wide = windows(rest.astype(np.float32), rate_hz, clock, -BUMP_S - 0.02, BUMP_S + 0.02)
    middle = wide.shape[2] // 2
    feet = (wide[:, :, :4].mean(2) + wide[:, :, -4:].mean(2)) / 2
    return np.asarray(wide[:, :, middle - 2 : middle + 3].mean(2) - feet, np.float64)


def _usual(along: Floats, seen: Bools) -> float:
    """Height of the stronger maxima."""
    tops = along[_tops(along, seen)]
    return float(np.percentile(tops, 80)) if len(tops) else np.inf


def _tops(along: Floats, seen: Bools) -> NDInts:
    """Maxima that can be seen, none within 0.15 s of a higher one."""
    from scipy.signal import find_peaks

    found, _ = find_peaks(along, distance=round(0.15 * GRID_HZ))
    return np.asarray(found[seen[found]])


NDInts = np.ndarray[tuple[int], np.dtype[np.int64]]


def _likeness(rest: Floats, rate_hz: float, clock: Floats, at_s: Floats) -> Floats | None:
    """How much every moment looks like the average wave, -1 to 1; -1 where the size does not fit."""
    trace = rest.astype(np.float32)
    each = _level(windows(trace, rate_hz, at_s, -HALF_S, HALF_S))
    mean = np.median(each, 0)
    norm = np.linalg.norm(each, axis=2) * np.linalg.norm(mean, axis=1)
    shown = np.median((each * mean).sum(2) / np.maximum(norm, 1e-12), 0) >= SHOWN
    if not shown.any():
        return None
    parts = _level(windows(trace[shown], rate_hz, clock, -HALF_S, HALF_S)).reshape(len(clock), -1)
    wave = mean[shown].reshape(-1)
    dot = parts @ wave
    like = dot / np.maximum(np.linalg.norm(parts, axis=1) * np.linalg.norm(wave), 1e-12)
    size = dot / (wave @ wave)
    return np.where((size >= SIZE[0]) & (size <= SIZE[1]), like, -1.0)


def _level(parts: Float) -> Floats:
    slope = np.linspace(0, 1, parts.shape[-1])
    first, last = parts[..., :2].mean(-1, keepdims=True), parts[..., -2:].mean(-1, keepdims=True)
    level = parts - first - (last - first) * slope
    return np.asarray(level - level.mean(-1, keepdims=True), np.float64)


def _follow(clock: Floats, height: Floats, seen: Bools, least: float) -> Train | None:
    """Return the best train through the maxima of a height."""
    tops = _tops(height, seen)
    tops = tops[height[tops] >= least]
    if len(tops) < FEWEST - 1:
        return None
    at = clock[tops]
    starts = at[np.argsort(-height[tops])[:STARTS]]
    periods = np.geomspace(*PERIOD_S, PERIODS)
    start, period = (a.ravel() for a in np.meshgrid(starts, periods, indexing="ij"))
    ways = [_march(at, start, period, way, clock[0], clock[-1]) for way in (-1.0, 1.0)]
    place = np.concatenate([ways[0][0][::-1], start[None], ways[1][0]])
    hit = np.concatenate([ways[0][1][::-1], np.ones((1, len(start)), bool), ways[1][1]])
    index = np.clip(np.round((place - clock[0]) * GRID_HZ), 0, len(clock) - 1)
    inside = np.isfinite(place)
    clear = inside & seen[np.where(inside, index, 0).astype(np.int64)]
    hits, missing = hit.sum(0), (clear & ~hit).sum(0)
    gain = hits - 2.0 * missing - (len(at) - hits) - INFERRED * (inside & ~clear & ~hit).sum(0)
    best = int(np.argmax(gain))
    kept = inside[:, best]
    n = int(hits[best])
    return Train(
        at_s=place[kept, best],
        seen=hit[kept, best],
        on_time=n / max(n + int(missing[best]), 1),
        over=(len(at) - n) / max(n, 1),
    )


def _march(
    at: Floats, start: Floats, period: Floats, way: float, low: float, high: float
) -> tuple[Floats, Bools]:
    """Go on from every start by every period; places ``(steps, hypotheses)``, NaN beyond the recording."""
    last, since, period, place = start.copy(), np.zeros(len(start)), period.copy(), start.copy()
    places, hits = [], []
    for _ in range(int((high - low) / PERIOD_S[0]) + 1):
        since += 1
        expected = last + way * since * period
        k = np.clip(np.searchsorted(at, expected), 1, len(at) - 1)
        near = np.where(np.abs(at[k - 1] - expected) <= np.abs(at[k] - expected), at[k - 1], at[k])
        hit = np.abs(near - expected) <= LATE * period * np.sqrt(since) + 0.01
        period = np.where(hit, period + DRIFT * (np.abs(near - last) / since - period), period)
        place = np.where(hit, near, expected)
        last, since = np.where(hit, near, last), np.where(hit, 0.0, since)
        beyond = (place < low) | (place > high)
        if beyond.all():
            break
        places.append(np.where(beyond, np.nan, place))
        hits.append(hit & ~beyond)
    empty = np.zeros((0, len(start)))
    return (np.array(places), np.array(hits)) if places else (empty, empty.astype(bool))
