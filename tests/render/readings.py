"""What an ECG reading and a Holter reading would say of virtual patients, item by item, with exact truth."""

from __future__ import annotations

from functools import cache

import numpy as np

from carna import codes
from carna.case import Case
from carna.codes import Concept
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Findings,
    Input,
    Interval,
    Item,
    Manifest,
    Measurement,
    Sd,
    Statement,
    Unknown,
)
from carna.phantom.ecg import LEADS, Electrocardiogram, electrocardiogram
from carna.study import Ecg, Lazy, Origin, Patient, Source, Study

STUDY, SERIES, OBJECT = "1.2.826.0.1.3680043.8.498.11", "1.2.826.0.1.3680043.8.498.12", "1.2.826.0.1.9"
CLASS = "1.2.840.10008.5.1.4.1.1.9.1.1"
MEDIAN = Concept("373099004", "SCT", "Median")
BEFORE_S, AFTER_S = 0.45, 0.75
KINDS = {"N": codes.NORMAL_BEAT, "V": codes.VENTRICULAR_PREMATURE_BEAT}


def case_of(made: Electrocardiogram, leads: tuple[str, ...] = LEADS) -> Case:
    rows = [LEADS.index(lead) for lead in leads]
    source = Source(OBJECT, CLASS, SERIES)
    values = np.round(made.mv[rows], 3).astype(np.float32)
    ecg = Ecg(Origin(SERIES, "ECG", "resting", 1, sources=(source,)), Lazy.of(values), leads, made.hz)
    who = Patient("P-1", "", "Doe^Jane", "1970-02-03", "female", synthetic=True)
    return Case(who, (Study(STUDY, who, "2024-03-01T09:30:00", "ECG", "A-1", (ecg,)),))


def findings_of(items: tuple[Item, ...], application: str, **more: object) -> Findings:
    manifest = Manifest(
        application,
        "1.0",
        inputs=(Input("ecg", SERIES),),
        cites=("doi:10.1016/j.jacc.2007.01.024",),
        started="2024-03-01T10:00:00+00:00",
    )
    return Findings(STUDY, "P-1", items, manifest, synthetic=True, **more)  # type: ignore[arg-type]


def beats(made: Electrocardiogram, evidence: tuple[Evidence, ...]) -> Events:
    types = (codes.NORMAL_BEAT, codes.VENTRICULAR_PREMATURE_BEAT)
    return Events(
        id="beats",
        code=codes.QRS_COMPLEX,
        onset_s=np.asarray(made.r_s, np.float64),
        types=types,
        type_index=np.array([types.index(KINDS[k]) for k in made.kinds]),
        evidence=evidence,
    )


def medians(made: Electrocardiogram, evidence: tuple[Evidence, ...]) -> tuple[Item, ...]:
    """The median over normal beats, one curve a lead, and its waves as they were made."""
    before, after = round(BEFORE_S * made.hz), round(AFTER_S * made.hz)
    whole = [
        round(r * made.hz)
        for r, k in zip(made.r_s, made.kinds, strict=True)
        if k == "N" and before <= r * made.hz < made.mv.shape[1] - after
    ]
    cut = np.median(np.stack([made.mv[:, r - before : r + after] for r in whole]), axis=0)
    x = np.asarray(np.arange(-before, after) * 1000.0 / made.hz, np.float64)
    curves = [
        Curve(
            id=f"median.{lead.lower()}",
            code=codes.LEADS[lead],
            x=x,
            y=cut[n],
            x_unit="ms",
            y_unit="mV",
            evidence=evidence,
        )
        for n, lead in enumerate(LEADS)
    ]
    spans = np.stack([made.p_s, made.qrs_s, made.t_s], 1) - made.r_s[:, None, None]
    place = np.nanmedian(spans[[k == "N" for k in made.kinds]], axis=0)
    waves = Events(
        id="median.waves",
        code=codes.QRS_COMPLEX,
        onset_s=place[:, 0],
        offset_s=place[:, 1],
        types=(codes.P_WAVE, codes.QRS_COMPLEX, codes.T_WAVE),
        type_index=np.arange(3),
        evidence=evidence,
    )
    return (*curves, waves)


@cache
def resting(seed: int = 0) -> tuple[Case, Findings]:
    """A ten-second electrocardiogram with two premature beats, and everything said of it."""
    made = electrocardiogram(72, pvc_share=0.12, noise_mv=0.01, seed=seed)
    seen = (Evidence(SERIES, LEADS, 0.0, 10.0),)
    rate = made.heart_rate_bpm

    def number(id: str, code: Concept, value: float, unit: str, **more: object) -> Measurement:
        given: dict[str, object] = {"uncertainty": Sd(3.0), "evidence": seen, "method": MEDIAN} | more
        return Measurement(id=id, code=code, value=value, unit=unit, **given)  # type: ignore[arg-type]

    items: list[Item] = [
        beats(made, seen),
        *medians(made, seen),
        number("rate", codes.VENTRICULAR_RATE, rate, "/min", method=codes.MEAN),
        number("rr", codes.RR_INTERVAL, 60000 / rate, "ms", method=codes.MEAN),
        Absent(
            id="pr",
            code=codes.PR_INTERVAL,
            why="no lead shows a P wave",
            reason=codes.VALUE_INDETERMINATE,
            evidence=seen,
        ),
        number("qrs", codes.QRS_DURATION, 98.25, "ms", uncertainty=Interval(92.0, 104.5)),
        number("qt", codes.QT_INTERVAL, 388.0, "ms"),
        number("qtc.bazett", codes.QTC_BAZETT, 425.1, "ms"),
        number("qtc.hodges", codes.QTC_INTERVAL, 409.0, "ms", method=codes.HODGES),
        number("axis.qrs", codes.QRS_AXIS, -12.0, "deg", uncertainty=Unknown("one beat")),
        number("sdnn", codes.SDNN, 31.0, "ms", method=None, uncertainty=Unknown("ten seconds"), evidence=()),
        Statement(
            id="rhythm.af",
            code=codes.ATRIAL_FIBRILLATION,
            verdict="met",
            rule="irregular intervals without P waves (ESC 2020)",
            probability=0.91,
            calibration="isotonic, 2025",
            evidence=seen,
        ),
        Statement(
            id="conduction.lbbb",
            code=codes.LBBB,
            verdict="not met",
            rule="QRS of 120 ms and more",
            evidence=seen,
        ),
        Statement(
            id="rhythm.vt", code=codes.VT, verdict="not assessable", rule="fewer than 3 beats", evidence=seen
        ),
    ]
    for n, lead in enumerate(LEADS):
        here = (Evidence(SERIES, (lead,), 0.0, 10.0),)
        items += [
            number(
                f"lead.{lead.lower()}.r",
                codes.R_AMPLITUDE_LEAD,
                1.0 - 0.1 * n,
                "mV",
                uncertainty=Sd(0.02),
                site=codes.LEADS[lead],
                evidence=here,
            ),
            Absent(
                id=f"lead.{lead.lower()}.q",
                code=codes.Q_AMPLITUDE_LEAD,
                site=codes.LEADS[lead],
                why="no such wave",
                reason=codes.VALUE_INDETERMINATE,
                evidence=here,
            ),
            Statement(
                id=f"lead.{lead.lower()}",
                code=codes.SIGNAL_QUALITY,
                site=codes.LEADS[lead],
                verdict="met" if n else "not met",
                rule="usable",
                evidence=here,
            ),
        ]
    return case_of(made), findings_of(tuple(items), "ecg_reading")


HOURS = ((62, 0.01, "sinus"), (95, 0.03, "af"), (74, 0.10, "sinus"))


@cache
def holter(hz: float = 125.0) -> tuple[Case, Findings]:
    """Three hours in two leads: sinus, fibrillation, many premature beats; a gap of a minute at the end."""
    made = [
        electrocardiogram(
            rate,
            seconds=3600,
            hz=hz,
            rhythm=rhythm,
            pvc_share=share,
            variability=0.2 if n == 1 else 0.04,
            seed=n,
        )
        for n, (rate, share, rhythm) in enumerate(HOURS)
    ]
    mv = np.concatenate([m.mv for m in made], axis=1)
    mv[:, -round(60 * hz) :] = np.nan
    end = 3 * 3600 - 60
    times = np.concatenate([m.r_s + 3600 * n for n, m in enumerate(made)])
    kinds = [k for m in made for k in m.kinds]
    kept = times < end
    whole = Electrocardiogram(
        hz, mv, times[kept], tuple(k for k, ok in zip(kinds, kept, strict=True) if ok),
        np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2)), "sinus",
    )  # fmt: skip
    case = case_of(whole, ("II", "V1"))
    seen = (Evidence(SERIES, ("II", "V1"), 0.0, 3 * 3600.0),)

    def strip(start: float) -> tuple[Evidence, ...]:
        return (Evidence(SERIES, ("II", "V1"), start, start + 10.0),)

    def column(name: str, code: Concept, y: list[float], unit: str) -> Curve:
        x = np.arange(3.0)
        return Curve(
            id=f"hourly.{name}", code=code, x=x, y=np.array(y), x_unit="h", y_unit=unit, evidence=seen
        )

    def spans(id: str, code: Concept, rows: list[tuple[Concept, float, float]]) -> Events:
        types = tuple(dict.fromkeys(what for what, _, _ in rows))
        return Events(
            id=id,
            code=code,
            onset_s=np.array([a for _, a, _ in rows]),
            offset_s=np.array([b for _, _, b in rows]),
            types=types,
            type_index=np.array([types.index(what) for what, _, _ in rows]),
            evidence=seen,
        )

    def number(id: str, code: Concept, value: float, unit: str, at: float | None, **more: object) -> Item:
        told = Unknown("a count; the detector's error rates are in its documentation")
        where = seen if at is None else strip(at)
        return Measurement(id=id, code=code, value=value, unit=unit, uncertainty=told, evidence=where, **more)  # type: ignore[arg-type]

    rates = [60 * 8 / (m.r_s[8:] - m.r_s[:-8]) for m in made]
    v = [
        float(sum(k == "V" and r + 3600 * n < end for k, r in zip(m.kinds, m.r_s, strict=True)))
        for n, m in enumerate(made)
    ]
    first_v = float(whole.r_s[whole.kinds.index("V")])
    rate, ectopic = codes.VENTRICULAR_RATE, codes.VENTRICULAR_PREMATURE_BEAT
    fibrillates, pauses = (codes.ATRIAL_FIBRILLATION, 3600.0, 7200.0), (codes.ASYSTOLE, 8000.0, 8002.5)
    items: tuple[Item, ...] = (
        beats(whole, seen),
        spans("episodes", codes.RHYTHM, [fibrillates, pauses]),
        spans("unanalysable", codes.SIGNAL_QUALITY, [(codes.NO_SIGNAL, float(end), 10800.0)]),
        column("rate.mean", rate, [m.heart_rate_bpm for m in made], "/min"),
        column("rate.min", rate, [float(r.min()) for r in rates], "/min"),
        column("rate.max", rate, [float(r.max()) for r in rates], "/min"),
        column("v", ectopic, v, "{beats}"),
        column("s", codes.SUPRAVENTRICULAR_PREMATURE_BEAT, [0.0, 0.0, 0.0], "{beats}"),
        column("af", codes.ATRIAL_FIBRILLATION, [0.0, 60.0, 0.0], "min"),
        number("beats.count", codes.BEAT_COUNT, float(len(whole.r_s)), "{beats}", None),
        number("v.count", codes.ECTOPIC_BEAT_COUNT, sum(v), "{beats}", first_v - 5),
        number("rate.mean", rate, 77.125, "/min", None, method=codes.MEAN),
        number("rate.min", rate, float(rates[0].min()), "/min", 1000.0, method=codes.MINIMUM),
        number("rate.max", rate, float(rates[1].max()), "/min", 4000.0, method=codes.MAXIMUM),
        Statement(
            id="rhythm.af",
            code=codes.ATRIAL_FIBRILLATION,
            verdict="met",
            rule="30 s and more",
            evidence=strip(3600.0),
        ),
        Statement(
            id="rhythm.vt", code=codes.VT, verdict="not met", rule="three beats and more", evidence=seen
        ),
    )
    return case, findings_of(items, "holter_reading")
