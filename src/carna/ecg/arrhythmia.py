"""From beats and their kinds to events: couplets, runs, bigeminy, pauses, fibrillation, slow and fast
rhythms.

Definitions (all limits are arguments or constants here; an application may judge by others, such as those
of an age):

====================================  =======================================================================
ventricular couplet, run              2; 3 and more ventricular beats in a row. A run at 100 per minute and
                                      more is a *tachycardia* (30 s and more: sustained), a slower one
                                      *idioventricular* (doi:10.1161/CIR.0000000000000549)
bigeminy, trigeminy                   every second, third beat is ventricular, three times and more
supraventricular couplet, run         2; 3 and more supraventricular beats in a row
pause                                 an interval of 2 s and more (3 s and more is the usual limit of concern,
                                      doi:10.1161/CIR.0000000000000628) that is quiet: nothing in it rises
                                      like a QRS
atrial fibrillation                   its probability stays above one half for 30 s and more
                                      (doi:10.1093/eurheartj/ehaa612); interruptions below 15 s are bridged
slow, fast rhythm                     median of nine intervals beyond a limit, nine intervals and more
====================================  =======================================================================

A beat of unknown kind ends every pattern; so does an interval that may not be used (noise, not recorded).
Each event says which beats it rests on. Nothing is inferred about mechanisms: an event is a pattern of beats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.kinds import SUPRAVENTRICULAR, UNKNOWN, VENTRICULAR
from carna.ecg.traces import Bools, Floats, Ints
from carna.errors import InputError
from carna.signal import runs

EventKind = Literal[
    "ventricular couplet", "ventricular tachycardia", "idioventricular rhythm", "ventricular bigeminy",
    "ventricular trigeminy", "supraventricular couplet", "supraventricular run", "pause",
    "atrial fibrillation", "slow rhythm", "fast rhythm",
]  # fmt: skip
VT_BPM = 100.0
PATTERN = 3  # ventricular beats that make a bigeminy or trigeminy
PAUSE_S = 2.0
FIBRILLATION_S, BRIDGED_S = 30.0, 15.0
RATE_BEATS = 9


@dataclass(frozen=True, slots=True)
class Event:
    """A pattern of beats.

    Attributes
    ----------
    kind : str
    start_s, stop_s : float
        From the first to the last beat of the pattern; of a pause, from beat to beat.
    first, last : int
        Indices of those beats.
    rate_bpm : float or None
        60 / mean interval from the beat before the pattern on (of a run: the intervals within it); None for
        a pause.
    """

    kind: EventKind
    start_s: float
    stop_s: float
    first: int
    last: int
    rate_bpm: float | None

    @property
    def seconds(self) -> float:
        """Length, s."""
        return self.stop_s - self.start_s

    @property
    def beats(self) -> int:
        """Number of beats, first and last included."""
        return self.last - self.first + 1


def events(
    at_s: Floats,
    kind: Ints,
    *,
    usable: Bools | None = None,
    quiet: Bools | None = None,
    fibrillation: Floats | None = None,
    slow_bpm: float = 50.0,
    fast_bpm: float = 100.0,
) -> tuple[Event, ...]:
    """Find every event in a sequence of beats.

    Parameters
    ----------
    at_s : (n,) float
        Beat times, s, increasing.
    kind : (n,) int
        `carna.ecg.kinds.KINDS`.
    usable : (n - 1,) bool, optional
        Which intervals may be used; all when absent.
    quiet : (n - 1,) bool, optional
        In which intervals nothing rises like a QRS (`quiet_intervals`); all when absent. Only pauses ask.
    fibrillation : (n,) float, optional
        Probability of atrial fibrillation (`carna.ecg.atrial.fibrillation`), NaN where not assessable.
    slow_bpm, fast_bpm : float
        Limits of slow and fast rhythm, per minute.

    Returns
    -------
    tuple of Event, by time

    Raises
    ------
    InputError
        If times do not increase or lengths do not agree.
    """
    at_s, kind = np.asarray(at_s, np.float64), np.asarray(kind)
    n = len(at_s)
    rr = np.diff(at_s)
    use = np.ones(max(n - 1, 0), bool) if usable is None else np.asarray(usable, bool)
    calm = np.ones(len(use), bool) if quiet is None else np.asarray(quiet, bool)
    if len(kind) != n or len(use) != len(rr) or len(calm) != len(rr) or (rr <= 0).any():
        raise InputError(
            f"{n} beat times, {len(kind)} kinds, {len(use)} interval marks",
            needed="increasing times, one kind a beat, one mark an interval",
        )
    if n < 2:
        return ()
    found = [
        *_in_a_row(at_s, kind, use),
        *_patterns(at_s, kind, use),
        *(
            _event("pause", at_s, int(k), int(k) + 1, None)
            for k in np.flatnonzero(use & calm & (rr > PAUSE_S - 1e-6))
        ),
        *_rates(at_s, use, slow_bpm, fast_bpm),
    ]
    if fibrillation is not None:
        found += fibrillation_episodes(at_s, fibrillation)
    return tuple(sorted(found, key=lambda e: (e.start_s, e.kind)))


def _event(kind: EventKind, at_s: Floats, first: int, last: int, rate: float | None) -> Event:
    bpm = None if rate is None else float(rate)
    return Event(kind, float(at_s[first]), float(at_s[last]), int(first), int(last), bpm)


def _in_a_row(at_s: Floats, kind: Ints, use: Bools) -> Iterator[Event]:
    """Couplets and runs of ventricular and of supraventricular beats."""
    for which in (VENTRICULAR, SUPRAVENTRICULAR):
        for a, b in runs(use & (kind[1:] == which) & (kind[:-1] == which)):
            rate = 60 * (b - a) / float(at_s[b] - at_s[a])
            name: EventKind
            if which == VENTRICULAR:
                name = "ventricular tachycardia" if rate >= VT_BPM else "idioventricular rhythm"
                name = "ventricular couplet" if b - a == 1 else name
            else:
                name = "supraventricular couplet" if b - a == 1 else "supraventricular run"
            yield _event(name, at_s, a, b, rate)


def _patterns(at_s: Floats, kind: Ints, use: Bools) -> Iterator[Event]:
    """Bigeminy and trigeminy."""
    wide = np.flatnonzero(kind == VENTRICULAR)
    gap = np.diff(wide)
    broken = np.concatenate([[0], np.cumsum(~use)])
    strange = np.concatenate([[0], np.cumsum(kind == UNKNOWN)])
    whole = (broken[wide[1:]] == broken[wide[:-1]]) & (strange[wide[1:]] == strange[wide[:-1]])
    names: tuple[tuple[int, EventKind], ...] = ((2, "ventricular bigeminy"), (3, "ventricular trigeminy"))
    for step, name in names:
        for a, b in runs(whole & (gap == step)):
            if b - a >= PATTERN - 1:
                first, last = int(wide[a]), int(wide[b])
                yield _event(name, at_s, first, last, 60 * (last - first) / float(at_s[last] - at_s[first]))


def _rates(at_s: Floats, use: Bools, slow_bpm: float, fast_bpm: float) -> Iterator[Event]:
    """Stretches whose running median of nine intervals is beyond a limit."""
    from scipy.ndimage import median_filter

    for a, b in runs(use):
        if b - a < RATE_BEATS:
            continue
        rate = 60 / median_filter(np.diff(at_s[a : b + 1]), RATE_BEATS, mode="nearest")
        limits: tuple[tuple[EventKind, Bools], ...] = (
            ("slow rhythm", rate < slow_bpm),
            ("fast rhythm", rate > fast_bpm),
        )
        for name, beyond in limits:
            for c, d in runs(beyond):
                if d - c >= RATE_BEATS:
                    mean = 60 * (d - c) / float(at_s[a + d] - at_s[a + c])
                    yield _event(name, at_s, a + c, a + d, mean)


def fibrillation_episodes(at_s: Floats, probability: Floats) -> list[Event]:
    """Return the episodes of atrial fibrillation of 30 s and more (parameters as in `events`)."""
    inside = np.nan_to_num(probability) > 0.5
    spans: list[tuple[int, int]] = []
    for a, b in runs(inside):
        if spans and at_s[a] - at_s[spans[-1][1] - 1] < BRIDGED_S:
            spans[-1] = (spans[-1][0], int(b))
        else:
            spans.append((int(a), int(b)))
    return [
        _event("atrial fibrillation", at_s, a, b - 1, 60 * (b - 1 - a) / float(at_s[b - 1] - at_s[a]))
        for a, b in spans
        if at_s[b - 1] - at_s[a] >= FIBRILLATION_S
    ]


def burden(at_s: Floats, probability: Floats, usable: Bools | None = None) -> float | None:
    """Return the share of assessable time in episodes of atrial fibrillation, 0 to 1.

    Assessable is an interval that may be used and whose two beats have a probability.

    Returns
    -------
    float, or None when less than 30 s are assessable
    """
    rr = np.diff(at_s)
    told = np.isfinite(probability)
    use = told[1:] & told[:-1] & (True if usable is None else np.asarray(usable, bool))
    if float(rr[use].sum()) < FIBRILLATION_S:
        return None
    inside = np.zeros(len(rr), bool)
    for e in fibrillation_episodes(at_s, probability):
        inside[e.first : e.last] = True
    return float(rr[use & inside].sum() / rr[use].sum())


def quiet_intervals(
    trace: NDArray[np.floating], rate_hz: float, at_s: Floats, *, longer_s: float = 1.8
) -> Bools:
    """Tell for every interval between beats whether nothing in it rises like a QRS.

    The steepest slope between 0.4 s after a beat and 0.08 s before the next must stay below a third of the
    median beat's. Intervals shorter than ``longer_s`` are called quiet unseen.

    Parameters
    ----------
    trace : (n,) float
        The working trace of the lead that shows the beats best (`carna.ecg.aligned.working`).
    rate_hz : float
        Its rate.
    at_s : (beats,) float
        R peaks, s.

    Returns
    -------
    (beats - 1,) bool
    """
    rr = np.diff(at_s)
    out = np.ones(len(rr), bool)
    long = np.flatnonzero(rr >= longer_s)
    if not len(long):
        return out
    slope = np.abs(np.diff(trace))
    reach = max(1, round(0.06 * rate_hz))
    centre = np.clip(np.round(at_s * rate_hz).astype(np.int64), reach, max(reach, len(slope) - reach - 1))
    usual = float(
        np.median(slope[np.clip(centre[:, None] + np.arange(-reach, reach), 0, len(slope) - 1)].max(1))
    )
    for k in long:
        part = slope[round((at_s[k] + 0.4) * rate_hz) : round((at_s[k + 1] - 0.08) * rate_hz)]
        out[k] = len(part) == 0 or float(part.max()) < usual / 3
    return out


@dataclass(frozen=True, slots=True)
class Conduction:
    """How atrial and ventricular beats go together, given P waves.

    Attributes
    ----------
    p_waves : int
        P waves between the first and the last beat.
    conducted : int
        P waves followed by a QRS of their own within 0.6 s.
    blocked : tuple of float
        Times of P waves without one, s.
    lengthening : int
        Blocked P waves before which PR grew by 20 ms and more over two or three beats.
    pr_ms : float or None
        Median PR (peak of P to R) of the conducted beats; None with fewer than three.
    dissociated : bool
        At least eight P waves and four beats after one, time since the last P wave spread (10-90 %) by more
        than 200 ms, and R intervals regular within 10 %.
    """

    p_waves: int
    conducted: int
    blocked: tuple[float, ...]
    lengthening: int
    pr_ms: float | None
    dissociated: bool


def conduction(p_s: Floats, r_s: Floats) -> Conduction:
    """Pair P waves with beats: a hint at atrioventricular block, only as good as the P waves given.

    Parameters
    ----------
    p_s, r_s : float
        Times of P peaks and R peaks, s, increasing.
    """
    p_s, r_s = np.asarray(p_s, np.float64), np.asarray(r_s, np.float64)
    inside = p_s[(p_s > r_s[0] - 0.6) & (p_s < r_s[-1])] if len(r_s) else np.zeros(0)
    pr: list[float | None] = []
    for k, p in enumerate(inside):
        following = int(np.searchsorted(r_s, p))
        until = inside[k + 1] if k + 1 < len(inside) else np.inf
        own = following < len(r_s) and r_s[following] - p <= 0.6 and r_s[following] <= until
        pr.append(float(r_s[following] - p) if own else None)
    known = np.array([x for x in pr if x is not None])
    dropped = [k for k, x in enumerate(pr) if x is None]
    grown = 0
    for k in dropped:
        last = [x for x in pr[max(0, k - 3) : k] if x is not None]
        grown += len(last) >= 2 and last[-1] - last[0] >= 0.02
    rr = np.diff(r_s)
    steady = len(rr) >= 3 and float(np.ptp(np.percentile(rr, (10, 90)))) < 0.1 * float(np.median(rr))
    since = since_last(inside, r_s)
    apart = len(since) >= 4 and len(inside) >= 8 and float(np.ptp(np.percentile(since, (10, 90)))) > 0.2
    return Conduction(
        p_waves=len(inside),
        conducted=len(known),
        blocked=tuple(float(inside[k]) for k in dropped),
        lengthening=grown,
        pr_ms=1000 * float(np.median(known)) if len(known) >= 3 else None,
        dissociated=bool(apart and steady),
    )


def since_last(p_s: Floats, r_s: Floats) -> Floats:
    """Return the time from the last P wave to each beat, s, without beats that follow a missed P wave."""
    if len(p_s) < 2:
        return np.zeros(0)
    after = r_s[r_s > p_s[0]]
    since = after - p_s[np.searchsorted(p_s, after) - 1]
    return np.asarray(since[since < 1.1 * np.median(np.diff(p_s))])
