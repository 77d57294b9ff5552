"""A long electrocardiogram: beats, ectopy, episodes, pauses, rates and variability, hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept, ecg_statements
from carna.ecg.arrhythmia import Event
from carna.ecg.criteria import look_now
from carna.ecg.holter import Holter, Hour, holter
from carna.ecg.hrv import hrv
from carna.ecg.kinds import KINDS
from carna.ecg.quality import believed
from carna.findings import Absent, Curve, Events, Evidence, Item, Measurement, Statement, Unknown
from carna.study import Ecg

_KINDS = (
    codes.NORMAL_BEAT,
    codes.SUPRAVENTRICULAR_PREMATURE_BEAT,
    codes.VENTRICULAR_PREMATURE_BEAT,
    ecg_statements.PACED_BEAT,
    codes.UNCLASSIFIABLE_BEAT,
)
# The code of each kind of event that has one; slow and fast rhythms and couplets are counted, not coded.
_EPISODES: dict[str, Concept] = {
    "atrial fibrillation": codes.ATRIAL_FIBRILLATION,
    "ventricular tachycardia": codes.VT,
    "idioventricular rhythm": ecg_statements.IDIOVENTRICULAR,
    "ventricular bigeminy": ecg_statements.BIGEMINY,
    "ventricular trigeminy": ecg_statements.TRIGEMINY,
    "ventricular couplet": ecg_statements.COUPLET,
    "supraventricular run": codes.SVT,
    "pause": ecg_statements.PAUSE,
}
_COUNTED = "a count; the detector's error rates are in its documentation"
_NO_ALARM = "Carna is no alarm and watches nobody"
_HRV = {"sdnn_24h_ms": codes.SDNN, "rmssd_ms": codes.RMSSD}
PAUSE_S, VT_BEATS, AF_S = 3.0, 3, 30.0
ENOUGH = 0.8  # of the recording, to say that something is not in it


@application(
    version="1.0",
    gives=(
        *(codes.QRS_COMPLEX, codes.BEAT_COUNT, codes.VENTRICULAR_RATE, codes.ECTOPIC_BEAT_COUNT),
        *(codes.VENTRICULAR_PREMATURE_BEAT, codes.SUPRAVENTRICULAR_PREMATURE_BEAT, codes.RHYTHM),
        *(codes.ATRIAL_FIBRILLATION, codes.VT, ecg_statements.PAUSE, ecg_statements.AF_BURDEN),
        *(ecg_statements.ANALYSABLE, codes.SIGNAL_QUALITY, codes.SDNN, codes.RMSSD),
    ),
    may_give=(ecg_statements.LOOK_NOW,),
    cites=(
        "doi:10.1093/eurheartj/ehaa612",
        "doi:10.1161/CIR.0000000000000628",
        "doi:10.1161/01.CIR.93.5.1043",
    ),
)
def holter_reading(
    ecg: Annotated[Ecg, Need("a long recording, one to twelve leads", min_seconds=120)],
    *,
    slow: Annotated[float, Setting("/min", 20, 100, "a rhythm slower than this is listed")] = 50.0,
    fast: Annotated[float, Setting("/min", 60, 250, "a rhythm faster than this is listed")] = 100.0,
    job: Job,
) -> tuple[Item, ...]:
    """Read a long electrocardiogram hour by hour: ectopy, episodes, pauses, rates, variability."""
    values = ecg.values.array
    found = holter(
        lambda start, stop: believed(np.asarray(values[:, start:stop], float)),
        values.shape[1],
        ecg.rate_hz,
        slow_bpm=slow,
        fast_bpm=fast,
        progress=job.progress,
    )
    seen = Evidence(ecg.origin.uid, ecg.leads, 0.0, round(ecg.seconds, 3))
    return (
        *_beats(found, ecg, seen),
        *_counts(found, ecg, seen),
        *_rates(found, ecg, seen),
        *_episodes(found, seen),
        *_statements(found, ecg, seen),
        *_hours(found, seen),
        *_variability(found, ecg, seen),
    )


def _beats(found: Holter, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    if not len(found.beats.sample):
        why = "no beats that can be told from noise"
        yield Absent(id="beats", code=codes.QRS_COMPLEX, why=why, evidence=(seen,))
        return
    yield Events(
        id="beats",
        code=codes.QRS_COMPLEX,
        onset_s=found.beats.sample / ecg.rate_hz,
        types=_KINDS,
        type_index=found.kinds.kind,
        evidence=(seen,),
    )


def _counts(found: Holter, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield beats, ectopic beats, analysable time and the burden of fibrillation over it."""
    whole = found.whole
    first = np.flatnonzero(found.kinds.kind == KINDS.index("ventricular"))
    at = _around(found.beats.sample[first[0]] / ecg.rate_hz, seen) if len(first) else seen
    for id, code, count, where in (
        ("beats.count", codes.BEAT_COUNT, whole.beats, seen),
        ("ectopic.count", codes.ECTOPIC_BEAT_COUNT, whole.ventricular + whole.supraventricular, seen),
        ("v.count", codes.VENTRICULAR_PREMATURE_BEAT, whole.ventricular, at),
        ("s.count", codes.SUPRAVENTRICULAR_PREMATURE_BEAT, whole.supraventricular, seen),
    ):
        if whole.analysable_min > 0:
            yield _count(id, code, count, where)
        else:
            yield Absent(id=id, code=code, why="no analysable time", evidence=(seen,))
    minutes = Unknown("minutes between beats that can be counted on")
    yield Measurement(
        id="analysable", code=ecg_statements.ANALYSABLE, value=whole.analysable_min, unit="min",
        uncertainty=minutes, of=("beats",), evidence=(seen,),
    )  # fmt: skip
    if whole.analysable_min <= 0:
        why = "no analysable time"
        yield Absent(id="af.burden", code=ecg_statements.AF_BURDEN, why=why, evidence=(seen,))
        return
    yield Measurement(
        id="af.burden",
        code=ecg_statements.AF_BURDEN,
        value=100 * min(1.0, whole.fibrillation_min / whole.analysable_min),
        unit="%",
        uncertainty=Unknown("share of analysable time in episodes of 30 s and more"),
        of=("episodes",),
        evidence=(seen,),
    )


def _rates(found: Holter, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    whole = found.whole
    strips = {s.why: _strip(s.start, s.stop, ecg, seen) for s in found.strips}
    rows = (
        ("rate.mean", whole.mean_bpm, codes.MEAN, seen),
        ("rate.min", whole.lowest_bpm, codes.MINIMUM, strips.get("lowest rate", seen)),
        ("rate.max", whole.highest_bpm, codes.MAXIMUM, strips.get("highest rate", seen)),
    )
    for id, value, method, where in rows:
        if value is None:
            why = "too few analysable intervals"
            yield Absent(id=id, code=codes.VENTRICULAR_RATE, why=why, evidence=(seen,))
            continue
        yield Measurement(
            id=id, code=codes.VENTRICULAR_RATE, value=value, unit="/min", method=method,
            uncertainty=Unknown("over eight intervals" if id != "rate.mean" else "over the whole recording"),
            of=("beats",), evidence=(where,),
        )  # fmt: skip


def _episodes(found: Holter, seen: Evidence) -> Iterator[Item]:
    """Yield every coded episode with its onset and offset, and what could not be analysed."""
    told = [e for e in found.events if e.kind in _EPISODES]
    types = tuple(dict.fromkeys(_EPISODES.values()))
    yield Events(
        id="episodes",
        code=codes.RHYTHM,
        onset_s=np.array([e.start_s for e in told]),
        offset_s=np.array([e.stop_s for e in told]),
        types=types,
        type_index=np.array([types.index(_EPISODES[e.kind]) for e in told], np.int64),
        of=("beats",),
        evidence=(seen,),
    )
    yield Events(
        id="unanalysable",
        code=codes.SIGNAL_QUALITY,
        onset_s=found.noise[:, 0],
        offset_s=found.noise[:, 1],
        types=(codes.NOISE_SEVERE,),
        type_index=np.zeros(len(found.noise), np.int64),
        evidence=(seen,),
    )


def _statements(found: Holter, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield fibrillation, ventricular tachycardia and pauses, each with its longest as evidence."""
    rules: tuple[tuple[str, str, Concept, Callable[[Event], bool], str], ...] = (
        (
            "af",
            "atrial fibrillation",
            codes.ATRIAL_FIBRILLATION,
            lambda e: e.seconds >= AF_S,
            "30 s and more",
        ),
        (
            "vt",
            "ventricular tachycardia",
            codes.VT,
            lambda e: e.beats >= VT_BEATS,
            "3 beats and more at 100/min",
        ),
        ("pause", "pause", ecg_statements.PAUSE, lambda e: e.seconds >= PAUSE_S, "3 s and more, quiet"),
    )
    # What is not met must have been looked for in most of the time; a single strip is enough for met.
    minutes, total = found.whole.analysable_min, ecg.seconds / 60
    assessable = minutes >= ENOUGH * total
    for id, kind, code, counts, rule in rules:
        some = sorted((e for e in found.events if e.kind == kind and counts(e)), key=lambda e: -e.seconds)
        at = _around(some[0].start_s, seen) if some else seen
        said = f"{kind}: {rule}; found: {len(some)}" + (f", longest {some[0].seconds:.1f} s" if some else "")
        verdict: Literal["met", "not met", "not assessable"] = "met" if some else "not met"
        if not some and not assessable:
            verdict = "not assessable"
            said += f"; only {minutes:.1f} of {total:.1f} min could be analysed"
        yield Statement(
            id=f"rhythm.{id}", code=code, verdict=verdict, rule=said, of=("episodes",), evidence=(at,)
        )
        if some and kind in ("ventricular tachycardia", "pause"):
            text = f"Criteria for {kind} met. {_NO_ALARM}."
            yield Statement(
                id=f"look_now.{id}", code=ecg_statements.LOOK_NOW, verdict="met", rule=text,
                of=(f"rhythm.{id}",), evidence=(at,),
            )  # fmt: skip
    for urgent in look_now((), found.beats.arrests):
        name = urgent.verdict.name
        longest = max((a for a in found.beats.arrests if a.kind == name), key=lambda a: a.stop_s - a.start_s)
        yield Statement(
            id="look_now.fibrillation" if "fibrillation" in name else "look_now.p_without_qrs",
            code=ecg_statements.LOOK_NOW,
            verdict="met",
            rule=f"{urgent.sentence} {urgent.verdict.why}. {urgent.verdict.source}",
            evidence=(_around(longest.start_s, seen),),
        )


def _hours(found: Holter, seen: Evidence) -> Iterator[Item]:
    """Yield the hourly table, column by column."""
    columns: tuple[tuple[str, Concept, str, Callable[[Hour], float | None]], ...] = (
        ("rate.mean", codes.VENTRICULAR_RATE, "/min", lambda h: h.mean_bpm),
        ("rate.min", codes.VENTRICULAR_RATE, "/min", lambda h: h.lowest_bpm),
        ("rate.max", codes.VENTRICULAR_RATE, "/min", lambda h: h.highest_bpm),
        ("v", codes.VENTRICULAR_PREMATURE_BEAT, "{beats}", lambda h: float(h.ventricular)),
        ("s", codes.SUPRAVENTRICULAR_PREMATURE_BEAT, "{beats}", lambda h: float(h.supraventricular)),
        ("af", codes.ATRIAL_FIBRILLATION, "min", lambda h: h.fibrillation_min),
        ("analysable", ecg_statements.ANALYSABLE, "min", lambda h: h.analysable_min),
    )
    for name, code, unit, value in columns:
        rows = [(h.start_s / 3600, v) for h in found.hours if (v := value(h)) is not None]
        if rows:
            x, y = np.array(rows, float).T
            yield Curve(id=f"hourly.{name}", code=code, x=x, y=y, x_unit="h", y_unit=unit, evidence=(seen,))


def _variability(found: Holter, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield SDNN over a day and RMSSD, from NN intervals outside fibrillation."""
    fibrillating = np.nan_to_num(found.fibrillation) > 0.5
    usable = found.usable & ~(fibrillating[1:] | fibrillating[:-1]) if len(found.usable) else found.usable
    told = hrv(found.beats.sample / ecg.rate_hz, found.kinds.kind, usable)
    for name, code in _HRV.items():
        value = told.values.get(name)
        id = f"hrv.{name.removesuffix('_ms')}"
        if value is None:
            why = told.why.get(name, "not measured")
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
        else:
            doubt = Unknown(f"{told.nn} NN intervals, {told.covered:.0%} of the time")
            yield Measurement(
                id=id, code=code, value=value, unit="ms", uncertainty=doubt, of=("beats",), evidence=(seen,)
            )


def _count(id: str, code: Concept, value: int, where: Evidence) -> Measurement:
    return Measurement(
        id=id, code=code, value=float(value), unit="{beats}", uncertainty=Unknown(_COUNTED), of=("beats",),
        evidence=(where,),
    )  # fmt: skip


def _around(at_s: float, seen: Evidence, seconds: float = 10.0) -> Evidence:
    """Return a strip of ten seconds around a moment."""
    start = max(0.0, round(at_s - seconds / 2, 3))
    return Evidence(seen.part, seen.leads, start, min(start + seconds, seen.stop_s or start + seconds))


def _strip(start: int, stop: int, ecg: Ecg, seen: Evidence) -> Evidence:
    return Evidence(seen.part, seen.leads, round(start / ecg.rate_hz, 3), round(stop / ecg.rate_hz, 3))
