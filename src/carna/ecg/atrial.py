"""What the atria do, as far as a surface lead tells: fibrillation, flutter, or a wave before every beat.

Three witnesses, none enough alone:

**Irregularity.** In atrial fibrillation (AF) intervals follow each other without memory. The first feature
is the sample entropy of the intervals with one step of memory, corrected for rate and tolerance
(coefficient of sample entropy, Lake & Moorman, doi:10.1152/ajpheart.00561.2010): ``E = -ln((A + 1)/(B + 1))
+ ln(2 r) - ln(mean RR)`` where B counts pairs of intervals closer than ``r = 30 ms`` and A those whose
successors are as close too. Regular rhythms lie below -2, AF above -1.2. Premature beats raise it less than
they raise the spread; the other features (successive change, Lorenz plot cells, turning points, memory)
separate bigeminy and blocked beats from AF.

**The P wave.** In 280 to 50 ms before the QRS the windows of sinus beats look alike; in AF they do not.
Likeness is the mean correlation of two such windows of different beats (0 when nothing repeats, 1 when all
are equal); windows of long recordings are also compared from 500 ms on, for P waves far ahead.

**Fibrillatory waves.** What is left when the average beat is taken away, between 3.5 and 10 Hz. Only strips
of good quality show it: it is weak evidence and never used alone.

Known failures: multifocal atrial rhythm and very frequent atrial ectopy pass for AF; AF with a paced or
otherwise regular ventricle (complete block) is missed. Flutter has a page of its
own (`carna.ecg.flutter`): here, with fixed conduction it is regular and passes for sinus rhythm or a fast
rhythm, with changing conduction for AF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carna.ecg.aligned import GRID_HZ, windows
from carna.ecg.atrial_weights import FIBRILLATION_SCORE
from carna.ecg.logistic import Logistic
from carna.ecg.traces import Bools, Float, Floats, Ints
from carna.signal import runs

TOLERANCE_S = 0.03
LONGEST_RR_S = 2.5  # longer: a beat was missed, or a pause; no part of irregularity
BEAT_FROM_S, BEAT_TO_S = -0.35, 0.45
P_FROM_S, P_TO_S = -0.28, -0.06
LONG_FROM_S = -0.50  # with a long PR interval the P wave lies further ahead
BEFORE_WIDTH = 45  # samples from there to P_TO_S on the common grid
F_HZ = (3.5, 10.0)
CELL_S = 0.04  # of the Lorenz plot
IRREGULARITY = (
    "entropy", "change", "rmssd", "changed", "spread", "diversity", "cells", "origin", "turning", "memory",
)  # fmt: skip


def irregularity(rr_s: Floats) -> Floats:
    """Describe how irregular windows of successive intervals are.

    Parameters
    ----------
    rr_s : (windows, n) float
        Successive RR intervals, s, n >= 6.

    Returns
    -------
    (windows, 10) float
        Columns as in `IRREGULARITY`: E (see the top of the page); natural logarithms of median and root
        mean square successive change over median interval; fraction of changes above 10 %; 10-90 % range
        over median; Shannon entropy of intervals in bins of 8 % of the median, nats; occupied cells of 40
        ms in the plot of successive changes, per point; fraction of its points within 60 ms of the origin;
        fraction of turning points (2/3 if random); correlation of neighbours.
    """
    rr = np.asarray(rr_s, np.float64)
    n = rr.shape[1]
    median = np.median(rr, 1, keepdims=True)
    change = np.diff(rr, axis=1)
    size = np.abs(change) / median
    low, high = np.percentile(rr, (10, 90), axis=1)
    bins = np.clip(np.floor((rr / median - 0.4) / 0.08), 0, 19)
    filled = np.stack([(bins == k).mean(1) for k in range(20)])
    diversity = -(filled * np.log(np.maximum(filled, 1e-12))).sum(0)
    cell = np.round(change / CELL_S)
    places = np.sort(cell[:, :-1] * 1000 + cell[:, 1:], axis=1)
    cells = (1 + (np.diff(places, axis=1) != 0).sum(1)) / (n - 2)
    centred = rr - rr.mean(1, keepdims=True)
    memory = (centred[:, 1:] * centred[:, :-1]).sum(1) / np.maximum((centred**2).sum(1), 1e-9)
    return np.column_stack(
        [
            entropy(rr),
            np.log(np.median(size, 1) + 0.005),
            np.log(np.sqrt((size**2).mean(1)) + 0.005),
            (size > 0.1).mean(1),
            (high - low) / median[:, 0],
            diversity,
            cells,
            origin(change),
            (change[:, 1:] * change[:, :-1] < 0).mean(1),
            memory,
        ]
    )


def entropy(rr: Floats) -> Floats:
    """Return E of every row of intervals (s), as the top of the page has it."""
    close = np.abs(rr[:, :, None] - rr[:, None, :]) < TOLERANCE_S
    # every pair is seen twice, each interval once with itself
    n = rr.shape[1] - 1
    pairs = (close[:, :-1, :-1].sum((1, 2)) - n) / 2
    followed = ((close[:, :-1, :-1] & close[:, 1:, 1:]).sum((1, 2)) - n) / 2
    return np.asarray(-np.log((followed + 1) / (pairs + 1)) + np.log(2 * TOLERANCE_S) - np.log(rr.mean(1)))


def origin(change: Floats) -> Floats:
    """Return the fraction of two changes in a row (s) that are both below 60 ms."""
    still = np.abs(change) < 1.5 * CELL_S
    return np.asarray((still[:, 1:] & still[:, :-1]).mean(1))


def p_units(before: Float) -> tuple[Float, Float]:
    """Return the P windows of beats as unit vectors without offset and slope: -0.28 s on, and -0.50 s on.

    Parameters
    ----------
    before : (beats, 45) float32
        One lead from 0.50 to 0.06 s before R, on the common grid.

    Returns
    -------
    (beats, 23) and (beats, 45) float32
    """
    near = round((P_FROM_S - LONG_FROM_S) * GRID_HZ)
    return _unit(_levelled(before[:, near:])), _unit(_levelled(before))


def running_likeness(units: Float, count: int) -> Floats:
    """Return the mean correlation of two different rows of every ``count``, ``(beats - count + 1,)``."""
    total = np.concatenate([np.zeros((1, units.shape[1])), np.cumsum(units, 0, dtype=np.float64)])
    sums = total[count:] - total[:-count]
    return np.asarray(((sums**2).sum(1) - count) / (count * (count - 1)))


WINDOW = 29  # intervals, of 30 beats
FEWEST = 15
CHUNK = 2048  # windows at once: bounds memory
WINDOW_NAMES = ("entropy", "origin", "interval", "p_likeness")


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Stretches of 29 plain intervals in a row.

    Attributes
    ----------
    features : (windows, 4) float
        As in `WINDOW_NAMES`: entropy E, fraction of two changes in a row below 60 ms, logarithm of the
        median interval, and likeness of the P windows: the mean correlation of two different beats (0 in
        AF, toward 1 in sinus rhythm), the larger of a short and a long window.
    first, last : (windows,) int64
        First and last beat of each.
    """

    features: Floats
    first: Ints
    last: Ints


def rhythm_windows(at_s: Floats, before: Float, plain: Bools, usable: Bools | None = None) -> Windows:
    """Describe every window of 29 plain intervals.

    An interval is plain when neither of its beats is ectopic: ectopy is irregular, and says nothing of the
    atria. Where fewer than 29 follow each other, but 15 or more, all of them are one window. Windows in
    which most beats are ectopic are left out.

    Parameters
    ----------
    at_s : (n,) float
        Beat times, s, increasing.
    before : (n, 45) float32
        What is before each beat (`carna.ecg.kinds.Kinds.before`).
    plain : (n,) bool
        False for beats known to be supraventricular or ventricular.
    usable : (n - 1,) bool, optional
        Which intervals may be used: False across gaps and where beats are not to be trusted.
    """
    rr = np.diff(at_s)
    use = rr < LONGEST_RR_S
    use &= True if usable is None else np.asarray(usable, bool)
    rows, first, last = [np.zeros((0, len(WINDOW_NAMES)))], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for a, b in runs(use):
        kept = a + np.flatnonzero(plain[a:b] & plain[a + 1 : b + 1])
        if len(kept) < FEWEST:
            continue
        count = min(WINDOW, len(kept))
        seen = np.lib.stride_tricks.sliding_window_view(rr[kept], count)
        disorder = [entropy(seen[k : k + CHUNK]) for k in range(0, len(seen), CHUNK)]
        likeness = np.max([running_likeness(units, count) for units in p_units(before[kept + 1])], axis=0)
        begin, end = kept[: len(seen)], kept[count - 1 :] + 1
        dense = end - begin < 2 * count
        near = origin(np.diff(seen, axis=1))
        rows.append(
            np.column_stack([np.concatenate(disorder), near, np.log(np.median(seen, 1)), likeness])[dense]
        )
        first.append(begin[dense])
        last.append(end[dense])
    return Windows(np.concatenate(rows), np.concatenate(first), np.concatenate(last))


def fibrillation(
    at_s: Floats,
    before: Float,
    plain: Bools,
    usable: Bools | None = None,
    *,
    score: Logistic | None = None,
) -> Floats:
    """Return for every beat the probability that the atria fibrillate around it.

    Every window (`rhythm_windows`, the parameters are the same) is scored by a logistic model
    (`atrial_weights`, its card there); a beat gets the mean log odds of the windows it lies in.

    Returns
    -------
    (n,) float, 0 to 1
        NaN where there are too few plain intervals in a row: not assessable.
    """
    model = score or FIBRILLATION_SCORE
    found = rhythm_windows(at_s, before, plain, usable)
    odds = _log_odds(found, model)
    total, count = np.zeros((2, len(at_s) + 1))
    for values, sums in ((odds, total), (np.ones(len(odds)), count)):
        np.add.at(sums, found.first, values)
        np.subtract.at(sums, found.last + 1, values)
    total, count = np.cumsum(total)[:-1], np.round(np.cumsum(count)[:-1])
    told = count > 0
    out = np.full(len(at_s), np.nan)
    out[told] = 1 / (1 + np.exp(-np.clip(total[told] / count[told], -30, 30)))
    return out


def mean_log_odds(found: Windows, score: Logistic) -> float:
    """Return the mean log odds of windows, -6 to 6; 0 (undecided) when there are none."""
    return float(np.clip(_log_odds(found, score).mean(), -6, 6)) if len(found.features) else 0.0


def _log_odds(found: Windows, score: Logistic) -> Floats:
    return np.asarray(
        found.features @ (score.weight[:, 1] - score.weight[:, 0]) + score.bias[1] - score.bias[0]
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """Atrial waves of a strip.

    Attributes
    ----------
    p_mV : float
        Peak to peak of the average P window, mV, offset and slope removed: P wave, or what noise leaves of
        it.
    p_share : float
        The same over the peak to peak of the QRS.
    p_explained : float, 0 to 1
        Variance of the average P window over the mean variance of the single ones.
    p_likeness, p_lower : float, -1 to 1
        Median and lower quartile of the correlation of single P windows with their average.
    p_before_s : float
        From the highest point of the average P window to R, s.
    f_mV : float
        Root mean square between 3.5 and 10 Hz of what remains without the average beat, QRS bridged, mV.
    f_share : float
        Its power over that between 1 and 20 Hz.
    f_hz : float
        Its strongest frequency.
    f_concentration : float, 0 to 1
        Power within 0.75 Hz of it over that between 3 and 15 Hz.
    """

    p_mV: float
    p_share: float
    p_explained: float
    p_likeness: float
    p_lower: float
    p_before_s: float
    f_mV: float
    f_share: float
    f_hz: float
    f_concentration: float


def activity(trace: Float, rate_hz: float, at_s: Floats, alike: Bools) -> Activity:
    """Measure atrial waves in one lead.

    Parameters
    ----------
    trace : (n,) float32
        The working trace of a lead (`carna.ecg.aligned.working`), mV.
    rate_hz : float
        Its rate.
    at_s : (beats,) float
        R peaks, s; four or more.
    alike : (beats,) bool
        Beats of the dominant shape: only these are averaged.

    Returns
    -------
    Activity
    """
    from scipy.signal import welch

    beats = windows(trace[None], rate_hz, at_s, BEAT_FROM_S, BEAT_TO_S)[alike, 0]
    zero = round(-BEAT_FROM_S * GRID_HZ)
    qrs = float(np.ptp(np.median(beats, 0)[zero - 8 : zero + 9])) + 1e-9
    a, b = round((P_FROM_S - BEAT_FROM_S) * GRID_HZ), round((P_TO_S - BEAT_FROM_S) * GRID_HZ) + 1
    flat = _levelled(beats[:, a:b])
    mean = np.median(flat, 0)
    like = _unit(flat) @ _unit(mean[None])[0]
    rest = without_beats(trace, rate_hz, at_s, alike)
    length = min(len(rest), round(4 * rate_hz))
    hz, power = welch(rest, rate_hz, nperseg=length, nfft=max(length, round(8 * rate_hz)))
    inside = (hz >= F_HZ[0]) & (hz <= F_HZ[1])
    peak = float(hz[inside][np.argmax(power[inside])])
    wave = float(power[inside].sum())
    return Activity(
        p_mV=float(np.ptp(mean)),
        p_share=float(np.ptp(mean)) / qrs,
        p_explained=float(mean.var() / max(float(flat.var(1).mean()), 1e-9)),
        p_likeness=float(np.median(like)),
        p_lower=float(np.percentile(like, 25)),
        p_before_s=-P_FROM_S - float(np.argmax(mean)) / GRID_HZ,
        f_mV=float(np.sqrt(wave * (hz[1] - hz[0]))),
        f_share=wave / max(float(power[(hz >= 1) & (hz <= 20)].sum()), 1e-15),
        f_hz=peak,
        f_concentration=float(power[np.abs(hz - peak) <= 0.75].sum())
        / max(float(power[(hz >= 3) & (hz <= 15)].sum()), 1e-15),
    )


def without_beats(trace: Float, rate_hz: float, at_s: Floats, alike: Bools) -> Floats:
    """Subtract the average beat, scaled to each, and bridge what is left of every QRS, ``(n,)`` mV.

    The window of a beat ends where the next one's begins (0.3 s before it, less at high rates).
    """
    wide = windows(trace[None], rate_hz, at_s, -0.3, 0.6)[alike, 0]
    mean = np.median(wide, 0)
    grid = np.arange(len(mean)) / GRID_HZ - 0.3
    rest = trace.astype(np.float64)
    lead_in = np.minimum(0.3, 0.35 * np.diff(at_s))
    starts = np.concatenate([[at_s[0] - 0.3], np.maximum(at_s[1:] - lead_in, at_s[:-1] + 0.15)])
    stops = np.minimum(at_s + 0.6, np.concatenate([starts[1:], [np.inf]]))
    for beat, start, stop in zip(at_s, starts, stops, strict=True):
        a, b = max(0, int(np.ceil(start * rate_hz))), min(len(rest), int(stop * rate_hz))
        if b - a < 3:
            continue
        shape = np.interp(np.arange(a, b) / rate_hz - beat, grid, mean)
        centred = shape - shape.mean()
        gain = float(np.clip(centred @ rest[a:b] / max(float(centred @ centred), 1e-12), 0.5, 1.5))
        rest[a:b] -= gain * shape
    times = np.arange(len(rest)) / rate_hz
    nearest = at_s[np.clip(np.searchsorted(at_s, times), 1, len(at_s) - 1) - np.array([[1], [0]])]
    since, until = times - nearest[0], nearest[1] - times
    outside = ((since < -0.06) | (since > 0.08)) & ((until < -0.08) | (until > 0.06))
    return np.interp(times, times[outside], rest[outside]) if outside.any() else rest


def _levelled(parts: Float) -> Float:
    """Take away the line through the means of the first and last three samples of every row."""
    slope = np.linspace(0, 1, parts.shape[1], dtype=np.float32)
    first, last = parts[:, :3].mean(1, keepdims=True), parts[:, -3:].mean(1, keepdims=True)
    return np.asarray(parts - first - (last - first) * slope)


def _unit(rows: Float) -> Float:
    """Rows without mean, of norm 1."""
    centred = rows - rows.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))
