"""From beat times to rate and regularity, and to "not assessable" when there are too few.

**Regularity.** The dispersion is the median change between successive intervals over the median interval.
It is a median so that a premature beat and its pause do not make a regular rhythm irregular: up to a
quarter of the intervals may misbehave. Irregular means a dispersion above 0.08.

Measured with the beats of `carna.ecg.beats`: see ``docs/ecg-beats.md``. Respiratory sinus arrhythmia of the
young can exceed the limit; atrial flutter with fixed conduction and atrial fibrillation with a pacemaker
stay below it. The statement is about intervals: it names no rhythm.

**Rate.** Sixty over the median interval: the rate of the heart most of the time. The mean rate counts beats
per recorded minute, and the slowest and fastest are those of three intervals in a row, so that one
premature beat is no tachycardia.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.traces import Bools, Floats
from carna.errors import InputError

IRREGULAR = 0.08
FEWEST_FOR_RATE = 2  # intervals
FEWEST_FOR_REGULARITY = 6  # intervals
SURE = 0.5  # an interval counts when both its beats are at least this certain


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Rate and regularity of a stretch of beats; a value that cannot be told is None.

    Attributes
    ----------
    intervals : int
        How many intervals were used.
    rate_bpm, mean_rate_bpm : float or None
        60 / median interval; 60 / mean interval, per minute.
    slowest_bpm, fastest_bpm : float or None
        Over three intervals in a row.
    rr_ms, rr_sd_ms, rmssd_ms : float or None
        Mean interval, its standard deviation (n - 1), root mean square of successive differences. All
        intervals count, not only those between normal beats: these are not the SDNN and RMSSD of heart rate
        variability.
    longest_ms : float or None
        The longest interval.
    dispersion : float or None
        Median successive change over median interval.
    regularity : str
        "regular", "irregular" or "not assessable".
    """

    intervals: int
    rate_bpm: float | None
    mean_rate_bpm: float | None
    slowest_bpm: float | None
    fastest_bpm: float | None
    rr_ms: float | None
    rr_sd_ms: float | None
    rmssd_ms: float | None
    longest_ms: float | None
    dispersion: float | None
    regularity: Literal["regular", "irregular", "not assessable"]


def rhythm(beats_s: Floats, confidence: Floats | None = None, usable: Bools | None = None) -> Rhythm:
    """Summarise the rhythm of a sequence of beats.

    Parameters
    ----------
    beats_s : (n,) float
        Times of the beats, seconds, increasing.
    confidence : (n,) float, 0 to 1, optional
        Intervals with a beat below 0.5 at either end are left out.
    usable : (n - 1,) bool, optional
        Which intervals may be used: False where nothing was recorded in between (see `between_gaps`).

    Returns
    -------
    Rhythm
        Rates need two intervals, regularity six.

    Raises
    ------
    InputError
        If the times do not increase or lengths do not agree.
    """
    beats_s = np.asarray(beats_s, np.float64)
    n = max(len(beats_s) - 1, 0)
    rr = np.diff(beats_s)
    if (rr <= 0).any() or not np.isfinite(beats_s).all():
        raise InputError("beat times that do not increase", needed="increasing, finite seconds")
    use = np.ones(n, bool) if usable is None else np.asarray(usable, bool)
    if len(use) != n or (confidence is not None and len(confidence) != len(beats_s)):
        raise InputError(
            f"{len(beats_s)} beats with {len(use)} interval marks",
            needed="one confidence per beat, one mark per interval",
        )
    if confidence is not None and n:
        sure = np.asarray(confidence) >= SURE
        use = use & sure[1:] & sure[:-1]
    used = rr[use]
    if len(used) < FEWEST_FOR_RATE:
        return Rhythm(len(used), None, None, None, None, None, None, None, None, None, "not assessable")
    change = np.abs(np.diff(rr))[use[1:] & use[:-1]]
    median = float(np.median(used))
    three = _runs_of_three(rr, use)
    dispersion = float(np.median(change)) / median if len(change) else None
    if dispersion is None or len(used) < FEWEST_FOR_REGULARITY or len(change) < FEWEST_FOR_REGULARITY - 1:
        regularity: Literal["regular", "irregular", "not assessable"] = "not assessable"
    else:
        regularity = "irregular" if dispersion > IRREGULAR else "regular"
    return Rhythm(
        intervals=len(used),
        rate_bpm=60 / median,
        mean_rate_bpm=60 / float(used.mean()),
        slowest_bpm=60 / float(three.max()) if len(three) else None,
        fastest_bpm=60 / float(three.min()) if len(three) else None,
        rr_ms=1000 * float(used.mean()),
        rr_sd_ms=1000 * float(used.std(ddof=1)),
        rmssd_ms=1000 * float(np.sqrt(np.mean(change**2))) if len(change) else None,
        longest_ms=1000 * float(used.max()),
        dispersion=dispersion,
        regularity=regularity,
    )


def _runs_of_three(rr: Floats, use: Bools) -> Floats:
    """Mean of every three usable intervals in a row."""
    if len(rr) < 3:
        return np.zeros(0)
    whole = use[:-2] & use[1:-1] & use[2:]
    return np.asarray(((rr[:-2] + rr[1:-1] + rr[2:]) / 3)[whole], np.float64)


def between_gaps(sample: NDArray[np.int64], recorded: Bools) -> Bools:
    """Tell for every interval between beats whether all of it was recorded in at least one lead.

    Parameters
    ----------
    sample : (n,) int64
        Beats, in samples.
    recorded : (leads, samples) bool
        What was recorded, ``np.isfinite(ecg)``.

    Returns
    -------
    (n - 1,) bool
    """
    missing = np.concatenate([[0], np.cumsum(~recorded.any(0))])
    return np.asarray(np.diff(missing[sample]) == 0)
