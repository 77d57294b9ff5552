"""From samples to a `Tracing`: beats, kinds, waves, median beat, measurements, rhythm and integrity, once.

The median beat is that of the normal beats when there are three or more, so that ectopic ones do not enter.
Atrial fibrillation is the call of `carna.ecg.strips` on lead II, or the lead that shows beats best. Pacing
is known when most beats follow spikes, and unknown otherwise: carts remove spikes. P waves are followed one
by one (`carna.ecg.p_waves`) outside fibrillation, flutter and pacing. A train of P waves that keeps its own
time overrules a call of fibrillation (irregular intervals of Wenckebach periods); where flutter is seen and
fibrillation called, fibrillation is not concluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.arrhythmia import events
from carna.ecg.beats import Beats, find_beats
from carna.ecg.criteria.base import Tracing
from carna.ecg.delineate import delineate
from carna.ecg.flutter import Flutter, flutter
from carna.ecg.integrity import derive, lead_integrity
from carna.ecg.kinds import KINDS, NORMAL, SUPRAVENTRICULAR, Kinds, beat_kinds
from carna.ecg.measure import measure
from carna.ecg.median import global_fiducials, median_beat
from carna.ecg.p_waves import PWaves, follow
from carna.ecg.quality import LeadQuality, einthoven_residual, lead_quality
from carna.ecg.rhythm import between_gaps, rhythm
from carna.ecg.spikes import paced_beats, pacing_spikes
from carna.ecg.strips import FEWEST as STRIP_BEATS
from carna.ecg.strips import SHORTEST_S, read_strip
from carna.ecg.traces import Ints
from carna.progress import SILENT, Progress

TRUST = 0.7  # noise alone gives beats of less trust
P_THERE, P_ABSENT = 0.5, 0.25
P_NEARLY_ALL, P_HARDLY_ANY = 0.8, 0.2  # of the beats
P_HIDES_BPM = 100.0  # faster, P may lie in T: not seen is then not known
FEWEST = 3  # beats


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """An electrocardiogram read once: beats and lead quality always, the tracing where there are beats.

    Attributes
    ----------
    quality : LeadQuality
        Of the leads given.
    beats : Beats
    kinds : Kinds or None
        None without beats.
    tracing : Tracing or None
        None when fewer than three beats can be told from noise, or none lies whole within the recording.
    p_waves : PWaves or None
        P waves followed from beat to beat, fibrillation or not; None with the tracing.
    flutter : Flutter or None
        What was concluded about flutter, and why; None with the tracing.
    """

    quality: LeadQuality
    beats: Beats
    kinds: Kinds | None
    tracing: Tracing | None
    p_waves: PWaves | None = None
    flutter: Flutter | None = None

    def trusted_beats(self) -> tuple[Ints, Ints]:
        """Return the samples of the beats that can be counted on, and the index of each kind in `KINDS`."""
        trusted = self.beats.trust >= TRUST
        if self.kinds is None or trusted.sum() < FEWEST:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return self.beats.sample[trusted], self.kinds.kind[trusted]

    def fibrillation_in_doubt(self) -> str | None:
        """Say how the call on fibrillation and the P waves seen contradict each other; None if not.

        The call of one lead (`carna.ecg.strips`) says fibrillation while P waves go before four fifths of the
        beats or more; or it says none while intervals are irregular and one beat in five or fewer has one.
        """
        t = self.tracing
        if t is None or t.fibrillation is None or self.p_waves is None or t.paced:
            return None
        if self.p_waves.train is not None:  # atria that keep their own time: settled
            return None
        seen = self.p_waves.share
        if t.fibrillation and seen >= P_NEARLY_ALL:
            return f"one lead is called fibrillation, yet P waves go before {100 * seen:.0f} % of the beats"
        irregular = t.rhythm is not None and t.rhythm.regularity == "irregular"
        if not t.fibrillation and irregular and seen <= P_HARDLY_ANY:
            return (
                "one lead is not called fibrillation, yet intervals are irregular and P waves go before "
                f"{100 * seen:.0f} % of the beats"
            )
        return None


def read(
    ecg: NDArray[np.floating],
    rate_hz: float,
    leads: tuple[str, ...],
    *,
    age_a: float | None = None,
    sex: Literal["female", "male"] | None = None,
    paced: bool | None = None,
    progress: Progress = SILENT,
) -> Reading:
    """Read an electrocardiogram up to the point where criteria can be judged.

    Parameters
    ----------
    ecg : (leads, samples) float
        Millivolts; NaN where nothing was recorded.
    rate_hz : float
        100 Hz or more.
    leads : tuple of str
        Names of the rows. Limb leads that follow from two others are added.
    age_a, sex : optional
    paced : bool, optional
        Looked for when not given.
    progress : Progress
    """
    given = len(ecg)
    ecg, leads = derive(ecg, leads)
    quality = lead_quality(ecg, rate_hz)
    progress(0.2, "beats")
    found = find_beats(ecg, rate_hz)
    trusted = found.trust >= TRUST
    of_leads = quality.of(slice(0, given))
    if trusted.sum() < FEWEST:
        return Reading(of_leads, found, None, None)
    if paced is None and paced_beats(found.sample, pacing_spikes(ecg, rate_hz), rate_hz).mean() > 0.5:
        paced = True
    progress(0.4, "kinds of beats")
    kinds = beat_kinds(ecg, rate_hz, found)
    plain = (kinds.kind == NORMAL) & trusted
    median = median_beat(ecg, rate_hz, found.sample, plain if plain.sum() >= FEWEST else trusted)
    if median is None:
        return Reading(of_leads, found, kinds, None)
    progress(0.6, "waves")
    waves = delineate(ecg, rate_hz, found.sample)
    fiducials = global_fiducials(waves, median, rate_hz)
    at_s = found.sample / rate_hz
    whole = between_gaps(found.sample, np.isfinite(ecg))
    told = rhythm(at_s, found.confidence, whole)
    above = np.isin(kinds.kind, (NORMAL, SUPRAVENTRICULAR))
    followed = follow(ecg, rate_hz, found, waves, above)
    waving = flutter(ecg, rate_hz, at_s, leads)
    fibrillation = _fibrillation(ecg, rate_hz, leads, found)
    if fibrillation and (followed.train is not None or waving.present):
        fibrillation = None if waving.present else False
    progress(0.9, "measurements")
    tracing = Tracing(
        matrix=measure(median, fiducials, leads, rr_ms=told.rr_ms),
        median=median,
        fiducials=fiducials,
        leads=leads,
        rhythm=told,
        p_present=_p_present(waves.p[:, median.beats], told.rate_bpm),
        fibrillation=fibrillation,
        flutter=waving.present,
        paced=paced,
        kinds={name: int((kinds.kind[trusted] == k).sum()) for k, name in enumerate(KINDS)},
        conduction=None if fibrillation or waving.present or paced else followed.conduction,
        events=events(at_s, kinds.kind, usable=whole) if len(at_s) > 1 else (),
        integrity=lead_integrity(
            median,
            fiducials,
            leads,
            quality=quality,
            einthoven=einthoven_residual(ecg, rate_hz, leads),
            paced=paced,
        ),
        age_a=age_a,
        sex=sex,
    )
    return Reading(of_leads, found, kinds, tracing, followed, waving)


def read_tracing(
    ecg: NDArray[np.floating],
    rate_hz: float,
    leads: tuple[str, ...],
    *,
    age_a: float | None = None,
    sex: Literal["female", "male"] | None = None,
    paced: bool | None = None,
) -> Tracing | None:
    """Return the tracing of a reading; see `read`."""
    return read(ecg, rate_hz, leads, age_a=age_a, sex=sex, paced=paced).tracing


def _p_present(p: NDArray[np.floating], rate_bpm: float | None) -> bool | None:
    """Whether P waves go before the beats; None between seen and not seen, and where T may hide them."""
    if not np.isfinite(p).any():
        return None
    chance = float(np.nanmedian(p))
    if chance >= P_THERE:
        return True
    return False if chance < P_ABSENT and rate_bpm is not None and rate_bpm <= P_HIDES_BPM else None


def _fibrillation(
    ecg: NDArray[np.floating], rate_hz: float, leads: tuple[str, ...], beats: Beats
) -> bool | None:
    """Whether a strip of one lead is called fibrillation; None when too short or noise."""
    if ecg.shape[1] < SHORTEST_S * rate_hz or len(beats.sample) < STRIP_BEATS:
        return None
    lead = leads.index("II") if "II" in leads else int(np.argmax(beats.share))
    strip = read_strip(ecg[lead], rate_hz)
    return None if strip.kind == "noise" else strip.kind == "fibrillation"
