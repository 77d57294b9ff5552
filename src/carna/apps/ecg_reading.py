"""A resting electrocardiogram read as a specialist reads it: beats, intervals, leads, criteria."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept, ecg_statements
from carna.ecg.criteria import CRITERIA, Tracing, Verdict, judge, look_now
from carna.ecg.criteria.reading import Reading, read
from carna.ecg.measure import Interval
from carna.ecg.quality import believed
from carna.ecg.rhythm import Rhythm
from carna.errors import InputError
from carna.findings import Absent, Curve, Events, Evidence, Item, Measurement, Sd, Statement, Unknown
from carna.study import Ecg, Record

_CODE = ecg_statements.by_criterion()
_INTERVALS = {
    "p": codes.P_DURATION,
    "pr": codes.PR_INTERVAL,
    "qrs": codes.QRS_DURATION,
    "qt": codes.QT_INTERVAL,
}
_QTC = {
    "Bazett": codes.QTC_BAZETT,
    "Fridericia": codes.QTC_FRIDERICIA,
    "Framingham": codes.QTC_FRAMINGHAM,
    "Hodges": codes.QTC_HODGES,
}
_AXES = {"p": codes.P_AXIS, "qrs": codes.QRS_AXIS, "t": codes.T_AXIS}
_LEAD = {
    "p_mV": codes.P_AMPLITUDE_LEAD,
    "j_mV": codes.J_AMPLITUDE_LEAD,
    "st60_mV": codes.ST_AMPLITUDE_LEAD,
    "t_mV": codes.T_AMPLITUDE_LEAD,
}
_WAVES = {"q": codes.Q_AMPLITUDE_LEAD, "r": codes.R_AMPLITUDE_LEAD, "s": codes.S_AMPLITUDE_LEAD}
_KINDS = {
    "normal": codes.NORMAL_BEAT,
    "supraventricular": codes.SUPRAVENTRICULAR_PREMATURE_BEAT,
    "ventricular": codes.VENTRICULAR_PREMATURE_BEAT,
    "paced": codes.ABNORMAL_BEAT,
    "unknown": codes.UNCLASSIFIABLE_BEAT,
}
_USABLE = (
    "usable: recorded for at least half of the time, not flat, at most 1 % clipped, swings below 20 mV, "
    "QRS band at least 10 dB above its floor, hum below 0.3 mV"
)
_EXCHANGED = "limb cables or chest electrodes lie as their leads are named; blind to some exchanges"
_NONE = "no beats that can be told from noise"
_NO_AXIS = "no direction: too small, or too few limb leads"
_CONTRADICT = "limb channels contradict each other: order, sign or gain is not as stated"
_ONE = re.compile(r"(?!channel_\d+$).")  # a name that can be an id
_LIMB = {"I", "II", "III", "aVR", "aVL", "aVF"}
_UNTRUE = ("clipped", "implausible", "flat", "no signal")  # amplitudes of such leads are not the heart's


@application(
    version="1.0",
    gives=(
        *(codes.QRS_COMPLEX, codes.BEAT_COUNT, codes.VENTRICULAR_RATE, codes.RR_INTERVAL),
        *_INTERVALS.values(),
        *_QTC.values(),
        *_AXES.values(),
        *dict.fromkeys(_CODE[c.name] for c in CRITERIA),
        *(codes.SIGNAL_QUALITY, ecg_statements.LEADS_REVERSED, ecg_statements.CHEST_LEADS_EXCHANGED),
    ),
    may_give=(
        *codes.LEADS.values(),
        *_LEAD.values(),
        *_WAVES.values(),
        ecg_statements.LOOK_NOW,
        codes.BLOCKED_P_WAVE,
    ),
    cites=tuple(sorted({c.source for c in CRITERIA if c.source.startswith("doi:")})),
    stakes="low",
)
def ecg_reading(
    ecg: Annotated[Ecg, Need("a resting electrocardiogram of 5 s to 2 min", min_seconds=5, max_seconds=120)],
    record: Annotated[Record | None, Need("age and sex")],
    *,
    age: Annotated[float, Setting("a", -1, 130, "age, where no record has it; -1 not known")] = -1.0,
    sex: Annotated[
        Literal["unknown", "female", "male"], Setting(doc="sex, where no record has it")
    ] = "unknown",
    job: Job,
) -> tuple[Item, ...]:
    """Read a resting electrocardiogram: intervals, every lead, criteria met and not met."""
    if ecg.rate_hz < 100:
        raise InputError(f"{ecg.rate_hz:g} samples a second", needed="100 Hz or more", fix="use the original")
    named = [lead for lead in ecg.leads if lead in codes.LEADS]
    if twice := sorted({lead for lead in named if named.count(lead) > 1}):
        raise InputError(f"lead {', '.join(twice)} twice", needed="each lead once", fix="name or drop one")
    years = record.age_a if record is not None and record.age_a is not None else (age if age >= 0 else None)
    known = record.sex if record is not None and record.sex in ("female", "male") else None
    given = sex if sex in ("female", "male") else None
    who = known or given
    job.progress(0.05, "beats")
    got = read(
        believed(np.asarray(ecg.values.array, float)),
        ecg.rate_hz,
        ecg.leads,
        age_a=years,
        sex=who,
        progress=job.progress.part(0.05, 0.9),
    )
    seen = Evidence(ecg.origin.uid, ecg.leads, 0.0, round(ecg.seconds, 3))
    tracing = got.tracing
    verdicts = judge(tracing) if tracing is not None else ()
    job.progress(1.0, "criteria")
    return (
        *_beats(got, ecg, seen),
        *_rate(tracing.rhythm if tracing is not None else None, seen),
        *_global(tracing, seen),
        *_medians(tracing, ecg, seen),
        *_blocked(tracing, seen),
        *_criteria(verdicts, seen),
        *_second_opinion(got, seen),
        *_unread(got, seen),
        *_electrodes(tracing, seen),
        *_leads(got, ecg),
        *_measured(got, ecg),
    )


def _beats(got: Reading, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield every trusted beat with its kind."""
    sample, kind = got.trusted_beats()
    if not len(sample):
        for id, code in (("beats", codes.QRS_COMPLEX), ("beats.count", codes.BEAT_COUNT)):
            yield Absent(id=id, code=code, why=_NONE, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
        return
    yield Events(
        id="beats",
        code=codes.QRS_COMPLEX,
        onset_s=sample / ecg.rate_hz,
        types=tuple(_KINDS.values()),
        type_index=kind,
        evidence=(seen,),
    )
    why = "a count; the detector's error rates are in its documentation"
    yield Measurement(
        id="beats.count",
        code=codes.BEAT_COUNT,
        value=float(len(sample)),
        unit="{beats}",
        uncertainty=Unknown(why),
        of=("beats",),
        evidence=(seen,),
    )


def _rate(told: Rhythm | None, seen: Evidence) -> Iterator[Item]:
    """Yield rate and mean interval."""
    rows = (("rate", codes.VENTRICULAR_RATE, "/min"), ("rr", codes.RR_INTERVAL, "ms"))
    for id, code, unit in rows:
        if told is None or told.mean_rate_bpm is None or told.rr_ms is None or told.rr_sd_ms is None:
            why = _NONE if told is None else f"{told.intervals} usable intervals between beats, fewer than 2"
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
            continue
        value = told.mean_rate_bpm if unit == "/min" else told.rr_ms
        sd = value * told.rr_sd_ms / told.rr_ms / float(np.sqrt(told.intervals))
        yield _number(id, code, value, unit, Sd(sd), (seen,), of=("beats",), method=codes.MEAN)


def _global(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield the intervals of the median beat, QTc by four formulas, and the axes."""
    matrix = tracing.matrix if tracing is not None else None
    none, contradict = _NONE, False
    if tracing is not None and tracing.integrity is not None:
        contradict = tracing.integrity.channels == "met"
        unusable, all_ = len(tracing.integrity.unusable), len(tracing.leads)
        if 2 * unusable > all_:  # as no criterion is judged on them
            matrix, none = None, f"{unusable} of {all_} leads cannot be read"
    found: dict[str, tuple[Concept, Interval | None]] = {
        name: (code, getattr(matrix, name) if matrix is not None else None)
        for name, code in _INTERVALS.items()
    }
    for formula, code in _QTC.items():
        found[f"qtc.{formula.lower()}"] = code, matrix.qtc_ms.get(formula) if matrix is not None else None
    for id, (code, interval) in found.items():
        if interval is None:
            why = none if matrix is None else "its boundaries could not be found"
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
        else:
            yield _number(id, code, interval.ms, "ms", Sd(interval.sd_ms), (seen,), of=("beats",))
    for wave, code in _AXES.items():
        axis = getattr(matrix, f"{wave}_axis") if matrix is not None else None
        if axis is None or contradict:
            why = none if matrix is None else _CONTRADICT if contradict else _NO_AXIS
            yield Absent(
                id=f"axis.{wave}", code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,)
            )
        else:
            doubt = Unknown("from net areas of one median beat")
            yield _number(f"axis.{wave}", code, axis, "deg", doubt, (seen,), of=("beats",))


def _medians(tracing: Tracing | None, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield the median beat of each recorded lead, and where its waves begin and end."""
    if tracing is None or tracing.median is None or tracing.fiducials is None:
        return
    median, f = tracing.median, tracing.fiducials
    x = np.asarray((np.arange(median.mV.shape[1]) - median.r) * 1000.0 / median.rate_hz, np.float64)
    for name, mv in zip(tracing.leads, median.mV, strict=True):
        if name in ecg.leads and name in codes.LEADS and np.isfinite(mv).all():
            yield Curve(
                id=f"median.{name.lower()}",
                code=codes.LEADS[name],
                x=x,
                y=mv,
                x_unit="ms",
                y_unit="mV",
                of=("beats",),
                evidence=(Evidence(ecg.origin.uid, (name,), 0.0, round(ecg.seconds, 3)),),
            )
    t_on = f.t_off
    spans = [
        (code, a[0] / 1000, b[0] / 1000)
        for code, a, b in (
            (codes.P_WAVE, f.p_on, f.p_off),
            (codes.QRS_COMPLEX, f.qrs_on, f.qrs_off),
            (codes.T_WAVE, t_on, f.t_off),
        )
        if a is not None and b is not None
    ]
    if spans:
        yield Events(
            id="median.waves",
            code=codes.QRS_COMPLEX,
            onset_s=np.array([a for _, a, _ in spans]),
            offset_s=np.array([b for _, _, b in spans]),
            types=tuple(code for code, _, _ in spans),
            type_index=np.arange(len(spans)),
            of=("beats",),
            evidence=(seen,),
        )


def _criteria(verdicts: tuple[Verdict, ...], seen: Evidence) -> Iterator[Item]:
    """Yield a statement for each criterion, and what a person should see first."""
    if not verdicts:
        for criterion in CRITERIA:
            yield Statement(
                id=f"criteria.{_slug(criterion.name)}",
                code=_CODE[criterion.name],
                verdict="not assessable",
                rule=f"{criterion.text}. {_NONE}. {criterion.source}",
                evidence=(seen,),
            )
        return
    for verdict in verdicts:
        leads = tuple(lead for lead in verdict.leads if lead in seen.leads) or seen.leads
        yield Statement(
            id=f"criteria.{_slug(verdict.name)}",
            code=_CODE[verdict.name],
            verdict=verdict.verdict,
            rule=f"{verdict.name}: {verdict.why}. {verdict.source}",
            of=("beats",),
            evidence=(Evidence(seen.part, leads, seen.start_s, seen.stop_s),),
        )
    for urgent in look_now(verdicts):
        yield Statement(
            id=f"look_now.{_slug(urgent.verdict.name)}",
            code=ecg_statements.LOOK_NOW,
            verdict="met",
            rule=urgent.sentence,
            of=(f"criteria.{_slug(urgent.verdict.name)}",),
            evidence=(seen,),
        )


def _unread(got: Reading, seen: Evidence) -> Iterator[Item]:
    """Yield a call to look where no beat was found: asystole and ventricular fibrillation have none."""
    if got.tracing is not None:
        return
    moving = sum(kind not in ("flat", "no signal") for kind in got.quality.kind)
    what = (
        f"{moving} of {len(seen.leads)} leads move: noise, or a rhythm without distinct beats such as "
        "ventricular fibrillation or flutter"
        if moving
        else "All leads are flat or empty: electrodes off, or asystole"
    )
    yield Statement(
        id="look_now.unread",
        code=ecg_statements.LOOK_NOW,
        verdict="met",
        rule=f"Nothing was read: {_NONE}. {what}. Look at the trace; Carna is no alarm.",
        evidence=(seen,),
    )


def _blocked(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield the P waves that no QRS follows, where there are any."""
    told = tracing.conduction if tracing is not None else None
    if told is None or not told.blocked:
        return
    yield Events(
        id="p.blocked",
        code=codes.BLOCKED_P_WAVE,
        onset_s=np.array(told.blocked),
        types=(codes.BLOCKED_P_WAVE,),
        type_index=np.zeros(len(told.blocked), np.int64),
        of=("beats",),
        evidence=(seen,),
    )


def _second_opinion(got: Reading, seen: Evidence) -> Iterator[Item]:
    """Yield a doubt where the call on fibrillation and the P waves contradict each other."""
    doubt = got.fibrillation_in_doubt()
    if doubt is None:
        return
    yield Statement(
        id="second_opinion.fibrillation",
        code=codes.ATRIAL_FIBRILLATION,
        verdict="not assessable",
        rule=f"Two methods disagree on atrial fibrillation: {doubt}. Look at the trace.",
        of=("beats", "criteria.atrial_fibrillation"),
        evidence=(seen,),
    )


def _electrodes(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield whether cables or electrodes seem exchanged, and whether channels contradict each other."""
    told = tracing.integrity if tracing is not None else None
    for id, code, verdict, chest in (
        ("electrodes.limb", ecg_statements.LEADS_REVERSED, told.limb if told else "not assessable", False),
        ("electrodes.chest", ecg_statements.CHEST_LEADS_EXCHANGED, told.chest if told else "not assessable",
         True),
    ):  # fmt: skip
        whys = (
            [s.why for s in told.suspicions if chest == all(n.startswith("V") for n in s.leads)]
            if told
            else [_NONE]
        )
        rule = "; ".join((f"exchanged: {_EXCHANGED}", *whys))
        yield Statement(id=id, code=code, verdict=verdict, rule=rule, evidence=(seen,))
    # Clipping or noise breaks the sums too, and is said of each lead.
    if told is not None and told.channels == "met" and not _LIMB & told.unusable.keys():
        yield Statement(
            id="look_now.channels",
            code=ecg_statements.LOOK_NOW,
            verdict="met",
            rule=f"{_CONTRADICT[0].upper()}{_CONTRADICT[1:]}: no axis, no criterion on amplitudes.",
            evidence=(seen,),
        )


def _leads(got: Reading, ecg: Ecg) -> Iterator[Item]:
    """Yield for every lead whether it is usable."""
    for id, lead, kind in zip(_ids(ecg.leads), ecg.leads, got.quality.kind, strict=True):
        yield Statement(
            id=f"lead.{id}",
            code=codes.SIGNAL_QUALITY,
            site=codes.LEADS.get(lead),
            verdict="met" if kind == "good" else "not met",
            rule=_USABLE if kind == "good" else f"{_USABLE}; this lead: {kind}",
            evidence=(Evidence(ecg.origin.uid, (lead,), 0.0, round(ecg.seconds, 3)),),
        )


def _measured(got: Reading, ecg: Ecg) -> Iterator[Item]:
    """Yield what each recorded lead shows, mV, unless its amplitudes are not the heart's."""
    tracing = got.tracing
    kinds = dict(zip(ecg.leads, got.quality.kind, strict=True))
    for lead, row in (tracing.matrix.leads if tracing is not None else {}).items():
        if lead not in codes.LEADS or kinds.get(lead, "no signal") in _UNTRUE:
            continue
        waves = {wave: getattr(row, wave) for wave in _WAVES}
        values = {_LEAD[name]: getattr(row, name) for name in _LEAD}
        values |= {_WAVES[wave]: found.mV for wave, found in waves.items() if found is not None}
        noise = row.noise_mV
        seen = (Evidence(ecg.origin.uid, (lead,), 0.0, round(ecg.seconds, 3)),)
        for code, value in values.items():
            if value is None:
                continue
            id = f"lead.{_slug(lead)}.{_slug(code.meaning.split(',')[0])}"
            doubt = Sd(noise) if noise is not None and np.isfinite(noise) else Unknown("one beat")
            yield _number(id, code, value, "mV", doubt, seen, of=("beats",), site=codes.LEADS[lead])


def _number(
    id: str,
    code: Concept,
    value: float,
    unit: str,
    uncertainty: Sd | Unknown,
    evidence: tuple[Evidence, ...],
    *,
    of: tuple[str, ...],
    site: Concept | None = None,
    method: Concept | None = None,
) -> Measurement:
    return Measurement(
        id=id, code=code, value=float(value), unit=unit, uncertainty=uncertainty, evidence=evidence, of=of,
        site=site, method=method,
    )  # fmt: skip


def _ids(leads: tuple[str, ...]) -> list[str]:
    """Return a piece of an id for each lead: its name, or its number where names are alike or not words."""
    slugs = [_slug(lead) for lead in leads]
    return [
        s if lead in codes.LEADS or (_ONE.match(s) and slugs.count(s) == 1) else f"channel_{k + 1}"
        for k, (lead, s) in enumerate(zip(leads, slugs, strict=True))
    ]


def _slug(name: str) -> str:
    """Return a name as a piece of an id."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
