"""One beat that stands for many: the median of aligned beats, and where its waves begin and end in all leads.

**Median beat.** Beats are cut from the recording (at 500 Hz or more, wander below 0.5 Hz taken off without
delay, which leaves the ST segment unmoved: Kligfield et al. 2007, doi:10.1016/j.jacc.2007.01.024), moved
against each other until they agree best over all leads, and those that look like most others are kept. The
median over them has the noise of one beat divided by 0.8 sqrt(n), and one bad beat changes nothing.

**Global boundaries.** A boundary of a lead is the median over the kept beats of the boundaries found there.
The global onset is the **second-earliest** lead, the global end the **second-latest**, of the leads that
show the wave; with fewer than four such leads the earliest and the latest. Earliest onset to latest end over
simultaneous leads is the recommended definition (Kligfield et al. 2007); the second in rank keeps one lead
misread from deciding alone, and is what the figures of ``docs/ecg-delineation.md`` were measured with. Its
uncertainty is the median of the leads' standard deviations: leads are read by the same network and err
together, so nothing is gained by their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carna.ecg.delineate import FIDUCIALS, WANDER_HZ, Waves
from carna.ecg.traces import Bools, Float, Floats, Ints, bridged, checked
from carna.errors import InputError

BEFORE_S, AFTER_S = 0.45, 0.75
LEAST_HZ = 500.0
SHIFT_S = 0.03  # beats are moved by at most this much against each other
QRS_S = (0.10, 0.14)  # before and after the R peak: what is aligned and compared
ALIKE = 0.90  # correlation with the template, over all leads, of a beat that is kept
STRETCH_S, EDGE_S = 600.0, 4.0  # longer recordings are worked through in stretches
MOST = 400  # of more beats, this many are taken evenly over the recording
SAME_IN_ALL = 0.9  # of the error of one beat: docs/ecg-delineation.md
RANKED = 4  # leads from which the second in rank is taken
SECOND = "second-earliest onset and second-latest end of the leads"
FIRST = "earliest onset and latest end of the leads"


@dataclass(frozen=True, slots=True, eq=False)
class MedianBeat:
    """The median of aligned beats.

    Attributes
    ----------
    mV : (leads, samples) float64
        NaN in leads of which no beat was recorded.
    rate_hz : float
        500 Hz or more.
    r : int
        The sample of ``mV`` at which the beats were aligned.
    beats : (k,) int64
        Which of the beats given were kept, as indices.
    at : (k,) float64
        Where sample ``r`` lies in the recording for each kept beat, recorded samples.
    n : (leads,) int64
        Beats recorded in each lead among them.
    noise_mV : (leads,) float64
        Standard error of the median, mean over its samples.
    """

    mV: Floats
    rate_hz: float
    r: int
    beats: Ints
    at: Floats
    n: Ints
    noise_mV: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fiducials:
    """Boundaries of a median beat.

    Attributes
    ----------
    lead_ms : (9, leads) float64
        Boundaries in each lead, ms after the alignment point, in the order of
        `carna.ecg.delineate.FIDUCIALS`; NaN where the wave is missing in most beats.
    lead_sd_ms : (9, leads) float64
    p_on, p_off, qrs_on, qrs_off, t_off : (ms, sd) or None
        Global boundaries, ms after the alignment point; None when no lead shows them.
    definition : str
        How the global boundaries follow from the leads'.
    """

    lead_ms: Floats
    lead_sd_ms: Floats
    p_on: tuple[float, float] | None
    p_off: tuple[float, float] | None
    qrs_on: tuple[float, float] | None
    qrs_off: tuple[float, float] | None
    t_off: tuple[float, float] | None
    definition: str


def median_beat(
    ecg: NDArray[np.floating], rate_hz: float, beats: Ints, keep: Bools | None = None
) -> MedianBeat | None:
    """Align beats and take their median.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        Sampling rate, 50 Hz or more.
    beats : (n,) int64
        R peaks, in samples.
    keep : (n,) bool, optional
        Beats that may be used. Without it, those that look like most others.

    Returns
    -------
    MedianBeat or None
        None when no whole beat lies within the recording.

    Raises
    ------
    InputError
        If the array is not (leads, samples), or there is not one mark for each beat.
    """
    ecg = checked(ecg, rate_hz)
    beats = np.asarray(beats, np.int64)
    if keep is not None and len(keep) != len(beats):
        raise InputError(f"{len(beats)} beats with {len(keep)} marks", needed="one mark for each beat")
    factor = int(np.ceil(LEAST_HZ / rate_hz))
    rate = rate_hz * factor
    before, after, slack = int(BEFORE_S * rate), int(AFTER_S * rate), int(SHIFT_S * rate)
    margin = -(-(max(before, after) + slack) // factor) + 1
    index = np.flatnonzero((beats >= margin) & (beats < ecg.shape[1] - margin))
    if keep is not None:
        index = index[np.asarray(keep, bool)[index]]
    if len(index) > MOST:
        index = index[np.linspace(0, len(index) - 1, MOST).astype(int)]
    if not len(index):
        return None
    cuts, gap = _cuts(ecg, rate_hz, beats[index], factor, (before + slack, after + slack))
    shift, like = _aligned(cuts, gap, before + slack, rate)
    kept: Bools = np.ones(len(index), bool) if keep is not None else _alike(like)
    rows = np.arange(before + after) + slack + shift[kept, None]
    chosen = np.take_along_axis(cuts[:, kept].astype(np.float64), rows[None], axis=2)
    chosen = np.where(gap[:, kept, None], np.nan, chosen)
    n = (~gap[:, kept]).sum(1)
    mean = np.full((len(ecg), before + after), np.nan)
    noise = np.full(len(ecg), np.nan)
    mean[n > 0] = np.nanmedian(chosen[n > 0], axis=1)
    if (n > 1).any():
        many = n > 1
        noise[many] = (np.nanstd(chosen[many], axis=1, ddof=1) * 1.2533 / np.sqrt(n[many, None])).mean(1)
    at = beats[index[kept]] + shift[kept] / factor
    return MedianBeat(mean, rate, before, index[kept], at, n, noise)


def _cuts(
    ecg: NDArray[np.floating], rate_hz: float, beats: Ints, factor: int, reach: tuple[int, int]
) -> tuple[Float, Bools]:
    """Beats without wander (leads, beats, samples), and which are not wholly recorded (leads, beats)."""
    from scipy.signal import butter, resample_poly, sosfiltfilt

    before, after = reach
    sos = butter(2, WANDER_HZ, "highpass", fs=rate_hz, output="sos")
    place = np.arange(-before, after)
    cuts = np.empty((len(ecg), len(beats), before + after), np.float32)
    gap = np.empty((len(ecg), len(beats)), bool)
    stretch, edge = int(STRETCH_S * rate_hz), int(EDGE_S * rate_hz)
    for start in range(0, ecg.shape[1], stretch):
        mine = (beats >= start) & (beats < start + stretch)
        if not mine.any():
            continue
        first = max(0, start - edge)
        filled, missing = bridged(ecg[:, first : start + stretch + edge])
        leads = sosfiltfilt(sos, filled, axis=1, padlen=min(filled.shape[1] - 1, int(2 * rate_hz)))
        if factor > 1:
            leads = resample_poly(leads, factor, 1, axis=1, padtype="line")
        at = (beats[mine, None] - first) * factor + place
        cuts[:, mine] = leads[:, at]
        gap[:, mine] = missing[:, at // factor].any(2)
    return cuts, gap


def _aligned(cuts: Float, gap: Bools, r: int, rate_hz: float) -> tuple[Ints, Floats]:
    """Shift of each beat against the others, samples, and its correlation with the most typical one."""
    slack = int(SHIFT_S * rate_hz)
    here = np.arange(r - int(QRS_S[0] * rate_hz), r + int(QRS_S[1] * rate_hz))
    there = ~gap
    slope = np.gradient(cuts, axis=2)  # to align by the slope, because level and T wave say little about time
    weight = np.median(np.linalg.norm(slope[:, :, here], axis=2), axis=1) * there.any(1)

    def shapes(waves: Float, shift: Ints) -> Float:
        """Every lead of every beat to unit norm, 0 where it was not recorded; (leads, beats, samples)."""
        rows = np.take_along_axis(waves, (here + shift[:, None])[None], axis=2)
        norm = np.maximum(np.linalg.norm(rows, axis=2), 1e-12)
        return np.asarray(rows / norm[:, :, None] * there[:, :, None])

    def likeness(waves: Float, typical: Float) -> Floats:
        """Correlation of each beat with a typical one over the leads recorded."""
        over = np.maximum(weight @ there, 1e-12)
        return np.asarray(np.einsum("lbs,ls,l->b", waves, typical, weight, optimize=True) / over)

    def medoid(waves: Float) -> Float:
        """The beat most like all others."""
        flat = (waves * np.sqrt(weight)[:, None, None]).transpose(1, 0, 2).reshape(waves.shape[1], -1)
        both = (there * weight[:, None]).T @ there
        return waves[:, np.argmax(np.median(flat @ flat.T / np.maximum(both, 1e-12), axis=0))]

    shift = np.zeros(cuts.shape[1], np.int64)
    typical = medoid(shapes(slope, shift))
    for steps in (np.arange(-slack, slack + 1, 3), np.arange(-3, 4)):  # coarse, then fine
        tried = np.clip(shift + steps[:, None], -slack, slack)
        scores = np.stack([likeness(shapes(slope, t), typical) for t in tried])
        shift = tried[scores.argmax(0), np.arange(len(shift))]
        moved = shapes(slope, shift)
        like = likeness(moved, typical)
        good = like >= min(ALIKE, float(np.median(like)))
        typical = np.median(moved[:, good], axis=1)
        typical /= np.maximum(np.linalg.norm(typical, axis=1, keepdims=True), 1e-12)
    shift = np.clip(shift - int(np.median(shift)), -slack, slack)
    level = shapes(cuts - np.median(cuts, axis=2, keepdims=True), shift)
    return shift, likeness(level, medoid(level))


def _alike(like: Floats) -> Bools:
    """Beats that resemble the most typical one; when few do (noise), the better half."""
    kept = np.asarray(like >= ALIKE)
    return kept if kept.sum() * 2 >= len(like) else np.asarray(like >= np.median(like))


def global_fiducials(waves: Waves, median: MedianBeat, rate_hz: float) -> Fiducials:
    """Put the boundaries of the kept beats together, lead by lead and over all leads.

    Parameters
    ----------
    waves : Waves
        Of the same recording and the same beats from which the median was taken.
    median : MedianBeat
    rate_hz : float
        Sampling rate of the recording.

    Returns
    -------
    Fiducials
    """
    relative = (waves.at[:, :, median.beats] - median.at) * (1000 / rate_hz)
    sd = waves.sd_ms[:, :, median.beats].astype(np.float64)
    seen = np.isfinite(relative)
    judged = np.isfinite(waves.p[:, median.beats]).sum(1)  # beats that could be seen at all in this lead
    enough = (seen.sum(2) * 2 > judged) & (judged > 0)
    lead_ms, lead_sd = np.full(seen.shape[:2], np.nan), np.full(seen.shape[:2], np.nan)
    values = relative[enough]
    lead_ms[enough] = np.nanmedian(values, axis=1)
    # the scatter shrinks with the number of beats; of the network's own doubt most is the same in every beat
    scatter = 1.2533 * np.nanstd(values, axis=1) / np.sqrt(seen[enough].sum(1))
    lead_sd[enough] = np.hypot(SAME_IN_ALL * np.nanmedian(sd[enough], axis=1), scatter)
    least = max(1, int((judged > 0).sum()) // 4)
    found: dict[str, tuple[float, float] | None] = {}
    for name, late in (("p_on", 0), ("p_off", 1), ("qrs_on", 0), ("qrs_off", 1), ("t_off", 1)):
        row = FIDUCIALS.index(name)
        here = np.isfinite(lead_ms[row])
        found[name] = None
        if here.sum() >= least:
            ranked = np.sort(lead_ms[row, here])
            rank = 1 if len(ranked) >= RANKED else 0
            found[name] = (
                float(ranked[-1 - rank] if late else ranked[rank]),
                float(np.median(lead_sd[row, here])),
            )
    return Fiducials(
        lead_ms,
        lead_sd,
        **found,
        definition=SECOND if len(lead_ms[0]) >= RANKED else FIRST,
    )
