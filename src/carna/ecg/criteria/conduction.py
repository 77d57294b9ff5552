"""Atrioventricular and intraventricular conduction: blocks of AV node, bundle branches and fascicles.

Limits of the bundle branches are those of the AHA/ACCF/HRS recommendations of 2009, for adults. "Broad
notched or slurred R" is read as an R wave without a Q before it whose last peak comes late; notches of their
own are asked for only where a source counts them (Strauss), with `carna.ecg.criteria.shape.notched`: an
approximation by its very nature.
"""

from __future__ import annotations

from carna.ecg.criteria.base import (
    BRADYCARDIA,
    MINNESOTA,
    PART_II,
    PART_III,
    TEXTBOOK,
    Criterion,
    Look,
    NotAssessable,
)
from carna.ecg.criteria.shape import notched

STRAUSS = "doi:10.1016/j.amjcard.2010.11.010"
LEAST_Q_MV, LEAST_Q_MS = 0.03, 10.0  # what is less is no q that a reader would name


def _p_waves(look: Look) -> None:
    """End the rule where PR means nothing."""
    if look.fact("fibrillation") or look.tracing.flutter:
        raise NotAssessable("no PR interval in atrial fibrillation or flutter")
    if look.tracing.conduction is not None and look.tracing.conduction.dissociated:
        raise NotAssessable("P waves and QRS are independent of each other")
    if not look.fact("p_present"):
        raise NotAssessable("P waves do not go before every QRS")


def _first_aha(look: Look) -> bool:
    look.adult()
    _p_waves(look)
    return look.ms("pr") > 200


def _first_minnesota(look: Look) -> bool:
    look.adult()
    _p_waves(look)
    return look.ms("pr") >= 220


def _dropped(look: Look) -> bool:
    """At least one P wave without a QRS."""
    look.readable()
    if look.tracing.flutter:
        raise NotAssessable("atrial flutter: waves without QRS are no block of the AV node")
    told = look.conduction()
    if told.p_waves < 3:
        raise NotAssessable(f"{told.p_waves} P waves were seen")
    look.note("blocked P waves", len(told.blocked), "1")
    return len(told.blocked) > 0


def _second(look: Look) -> bool:
    return _dropped(look) and not look.conduction().dissociated


def _typed(look: Look) -> bool:
    """Whether there are blocked P waves whose type can be told."""
    if not _second(look):
        return False
    told = look.conduction()
    if told.lengthening == 0 and told.p_waves >= 1.6 * max(told.conducted, 1):
        raise NotAssessable("2:1 and beyond: no PR before the block tells its type")
    return True


def _wenckebach(look: Look) -> bool:
    told = look.conduction()
    return _typed(look) and look.note("blocked after lengthening PR", told.lengthening, "1") > 0


def _mobitz(look: Look) -> bool:
    told = look.conduction()
    return _typed(look) and look.note("blocked after lengthening PR", told.lengthening, "1") == 0


def _advanced(look: Look) -> bool:
    """Two blocked P waves in a row: half of the P waves or fewer conducted."""
    told = look.conduction()
    if not _dropped(look) or told.dissociated:
        return False
    return (
        told.p_waves >= 4
        and look.note("P waves per conducted one", told.p_waves / max(told.conducted, 1), "1") > 2.2
    )


def _complete(look: Look) -> bool:
    dropped = _dropped(look)
    told = look.conduction()
    if told.p_waves < 8:
        raise NotAssessable(f"{told.p_waves} P waves were seen")
    rate = look.rate()
    look.note("AV dissociation", float(told.dissociated), "1")
    # dissociation from a ventricle faster than the atria is no block: more P waves than QRS are asked for
    return dropped and told.dissociated and len(told.blocked) > 1 and rate < 60


def _no_q(look: Look, lead: str) -> bool:
    depth, long = look.q(lead)
    return depth < LEAST_Q_MV or long < LEAST_Q_MS


def _qs_or_rs(look: Look, lead: str) -> bool:
    """QS, or a small r before a deeper S."""
    return look.s(lead) > look.r(lead)


def _left_shape(look: Look, late: tuple[str, ...]) -> bool:
    return look.all_of(
        lambda: _no_q(look, "I"),
        lambda: look.some(lambda v: _no_q(look, v), ("V5", "V6")),
        lambda: look.r("I") > look.s("I"),
        lambda: look.every(lambda v: look.r_peak(v) > 60, late),
        lambda: _qs_or_rs(look, "V1"),
    )


def _native(look: Look) -> None:
    """End the rule where the complex is not an adult's own."""
    look.adult()
    if look.tracing.paced:
        raise NotAssessable("paced rhythm: the shape of QRS says nothing about the bundle branches")


def left_bundle(look: Look) -> bool:
    """Left bundle branch block, AHA/ACCF/HRS 2009."""
    _native(look)
    return look.ms("qrs") >= 120 and _left_shape(look, ("V6",))


def _lbbb_incomplete(look: Look) -> bool:
    _native(look)
    return 110 <= look.ms("qrs") < 120 and _left_shape(look, ("V4", "V5", "V6"))


def _lbbb_strauss(look: Look) -> bool:
    _native(look)
    if look.ms("qrs") < (130 if look.female() else 140):
        return False
    return (
        _qs_or_rs(look, "V1")
        and _qs_or_rs(look, "V2")
        and look.some(lambda v: notched(look, v, 0.30, 0.75), ("I", "aVL", "V1", "V2", "V5", "V6"), 2)
    )


def _late_r(look: Look, lead: str) -> bool:
    """Two R waves of which the later is the larger, or one that peaks after 50 ms."""
    m = look.lead(lead)
    if m.r is not None and m.r2 is not None:
        look.note("R", m.r.mV, "mV", lead)
        return look.note("R'", m.r2.mV, "mV", lead) > m.r.mV
    return m.r is not None and look.r(lead) > look.s(lead) and look.r_peak(lead) > 50


def _wide_s(look: Look, lead: str) -> bool:
    """S that lasts longer than R, or more than 40 ms."""
    m = look.lead(lead)
    s = look.note("S duration", m.s.ms if m.s is not None else 0.0, "ms", lead)
    return s > 40 or (m.r is not None and s > look.note("R duration", m.r.ms, "ms", lead))


def _right_shape(look: Look) -> bool:
    return look.some(lambda v: _late_r(look, v), ("V1", "V2")) and look.every(
        lambda v: _wide_s(look, v), ("I", "V6")
    )


def _rbbb(look: Look) -> bool:
    _native(look)
    return look.ms("qrs") >= 120 and _right_shape(look)


def _rbbb_incomplete(look: Look) -> bool:
    _native(look)
    return 110 <= look.ms("qrs") < 120 and _right_shape(look)


def _q_before_r(look: Look, lead: str) -> bool:
    depth, _ = look.q(lead)
    return depth > 0.02 and look.r(lead) > look.s(lead)


def _anterior_shape(look: Look) -> bool:
    return -90 <= look.axis() <= -45 and _q_before_r(look, "aVL") and look.r_peak("aVL") >= 45


def _posterior_shape(look: Look) -> bool:
    return 90 <= look.axis() <= 180 and look.all_of(
        lambda: look.every(lambda v: _qs_or_rs(look, v), ("I", "aVL")),
        lambda: look.every(lambda v: _q_before_r(look, v), ("III", "aVF")),
    )


def _lafb(look: Look) -> bool:
    _native(look)
    return look.ms("qrs") < 120 and _anterior_shape(look)


def _lpfb(look: Look) -> bool:
    _native(look)
    return look.ms("qrs") < 120 and _posterior_shape(look)


def _bifascicular(look: Look) -> bool:
    if not _rbbb(look):
        return False
    return look.any_of(lambda: _anterior_shape(look), lambda: _posterior_shape(look))


def _delay(look: Look) -> bool:
    look.adult()
    return (
        look.ms("qrs") > 110
        and not look.tracing.paced
        and look.all_of(lambda: not _right_shape(look), lambda: not _left_shape(look, ("V6",)))
    )


def _paced(look: Look) -> bool:
    return look.fact("paced")


_PR = ("P waves before every QRS", "PR", "age")
_BBB = ("QRS", "I V1 V2 V5 V6", "age")
CRITERIA = (
    Criterion(
        "first-degree AV block",
        PART_II,
        "PR > 200 ms with P waves before every QRS, outside fibrillation and flutter, adults",
        _PR,
        _first_aha,
    ),
    Criterion(
        "first-degree AV block (Minnesota 6-3)",
        MINNESOTA,
        "PR >= 220 ms; an approximation: the code reads PR in single limb leads, this the global PR",
        _PR,
        _first_minnesota,
    ),
    Criterion(
        "second-degree AV block",
        BRADYCARDIA,
        "one or more P waves without QRS, on time, without dissociation; of any type, 2:1 too",
        ("P waves one by one",),
        _second,
    ),
    Criterion(
        "second-degree AV block, Wenckebach",
        BRADYCARDIA,
        "a P wave without QRS after PR that lengthens by 20 ms or more",
        ("P waves one by one",),
        _wenckebach,
    ),
    Criterion(
        "second-degree AV block, Mobitz II",
        BRADYCARDIA,
        "P waves without QRS, none after a lengthening PR, more than 5 of 8 conducted",
        ("P waves one by one",),
        _mobitz,
    ),
    Criterion(
        "high-grade AV block",
        BRADYCARDIA,
        "more than 2.2 P waves for each conducted one, without dissociation",
        ("P waves one by one",),
        _advanced,
    ),
    Criterion(
        "third-degree AV block",
        BRADYCARDIA,
        "P waves and QRS independent of each other (time since the last P wave spread by more than 200 ms, "
        "regular QRS), two or more P waves without QRS, rate below 60/min",
        ("P waves one by one", "rate"),
        _complete,
    ),
    Criterion(
        "left bundle branch block",
        PART_III,
        "QRS >= 120 ms; no q in I and in V5 or V6; R dominant in I; R peak time > 60 ms in V6; QS or rS in "
        "V1; adults",
        _BBB,
        left_bundle,
    ),
    Criterion(
        "left bundle branch block (Strauss)",
        STRAUSS,
        "QRS >= 140 ms (men), 130 ms (women); QS or rS in V1 and V2; notch or slur within QRS in two or "
        "more of I, aVL, "
        "V1, V2, V5, V6 (approximated from the median beat)",
        ("QRS", "I aVL V1 V2 V5 V6", "sex", "age"),
        _lbbb_strauss,
    ),
    Criterion(
        "incomplete left bundle branch block",
        PART_III,
        "QRS 110 to 119 ms; no q in I and in V5 or V6; R dominant in I; R peak time > 60 ms in V4 to V6; QS"
        " or rS in V1",
        ("QRS", "I V1 V4 V5 V6", "age"),
        _lbbb_incomplete,
    ),
    Criterion(
        "right bundle branch block",
        PART_III,
        "QRS >= 120 ms; rsR' in V1 or V2, or a single R there peaking after 50 ms; S longer than R or than "
        "40 ms in I and V6",
        _BBB,
        _rbbb,
    ),
    Criterion(
        "incomplete right bundle branch block",
        PART_III,
        "QRS 110 to 119 ms; otherwise as right bundle branch block",
        _BBB,
        _rbbb_incomplete,
    ),
    Criterion(
        "left anterior fascicular block",
        PART_III,
        "axis -45 to -90 deg; qR in aVL; R peak time >= 45 ms in aVL; QRS < 120 ms",
        ("QRS", "axis", "aVL", "age"),
        _lafb,
    ),
    Criterion(
        "left posterior fascicular block",
        PART_III,
        "axis 90 to 180 deg; rS in I and aVL; qR in III and aVF; QRS < 120 ms",
        ("QRS", "axis", "I aVL III aVF", "age"),
        _lpfb,
    ),
    Criterion(
        "bifascicular block",
        PART_III,
        "right bundle branch block with the axis and shape of left anterior or left posterior fascicular "
        "block",
        ("QRS", "axis", "I aVL III aVF V1 V2 V6", "age"),
        _bifascicular,
    ),
    Criterion(
        "nonspecific intraventricular conduction delay",
        PART_III,
        "QRS > 110 ms without the shape of right or left bundle branch block, not known to be paced, adults",
        ("QRS", "I V1 V2 V5 V6", "age"),
        _delay,
    ),
    Criterion("paced rhythm", TEXTBOOK, "pacing spikes were found", ("pacing",), _paced),
)
