"""Hours and days of electrocardiogram, read once from beginning to end in constant memory.

The recording is asked for in stretches of half an hour with 20 s of overlap; of each only beats, their
description (about 250 bytes a beat) and where the trace was not analysable are kept. What needs more than a
stretch (kinds, fibrillation, events, the hourly table) is made of these at the end.

**Analysable** is time between two successive beats that are both trusted (trust 0.7 and more), with the
interval recorded and, if it is longer than 1.8 s, quiet: a long interval in which something rises like a
QRS is noise or a missed beat, not a pause.

**Rates.** The mean rate is analysable intervals per analysable minute. The lowest and the highest are means
of eight successive analysable intervals, so that no pause and no couplet makes an extreme.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carna.ecg.aligned import working
from carna.ecg.arrest import joined
from carna.ecg.arrhythmia import Event, events, quiet_intervals
from carna.ecg.atrial import WINDOW, fibrillation
from carna.ecg.beats import Beats, find_beats
from carna.ecg.kinds import (
    NORMAL,
    PACED,
    SUPRAVENTRICULAR,
    UNKNOWN,
    VENTRICULAR,
    Kinds,
    describe_kinds,
    told,
    trusted,
)
from carna.ecg.spikes import paced_beats, pacing_spikes
from carna.ecg.traces import Bools, Float, Floats, Ints
from carna.errors import InputError
from carna.progress import SILENT, Progress
from carna.signal import runs

STRETCH_S, OVERLAP_S = 1800.0, 20.0
HOUR_S = 3600.0
RATE_INTERVALS = 8
STRIP_S = 10.0
PIECE, REACH = 8192, 4 * WINDOW  # beats; a window of fibrillation is shorter than half its reach

Reader = Callable[[int, int], NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class Hour:
    """A row of the hourly table.

    Attributes
    ----------
    start_s : float
        From the beginning of the recording.
    beats, ventricular, supraventricular, unknown : int
    lowest_bpm, mean_bpm, highest_bpm : float or None
        See the top of the page; None when there are too few analysable intervals.
    fibrillation_min, analysable_min : float
        Minutes in episodes of atrial fibrillation; analysable minutes.
    """

    start_s: float
    beats: int
    ventricular: int
    supraventricular: int
    unknown: int
    lowest_bpm: float | None
    mean_bpm: float | None
    highest_bpm: float | None
    fibrillation_min: float
    analysable_min: float


@dataclass(frozen=True, slots=True)
class Strip:
    """A representative piece of the recording: why, and its samples ``start`` to ``stop``."""

    why: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class Holter:
    """What a long recording holds.

    Attributes
    ----------
    beats : Beats
    kinds : Kinds
    fibrillation : (n,) float
        Probability of atrial fibrillation around every beat, NaN where not assessable.
    usable : (n - 1,) bool
        Analysable intervals.
    whole : Hour
        The whole recording as one row.
    hours : tuple of Hour
    events : tuple of Event
        Couplets, runs, bigeminy, pauses, fibrillation, slow and fast rhythm (`carna.ecg.arrhythmia`).
    noise : (m, 2) float
        Begin and end of what is not analysable, s, two seconds and more.
    strips : tuple of Strip
        One of each kind of event (the longest), the lowest and the highest rate.
    """

    beats: Beats
    kinds: Kinds
    fibrillation: Floats
    usable: Bools
    whole: Hour
    hours: tuple[Hour, ...]
    events: tuple[Event, ...]
    noise: Floats
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    beats: Beats
    features: Float
    before: Float
    intact: Bools  # of the interval that ends with each beat: recorded and quiet
    quiet: Bools
    spikes: Ints


def holter(
    read: Reader,
    samples: int,
    rate_hz: float,
    *,
    slow_bpm: float = 50.0,
    fast_bpm: float = 100.0,
    progress: Progress = SILENT,
) -> Holter:
    """Read a long recording.

    Parameters
    ----------
    read : callable(start, stop) -> (leads, stop - start) float
        Gives the samples asked for, millivolts, NaN where nothing was recorded; called with increasing
        starts.
    samples : int
        Length of the recording.
    rate_hz : float
        50 Hz or more.
    slow_bpm, fast_bpm : float
        Limits of slow and fast rhythm, per minute.
    progress : Progress
        Told after every half hour of recording; may cancel.

    Returns
    -------
    Holter

    Raises
    ------
    InputError
        If there are no samples, or as `carna.ecg.find_beats`.
    """
    if samples < rate_hz:
        raise InputError(f"a recording of {samples} samples", needed="one second or more")
    count = max(1, round(samples / rate_hz / STRETCH_S))
    edges = np.linspace(0, samples, count + 1).astype(np.int64)
    overlap = round(OVERLAP_S * rate_hz)
    found: list[_Stretch] = []
    last = -np.inf
    for k in range(count):
        told_of = progress.part(0.97 * k / count, 0.97 * (k + 1) / count)
        start, stop = max(0, int(edges[k]) - overlap), min(samples, int(edges[k + 1]) + overlap)
        part = _stretch(
            np.asarray(read(start, stop)), start, rate_hz, (int(edges[k]), int(edges[k + 1])), last, told_of
        )
        last = part.beats.sample[-1] if len(part.beats.sample) else last
        found.append(part)
    beats = _joined(found, np.diff(edges) / samples)
    features = np.concatenate([f.features for f in found])
    before = np.concatenate([f.before for f in found])
    intact, quiet = (np.concatenate(c)[1:] for c in ([f.intact for f in found], [f.quiet for f in found]))
    spikes = np.concatenate([f.spikes for f in found])
    found.clear()  # a day's description is held once
    progress(0.97, "kinds of beats")
    kinds = told(features, before, beats)
    paced = paced_beats(beats.sample, spikes, rate_hz)
    kinds = replace(kinds, kind=np.where(paced, PACED, kinds.kind))
    at = beats.sample / rate_hz
    usable = intact & trusted(beats)
    progress(0.98, "fibrillation")
    chance = _fibrillation(at, before, kinds.plain, usable)
    # in fibrillation every beat is supraventricular, and early says nothing
    inside = np.nan_to_num(chance) > 0.5
    kinds = replace(kinds, kind=np.where(inside & (kinds.kind == SUPRAVENTRICULAR), NORMAL, kinds.kind))
    progress(0.99, "rhythm")
    seen = events(
        at, kinds.kind, usable=usable, quiet=quiet, fibrillation=chance, slow_bpm=slow_bpm, fast_bpm=fast_bpm
    )
    seconds = samples / rate_hz
    table = _Table(at, kinds.kind, usable, _fibrillating(seen, len(at)))
    hours = tuple(
        table.row(HOUR_S * h, min(HOUR_S * (h + 1), seconds))
        for h in range(max(1, int(np.ceil(seconds / HOUR_S))))
    )
    out = Holter(
        beats,
        kinds,
        chance,
        usable,
        table.row(0.0, seconds),
        hours,
        seen,
        _noise(at, usable, seconds),
        _strips(seen, table, rate_hz, samples),
    )
    progress(1.0, "rhythm")
    return out


def _stretch(
    ecg: NDArray[np.floating],
    start: int,
    rate_hz: float,
    mine: tuple[int, int],
    last: float,
    progress: Progress,
) -> _Stretch:
    """Beats of one stretch that lie between two samples and after the last beat of the stretch before."""
    what = "reading the recording"
    progress(0.0, what)
    beats = find_beats(ecg, rate_hz)
    progress(0.4, what)
    features, before = describe_kinds(ecg, rate_hz, beats)
    progress(0.7, what)
    n = len(beats.sample)
    at = beats.sample + start
    gap = 0.1 * rate_hz  # a beat on the seam may be placed a sample later by the next stretch
    kept = (at >= mine[0] - gap) & (at < mine[1]) & (at > last + gap)
    quiet, intact = np.ones(n, bool), np.ones(n, bool)
    if n > 1:
        missing = np.concatenate([[0], np.cumsum(~np.isfinite(ecg).any(0))])
        best = int(np.argmax(beats.share))
        trace, rate = working(ecg[best : best + 1], rate_hz)
        quiet[1:] = quiet_intervals(trace[0], rate, beats.sample / rate_hz)
        intact[1:] = quiet[1:] & (np.diff(missing[beats.sample]) == 0)
    progress(0.8, what)
    spikes = pacing_spikes(ecg, rate_hz) + start
    progress(1.0, what)
    spikes = spikes[(spikes >= mine[0]) & (spikes < mine[1])]
    arrests = tuple(arrest.later(start / rate_hz) for arrest in beats.arrests)
    own = Beats(at[kept], beats.confidence[kept], beats.trust[kept], beats.share, arrests)
    return _Stretch(own, features[kept], before[kept], intact[kept], quiet[kept], spikes)


def _joined(parts: list[_Stretch], share: Floats) -> Beats:
    return Beats(
        np.concatenate([p.beats.sample for p in parts]),
        np.concatenate([p.beats.confidence for p in parts]),
        np.concatenate([p.beats.trust for p in parts]),
        np.asarray(sum(w * p.beats.share for w, p in zip(share, parts, strict=True))),
        joined([arrest for p in parts for arrest in p.beats.arrests]),
    )


def _fibrillation(at_s: Floats, before: Float, plain: Bools, usable: Bools) -> Floats:
    """Return `fibrillation` of all beats, worked out a piece at a time: its windows span few beats."""
    out = np.full(len(at_s), np.nan)
    for a in range(0, len(at_s), PIECE):
        b = min(a + PIECE, len(at_s))
        first, last = max(0, a - REACH), min(len(at_s), b + REACH)
        here = slice(first, last)
        told_of = fibrillation(at_s[here], before[here], plain[here], usable[first : max(first, last - 1)])
        out[a:b] = told_of[a - first : b - first]
    return out


def _fibrillating(seen: tuple[Event, ...], beats: int) -> Bools:
    """Which intervals lie in an episode of atrial fibrillation."""
    inside = np.zeros(max(beats - 1, 0), bool)
    for e in seen:
        if e.kind == "atrial fibrillation":
            inside[e.first : e.last] = True
    return inside


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Beats and intervals from which rows are counted."""

    at_s: Floats
    kind: Ints
    usable: Bools
    fibrillating: Bools

    def eights(self, a: int, b: int) -> tuple[Floats, Ints]:
        """Mean rates of eight successive analysable intervals among beats a to b, and their first beats."""
        whole = (
            np.convolve(self.usable[a : b - 1], np.ones(RATE_INTERVALS, np.int64), "valid") == RATE_INTERVALS
        )
        at = self.at_s[a:b]
        first = np.flatnonzero(whole) if len(at) > RATE_INTERVALS else np.zeros(0, np.int64)
        return 60 * RATE_INTERVALS / (at[first + RATE_INTERVALS] - at[first]), first + a

    def row(self, start_s: float, stop_s: float) -> Hour:
        """Count what lies in a span; an interval belongs to the span in which it begins."""
        a, b = (int(x) for x in np.searchsorted(self.at_s, (start_s, stop_s)))
        ends = min(b + 1, len(self.at_s))
        rr = np.diff(self.at_s[a:ends])
        use = self.usable[a : a + len(rr)]
        rates, _ = self.eights(a, ends) if ends - a > RATE_INTERVALS else (np.zeros(0), None)
        kind = self.kind[a:b]
        return Hour(
            start_s,
            b - a,
            int((kind == VENTRICULAR).sum()),
            int((kind == SUPRAVENTRICULAR).sum()),
            int((kind == UNKNOWN).sum()),
            float(rates.min()) if len(rates) else None,
            60 * float(use.sum()) / float(rr[use].sum()) if use.sum() >= RATE_INTERVALS else None,
            float(rates.max()) if len(rates) else None,
            float(rr[self.fibrillating[a : a + len(rr)]].sum()) / 60,
            float(rr[use].sum()) / 60,
        )


def _noise(at_s: Floats, usable: Bools, seconds: float) -> Floats:
    """Spans of two seconds and more that are not analysable."""
    if not len(at_s):
        return np.array([[0.0, seconds]])
    spans = [(float(at_s[a]), float(at_s[b])) for a, b in runs(~usable)]
    spans = [(0.0, float(at_s[0])), *spans, (float(at_s[-1]), seconds)]
    return np.array([s for s in spans if s[1] - s[0] >= 2.0]).reshape(-1, 2)


def _strips(seen: tuple[Event, ...], table: _Table, rate_hz: float, samples: int) -> tuple[Strip, ...]:
    """The longest event of each kind, and the extremes of rate."""

    def around(why: str, start_s: float, stop_s: float) -> Strip:
        # the beginning of what is longer than a strip, the middle of what is shorter
        begin = start_s - 2.0 if stop_s - start_s > STRIP_S - 4 else (start_s + stop_s - STRIP_S) / 2
        length = min(samples, round(STRIP_S * rate_hz))
        first = min(max(0, round(begin * rate_hz)), samples - length)
        return Strip(why, first, first + length)

    longest: dict[str, Event] = {}
    for e in seen:
        if e.kind not in longest or e.seconds > longest[e.kind].seconds:
            longest[e.kind] = e
    out = [around(kind, e.start_s, e.stop_s) for kind, e in sorted(longest.items())]
    rates, first = (
        table.eights(0, len(table.at_s)) if len(table.at_s) > RATE_INTERVALS else (np.zeros(0), None)
    )
    if len(rates) and first is not None:
        for why, k in (("lowest rate", int(np.argmin(rates))), ("highest rate", int(np.argmax(rates)))):
            out.append(around(why, float(table.at_s[first[k]]), float(table.at_s[first[k] + RATE_INTERVALS])))
    return tuple(out)
