"""Fast rhythms by QRS width, and the wide ones step by step (Brugada 1991, Vereckei 2008).

Every step of an algorithm is a criterion of its own: a reader sees which step decided. The steps are judged
only in a tachycardia (above 100 per minute) with QRS of 120 ms or more; elsewhere they are not assessable.
The median beat must be one of the tachycardia, so a short run within another rhythm is not judged by them.
"""

from __future__ import annotations

from carna.ecg.criteria.base import SVT, Criterion, Look, NotAssessable
from carna.ecg.criteria.shape import notched

BRUGADA = "doi:10.1161/01.CIR.83.5.1649"
VERECKEI = "doi:10.1016/j.hrthm.2007.09.020"
CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")


def _narrow(look: Look) -> bool:
    look.adult()
    return look.rate() > 100 and look.ms("qrs") < 120


def _wide(look: Look) -> bool:
    look.adult()
    return look.rate() > 100 and look.ms("qrs") >= 120


def _only_wide(look: Look) -> None:
    if not _wide(look):
        raise NotAssessable("no wide-complex tachycardia: the step does not apply")
    if look.tracing.paced:
        raise NotAssessable("paced rhythm: the step does not apply")


def _rs(look: Look, lead: str) -> bool:
    m = look.lead(lead)
    look.note("RS complex", float(m.r is not None and m.s is not None), "1", lead)
    return m.r is not None and m.s is not None


def _no_rs(look: Look) -> bool:
    _only_wide(look)
    return look.every(lambda v: not _rs(look, v), CHEST)


def _long_rs(look: Look) -> bool:
    _only_wide(look)

    def long(lead: str) -> bool:
        m = look.lead(lead)
        if m.r is None or m.s is None:
            return False
        start = m.r.peak_ms - m.r.ms if m.q is None else m.q.ms  # R begins where Q ends, or with the complex
        return look.note("R onset to S nadir", m.s.peak_ms - max(start, 0.0), "ms", lead) > 100

    return look.some(long, CHEST)


def _dissociation(look: Look) -> bool:
    _only_wide(look)
    told = look.conduction()
    look.note("AV dissociation", float(told.dissociated), "1")
    if not told.dissociated:
        raise NotAssessable(
            "P waves in a fast wide rhythm are seldom seen: no dissociation found proves nothing"
        )
    return True


def _morphology(look: Look) -> bool:
    """Shape in V1, V2 and V6, by which bundle branch the complex resembles."""
    _only_wide(look)
    if look.r("V1") > look.s("V1"):  # right bundle branch type
        m = look.lead("V1")
        single = m.r2 is None and (m.s is None or m.q is not None)
        return look.all_of(lambda: single, lambda: look.r("V6") < look.s("V6"))
    first = look.lead("V1").r or look.lead("V2").r

    def wide_r() -> bool:
        return first is not None and look.note("R duration", first.ms, "ms", "V1") > 30

    def late_s() -> bool:
        s = look.lead("V1").s
        return s is not None and look.note("QRS onset to S nadir", s.peak_ms, "ms", "V1") > 60

    return (
        look.any_of(wide_r, late_s)
        and look.any_of(wide_r, late_s, lambda: notched(look, "V1", 0.1, 0.5))
        and look.any_of(lambda: look.q("V6")[0] > 0.03, late_s)
    )


def _initial_r(look: Look) -> bool:
    _only_wide(look)
    m = look.lead("aVR")
    if m.q is not None or m.r is None:
        return False
    return look.r("aVR") > look.s("aVR")


def _initial_wide(look: Look) -> bool:
    _only_wide(look)
    m = look.lead("aVR")
    first = m.q if m.q is not None and not m.qs else m.r if m.q is None else None
    return first is not None and look.note("initial wave", first.ms, "ms", "aVR") > 40


def _downstroke(look: Look) -> bool:
    _only_wide(look)
    m = look.lead("aVR")
    if not (m.qs or (m.q is not None and look.r("aVR") < -m.q.mV)):
        return False
    return notched(look, "aVR", 0.05, 0.5)


def _velocity(look: Look) -> bool:
    _only_wide(look)
    qrs = look.ms("qrs")
    wave, hz = look.wave("aVR", 0.0, qrs)
    n = round(0.040 * hz)
    if len(wave) < 2 * n:
        raise NotAssessable("QRS shorter than 80 ms")
    first, last = abs(float(wave[n] - wave[0])), abs(float(wave[-1] - wave[-1 - n]))
    if last < 0.02:
        raise NotAssessable("the last 40 ms of QRS in aVR are flat")
    return look.note("vi/vt", first / last, "1", "aVR") <= 1


_STEP = ("rate", "QRS", "age")

CRITERIA = (
    Criterion("narrow-complex tachycardia", SVT, "rate above 100/min, QRS < 120 ms, adults", _STEP, _narrow),
    Criterion("wide-complex tachycardia", SVT, "rate above 100/min, QRS >= 120 ms, adults", _STEP, _wide),
    Criterion(
        "Brugada step 1",
        BRUGADA,
        "no RS complex in any of V1 to V6: points to a ventricular origin",
        (*_STEP, "V1 to V6"),
        _no_rs,
    ),
    Criterion(
        "Brugada step 2",
        BRUGADA,
        "R onset to S nadir > 100 ms in any of V1 to V6: points to a ventricular origin",
        (*_STEP, "V1 to V6"),
        _long_rs,
    ),
    Criterion(
        "Brugada step 3",
        BRUGADA,
        "AV dissociation: points to a ventricular origin; its absence is never concluded",
        (*_STEP, "P waves one by one"),
        _dissociation,
    ),
    Criterion(
        "Brugada step 4",
        BRUGADA,
        "shape of a ventricular beat in V1 or V2 and in V6 (right type: single R or qR in V1 with R < S in "
        "V6; left type: "
        "R > 30 ms or S nadir > 60 ms in V1 with q in V6 or a late nadir): approximated",
        (*_STEP, "V1 V2 V6"),
        _morphology,
    ),
    Criterion(
        "Vereckei aVR step 1",
        VERECKEI,
        "initial dominant R in aVR: points to a ventricular origin",
        (*_STEP, "aVR"),
        _initial_r,
    ),
    Criterion(
        "Vereckei aVR step 2",
        VERECKEI,
        "initial r or q > 40 ms in aVR: points to a ventricular origin",
        (*_STEP, "aVR"),
        _initial_wide,
    ),
    Criterion(
        "Vereckei aVR step 3",
        VERECKEI,
        "notch on the first downstroke of a mainly negative QRS in aVR (approximated)",
        (*_STEP, "aVR", "median beat"),
        _downstroke,
    ),
    Criterion(
        "Vereckei aVR step 4",
        VERECKEI,
        "voltage covered in the first 40 ms of QRS no more than in the last 40 ms (vi/vt <= 1) in aVR",
        (*_STEP, "aVR", "median beat"),
        _velocity,
    ),
)
