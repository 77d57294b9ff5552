"""Intervals, axes, the median beat and what every lead shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from carna import codes
from carna.apps.ecg_reading.names import CONTRADICT, NO_BEATS, number, slug
from carna.codes import Concept, ecg_statements
from carna.ecg.criteria import Tracing
from carna.ecg.criteria.reading import Reading
from carna.ecg.delineate import FIDUCIALS
from carna.ecg.measure import Interval
from carna.findings import Absent, Curve, Events, Evidence, Item, Sd, Unknown
from carna.study import Ecg

INTERVALS = {
    "p": codes.P_DURATION,
    "pr": codes.PR_INTERVAL,
    "qrs": codes.QRS_DURATION,
    "qt": codes.QT_INTERVAL,
}
QTC = {
    "Bazett": codes.QTC_BAZETT,
    "Fridericia": codes.QTC_FRIDERICIA,
    "Framingham": codes.QTC_FRAMINGHAM,
    "Hodges": codes.QTC_HODGES,
}
AXES = {"p": codes.P_AXIS, "qrs": codes.QRS_AXIS, "t": codes.T_AXIS}
LEAD = {
    "p_mV": codes.P_AMPLITUDE_LEAD,
    "j_mV": codes.J_AMPLITUDE_LEAD,
    "st60_mV": codes.ST_AMPLITUDE_LEAD,
    "t_mV": codes.T_AMPLITUDE_LEAD,
}
WAVES = {"q": codes.Q_AMPLITUDE_LEAD, "r": codes.R_AMPLITUDE_LEAD, "s": codes.S_AMPLITUDE_LEAD}
_PEAKS = {
    "p_peak": ecg_statements.P_PEAK,
    "qrs_peak": ecg_statements.QRS_PEAK,
    "t_peak": ecg_statements.T_PEAK,
}
_NO_AXIS = "no direction: too small, or too few limb leads"
_UNTRUE = ("clipped", "implausible", "flat", "no signal")  # amplitudes of such leads are not the heart's


def whole(tracing: Tracing | None, seen: Evidence) -> Iterator[Item]:
    """Yield the intervals of the median beat, QTc by four formulas, and the axes."""
    matrix = tracing.matrix if tracing is not None else None
    none, contradict = NO_BEATS, False
    if tracing is not None and tracing.integrity is not None:
        contradict = tracing.integrity.channels == "met"
        unusable, all_ = len(tracing.integrity.unusable), len(tracing.leads)
        if 2 * unusable > all_:  # as no criterion is judged on them
            matrix, none = None, f"{unusable} of {all_} leads cannot be read"
    found: dict[str, tuple[Concept, Interval | None]] = {
        name: (code, getattr(matrix, name) if matrix is not None else None)
        for name, code in INTERVALS.items()
    }
    for formula, code in QTC.items():
        found[f"qtc.{formula.lower()}"] = code, matrix.qtc_ms.get(formula) if matrix is not None else None
    for id, (code, interval) in found.items():
        if interval is None:
            why = none if matrix is None else "its boundaries could not be found"
            yield Absent(id=id, code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,))
        else:
            yield number(id, code, interval.ms, "ms", Sd(interval.sd_ms), (seen,), of=("beats",))
    for wave, code in AXES.items():
        axis = getattr(matrix, f"{wave}_axis") if matrix is not None else None
        if axis is None or contradict:
            why = none if matrix is None else CONTRADICT if contradict else _NO_AXIS
            yield Absent(
                id=f"axis.{wave}", code=code, why=why, reason=codes.VALUE_INDETERMINATE, evidence=(seen,)
            )
        else:
            doubt = Unknown("from net areas of one median beat")
            yield number(f"axis.{wave}", code, axis, "deg", doubt, (seen,), of=("beats",))


def medians(tracing: Tracing | None, ecg: Ecg, seen: Evidence) -> Iterator[Item]:
    """Yield the median beat of each recorded lead, where its waves begin and end, and their summits."""
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
    rows = [(code, f.lead_ms[FIDUCIALS.index(name)]) for name, code in _PEAKS.items()]
    peaks = [(float(np.nanmedian(ms)) / 1000, code) for code, ms in rows if np.isfinite(ms).any()]
    if peaks:
        peaks.sort(key=lambda peak: peak[0])
        yield Events(
            id="median.peaks",
            code=codes.QRS_COMPLEX,
            onset_s=np.array([at for at, _ in peaks]),
            types=tuple(code for _, code in peaks),
            type_index=np.arange(len(peaks)),
            of=("beats",),
            evidence=(seen,),
        )


def by_lead(got: Reading, ecg: Ecg) -> Iterator[Item]:
    """Yield what each recorded lead shows, mV, unless its amplitudes are not the heart's."""
    tracing = got.tracing
    kinds = dict(zip(ecg.leads, got.quality.kind, strict=True))
    for lead, row in (tracing.matrix.leads if tracing is not None else {}).items():
        if lead not in codes.LEADS or kinds.get(lead, "no signal") in _UNTRUE:
            continue
        waves = {wave: getattr(row, wave) for wave in WAVES}
        values = {LEAD[name]: getattr(row, name) for name in LEAD}
        values |= {WAVES[wave]: found.mV for wave, found in waves.items() if found is not None}
        noise = row.noise_mV
        seen = (Evidence(ecg.origin.uid, (lead,), 0.0, round(ecg.seconds, 3)),)
        for code, value in values.items():
            if value is None:
                continue
            id = f"lead.{slug(lead)}.{slug(code.meaning.split(',')[0])}"
            doubt = Sd(noise) if noise is not None and np.isfinite(noise) else Unknown("one beat")
            yield number(id, code, value, "mV", doubt, seen, of=("beats",), site=codes.LEADS[lead])
