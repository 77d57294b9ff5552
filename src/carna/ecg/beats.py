"""Where the heart beat: R peaks in one lead or twelve, in ten seconds or a fortnight.

1. `traces` fuses the leads into one envelope, `candidates` lists what could be a beat and describes it.
2. A score says how much a candidate speaks for being a beat: a small network on seventeen ratios
   (`beat_weights`, learned from annotated recordings, its card there).
3. The beats are the **sequence with the largest sum of scores** in which no two beats are closer than 180
   ms, a follower within 400 ms must be as sharp as its leader (a T wave is not), and an interval of a third
   of the usual one costs (a tall P wave and its QRS). Dynamic programming finds it exactly.
4. The description depends on which candidates pass for beats, so 2 and 3 run twice: the first guess goes by
   size alone.
5. Beats are kept only where the trace carries them: noise gives candidates too, but they neither look alike
   nor score well.
6. Where the ventricles seem to fibrillate, and where P waves stand alone, nothing is a beat: such stretches
   are named instead (`arrest`).

Long recordings are worked through in ten-minute stretches that overlap by 15 s: time is linear, memory
bounded.

Known failures: rates above 300 per minute; rhythmic electrode motion, which looks like beats to every
single-lead detector; smooth wide beats no larger than the T waves of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.ecg.arrest import Arrest, fibrillating, joined, p_alone, trains
from carna.ecg.beat_weights import THRESHOLD, Score, shipped
from carna.ecg.candidates import Candidates, candidates, describe
from carna.ecg.traces import Bools, Floats, Ints, Trace, bridged, checked, trace
from carna.progress import SILENT, Progress

STRETCH_S = 600.0
OVERLAP_S = 15.0
REFRACTORY_S = 0.18  # 333 per minute
T_ZONE_S = 0.40
BLUNTER, BLUNTER_COST = 0.5, 3.0  # per e-fold of sharpness lost beyond a factor of 1.6 within the T zone
HASTE = (0.26, 0.38)  # of the usual interval: where a P wave before, or a T wave after, passes for a beat
HASTE_COST = 4.0
EDGE_S, CUT_S = 0.25, 0.06
SMOOTH = 1.0  # slow envelope over that of the QRS band, natural logarithm: few real beats reach it
WIDE_S = 0.12
TRUST_BEATS = 21
CARRIED = 0.5
NO_BEATS = (np.zeros(0), np.zeros(0))
SHORTEST_S = 1.0  # nothing can be compared with anything in less


@dataclass(frozen=True, slots=True, eq=False)
class Beats:
    """Beats found in an electrocardiogram.

    Attributes
    ----------
    sample : (n,) int64
        R peak of every beat (the largest deflection of the lead that shows it best), in recorded samples,
        increasing.
    confidence : (n,) float, 0 to 1
        The learned probability that there is a beat.
    trust : (n,) float, 0.5 to 1
        Mean confidence of the 21 beats around: how well the trace carries beats here. Below 0.7 they are
        likely but not to be counted on: noise alone gives beats of such trust.
    share : (leads,) float, 0 to 1
        How much each lead contributed, on average over the recording; all 0 when no lead carries anything.
    arrests : tuple of Arrest
        Stretches in which the ventricles do not beat, or not so that beats could be told: they hold no beats.
        None found excludes nothing.
    """

    sample: Ints
    confidence: Floats
    trust: Floats
    share: Floats
    arrests: tuple[Arrest, ...] = ()


def find_beats(
    ecg: NDArray[np.floating],
    rate_hz: float,
    *,
    scores: tuple[Score, ...] | None = None,
    progress: Progress = SILENT,
) -> Beats:
    """Find every heartbeat in an electrocardiogram of any number of leads.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        Sampling rate, 50 Hz or more.
    scores : tuple of Score, optional
        One per pass; those of `beat_weights` when absent.
    progress : Progress
        Told about every ten minutes of recording.

    Returns
    -------
    Beats
        Empty when the trace carries none (flat, not recorded, nothing but noise): that is a finding, not an
        error.

    Raises
    ------
    InputError
        If the array is not (leads, samples) or the rate is below 50 Hz.
    """
    ecg = checked(ecg, rate_hz)
    leads, samples = ecg.shape
    count = max(1, int(np.ceil(samples / rate_hz / STRETCH_S)))
    edges = np.linspace(0, samples, count + 1).astype(int)
    overlap = int(OVERLAP_S * rate_hz)
    refractory = REFRACTORY_S * rate_hz
    found: list[tuple[Ints, Floats, Floats]] = [(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))]
    arrests: list[Arrest] = []
    share = np.zeros(leads)
    last = -np.inf
    for k in progress.over(range(count), count, "finding beats"):
        start, stop = max(0, edges[k] - overlap), min(samples, edges[k + 1] + overlap)
        if stop - start < SHORTEST_S * rate_hz:
            continue
        part = _stretch(ecg[:, start:stop], rate_hz, scores or shipped())
        at = part.sample + start
        # a beat on the seam may be placed a sample later by the next stretch: look back a little, and never
        # twice
        mine = (at >= edges[k] - refractory / 2) & (at < edges[k + 1]) & (at > last + refractory / 2)
        found.append((at[mine], part.confidence[mine], part.trust[mine]))
        share += part.share * (edges[k + 1] - edges[k]) / samples
        arrests += [arrest.later(start / rate_hz) for arrest in part.arrests]
        last = at[mine][-1] if mine.any() else last
    sample, confidence, trust = (np.concatenate(column) for column in zip(*found, strict=True))
    return Beats(sample, confidence, trust, share, joined(arrests))


def _stretch(ecg: NDArray[np.floating], rate_hz: float, scores: tuple[Score, ...]) -> Beats:
    """Beats of one stretch."""
    refractory = round(REFRACTORY_S * rate_hz)
    view = trace(ecg, rate_hz)
    cand = candidates(view)
    share = view.weight.mean(1).astype(np.float64)
    if not len(cand.at):
        return Beats(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), share, fibrillating(view, *NO_BEATS))
    picked = first_guess(cand)
    score = np.zeros(len(cand.at))
    for network in scores:
        score = network(describe(view, cand, picked))
        picked = best_sequence(cand, np.clip(score - THRESHOLD, -12, 12), usual_interval(cand, picked))
    confidence = 1 / (1 + np.exp(-score))
    kept = np.flatnonzero(picked)
    trust = _trust(confidence[kept])
    kept, trust = kept[trust >= CARRIED], trust[trust >= CARRIED]
    arrests = fibrillating(view, cand.time_s[kept], confidence[kept])
    alone = p_alone(view, cand.at[kept])
    arrests += trains(view, cand.at[kept], alone)
    # what the end of the recording cuts in half is as likely the end itself
    mine = (
        ~alone & (cand.time_s[kept] > CUT_S) & (cand.time_s[kept] < len(view.envelope) / view.rate_hz - CUT_S)
    )
    for arrest in arrests:
        mine &= (cand.time_s[kept] < arrest.start_s) | (cand.time_s[kept] > arrest.stop_s)
    kept, trust = kept[mine], trust[mine]
    centre, wide = _centred(view, cand, kept)
    at = _peaks(ecg, rate_hz, view, centre, wide)
    order = np.argsort(at, kind="stable")
    # both slopes of one wave may have passed for beats, and now lie on its one peak
    order = order[np.diff(at[order], prepend=-refractory) >= refractory / 2]
    return Beats(at[order], confidence[kept][order], trust[order], share, arrests)


def first_guess(cand: Candidates) -> Bools:
    """Choose by size, and a little by sharpness: right often enough to compare with."""
    return best_sequence(cand, cand.size - np.log(0.4) + 0.3 * (cand.sharp - np.median(cand.sharp)))


def usual_interval(cand: Candidates, picked: Bools) -> Floats:
    """Upper quartile of the 31 intervals around every candidate (s): every other beat may be false."""
    from scipy.ndimage import percentile_filter

    beats = cand.time_s[picked]
    if len(beats) < 4:
        return np.zeros(len(cand.at))
    rr = np.diff(beats)
    upper = percentile_filter(rr, 75, size=min(31, 2 * len(rr) - 1), mode="nearest")
    return np.asarray(np.interp(cand.time_s, beats[1:], upper))


def best_sequence(cand: Candidates, score: Floats, usual_s: Floats | None = None) -> Bools:
    """Choose the candidates of largest total score that can follow each other (exact, linear in time)."""
    n = len(cand.at)
    low, high = HASTE
    usual = [0.0] * n if usual_s is None else usual_s.tolist()
    time, value, sharp = cand.time_s.tolist(), score.tolist(), cand.sharp.tolist()
    best, before = [0.0] * n, [-1] * n
    settled, settled_at, first = (
        0.0,
        -1,
        0,
    )  # the best sequence that ended before the T zone of this candidate
    for j in range(n):
        now = time[j]
        while time[first] < now - T_ZONE_S:
            if best[first] > settled:
                settled, settled_at = best[first], first
            first += 1
        total, via = settled, settled_at
        for i in range(first, j):
            interval = now - time[i]
            if interval < REFRACTORY_S:
                break
            reached = best[i] - BLUNTER_COST * max(0.0, abs(sharp[j] - sharp[i]) - BLUNTER)
            if interval < high * usual[j]:
                reached -= HASTE_COST * min(1.0, (high - interval / usual[j]) / (high - low))
            if reached > total:
                total, via = reached, i
        best[j], before[j] = total + value[j], via
    chosen = np.zeros(n, bool)
    k = int(np.argmax(best)) if n else -1
    if n and best[k] <= 0:
        return chosen
    while k >= 0:
        chosen[k] = True
        k = before[k]
    return chosen


def _trust(confidence: Floats) -> Floats:
    """Mean confidence of the 21 beats around each beat."""
    from scipy.ndimage import uniform_filter1d

    if not len(confidence):
        return confidence
    return np.asarray(uniform_filter1d(confidence, min(TRUST_BEATS, 2 * len(confidence) - 1), mode="nearest"))


def _centred(view: Trace, cand: Candidates, kept: Ints) -> tuple[Ints, Bools]:
    """Working samples of the beats kept, a wide smooth one at its largest deflection, and which are wide.

    Its two slopes, not its peak, are the maxima of the QRS band.
    """
    at = cand.at[kept]
    smooth = (cand.broad - cand.size)[kept] > SMOOTH
    # at the very end half a wave is missing, and its largest deflection is the cut
    smooth &= (at >= EDGE_S * view.rate_hz) & (at < view.leads.shape[1] - EDGE_S * view.rate_hz)
    wide = np.flatnonzero(smooth)
    if len(wide):
        lead = int(np.argmax((view.weight * view.level).mean(1)))
        signal, n = view.leads[lead], view.leads.shape[1]
        reach, around = round(WIDE_S * view.rate_hz), round(0.3 * view.rate_hz)
        offset = np.arange(-around, around + 1)
        waves = signal[np.clip(at[wide, None] + offset, 0, n - 1)]
        waves = np.abs(waves - np.median(waves, axis=1, keepdims=True))
        # less than halfway to the next beat: two fast beats must not meet on the T wave between them
        least = REFRACTORY_S / 2 * view.rate_hz
        before = (np.diff(at, prepend=-n)[wide, None] - least) / 2
        after = (np.diff(at, append=2 * n)[wide, None] - least) / 2
        mine = (np.abs(offset) <= reach) & (-offset <= before) & (offset <= after)
        at[wide] += offset[np.argmax(np.where(mine, waves, -1), axis=1)]
    return np.asarray(np.clip(at, 0, view.leads.shape[1] - 1)), smooth


def _peaks(ecg: NDArray[np.floating], rate_hz: float, view: Trace, at: Ints, wide: Bools) -> Ints:
    """Move envelope maxima to the R peak of the lead that shows the beats best; wide ones are there."""
    if not len(at):
        return at
    lead = int(np.argmax((view.weight * view.level).mean(1)))
    signal, n = view.qrs[lead], len(view.envelope)
    reach = max(1, round(0.06 * view.rate_hz))
    near = np.clip(at[:, None] + np.arange(-reach, reach + 1), 0, n - 1)
    waves = signal[near]
    up, down = waves.max(1), -waves.min(1)
    # one polarity for the whole stretch, so that beat-to-beat times do not jump between R and S;
    # only a beat that clearly points the other way (a ventricular one) is timed there
    sign = (
        np.where(up * 2 < down, -1.0, 1.0) if up.sum() >= down.sum() else np.where(down * 2 < up, 1.0, -1.0)
    )
    sign = np.where(wide, np.where(waves[:, reach] < 0, -1.0, 1.0), sign)
    largest = near[np.arange(len(at)), np.argmax(waves * sign[:, None], axis=1)]
    coarse = np.where(wide, at, largest) * view.step
    raw, _ = bridged(ecg[lead : lead + 1])
    fine = max(1, round(0.012 * rate_hz), view.step)
    near = np.clip(coarse[:, None] + np.arange(-fine, fine + 1), 0, ecg.shape[1] - 1)
    return np.asarray(near[np.arange(len(at)), np.argmax(raw[0][near] * sign[:, None], axis=1)], np.int64)
