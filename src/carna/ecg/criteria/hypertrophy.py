"""Large chambers, by voltage and by P; small voltage.

Voltages are those of the median beat, 1 mV = 10 mm. Sex-specific limits ask for the sex, all ask for an
adult. The indices are kept apart: they select different people (AHA/ACCF/HRS 2009, part V). A wide QRS
changes voltages: with QRS of 120 ms and more (bundle branch block, pacing) the left ventricular ones are not
assessable.
"""

from __future__ import annotations

import numpy as np

from carna.ecg.criteria.base import PART_V, TEXTBOOK, Criterion, Look, NotAssessable

PEGUERO = "doi:10.1016/j.jacc.2017.01.037"
SOKOLOW = "doi:10.1016/0002-8703(49)90562-1"
LIMB, CHEST = ("I", "II", "III", "aVR", "aVL", "aVF"), ("V1", "V2", "V3", "V4", "V5", "V6")


def _narrow_adult(look: Look) -> None:
    look.adult()
    if look.ms("qrs") >= 120:
        raise NotAssessable("QRS of 120 ms or more: voltage limits do not hold")


def _sokolow(look: Look) -> bool:
    _narrow_adult(look)
    return look.some(lambda v: look.s("V1") + look.r(v) >= 3.5, ("V5", "V6"))


def _cornell(look: Look) -> bool:
    _narrow_adult(look)
    return look.r("aVL") + look.s("V3") > (2.0 if look.female() else 2.8)


def _cornell_product(look: Look) -> bool:
    look.adult()
    volts = look.r("aVL") + look.s("V3") + (0.6 if look.female() else 0.0)
    return look.note("Cornell product", volts * look.ms("qrs"), "mV.ms") > 244


def _peguero(look: Look) -> bool:
    _narrow_adult(look)
    deepest = max(look.s(v) for v in CHEST)
    return deepest + look.s("V4") >= (2.3 if look.female() else 2.8)


def _avl(look: Look) -> bool:
    _narrow_adult(look)
    return look.r("aVL") > 1.1


def _limb_sum(look: Look) -> bool:
    _narrow_adult(look)
    return look.r("I") + look.s("III") > 2.5


def _romhilt(look: Look) -> bool:
    _narrow_adult(look)
    return look.points(
        5,
        "Romhilt-Estes points",
        (3, lambda: _tall(look)),
        (3, lambda: look.some(lambda v: _strain(look, v), ("V5", "V6"))),
        (3, lambda: _p_terminal(look) <= -4.0),
        (2, lambda: -180 < look.axis() <= -30),
        (1, lambda: look.ms("qrs") >= 90),
        (1, lambda: look.some(lambda v: look.r_peak(v) >= 50, ("V5", "V6"))),
    )


def _tall(look: Look) -> bool:
    return look.any_of(
        lambda: look.some(lambda v: max(look.r(v), look.s(v)) >= 2.0, ("I", "II", "III", "aVL", "aVF")),
        lambda: look.some(lambda v: look.s(v) >= 3.0, ("V1", "V2")),
        lambda: look.some(lambda v: look.r(v) >= 3.0, ("V5", "V6")),
    )


def _strain(look: Look, lead: str) -> bool:
    """ST down and T opposite to an upright QRS."""
    return (
        look.r(lead) > look.s(lead)
        and look.at(lead, "j_mV") <= -0.05
        and look.at(lead, "t_negative_mV") <= -0.1
    )


def _p_terminal(look: Look) -> float:
    """Depth times duration of the last, downward part of P in V1, mV ms, 0 or negative."""
    t = look.tracing
    f = t.fiducials
    if f is None or f.p_on is None or f.p_off is None or f.qrs_on is None:
        raise NotAssessable("P waves were not found")
    wave, hz = look.wave("V1", f.p_on[0] - f.qrs_on[0], f.p_off[0] - f.qrs_on[0])
    wave = wave - np.linspace(wave[0], wave[-1], len(wave))
    if len(wave) < 4:
        raise NotAssessable("P is too short to be divided")
    nadir = int(wave.argmin())
    below = np.flatnonzero(wave[:nadir] >= 0)
    start = int(below[-1]) if len(below) else 0
    if wave[nadir] >= 0 or nadir < 0.25 * len(wave):
        return look.note("P terminal force", 0.0, "mV.ms", "V1")
    long = (len(wave) - 1 - start) * 1000 / hz
    return look.note("P terminal force", float(wave[nadir]) * long, "mV.ms", "V1")


def _has_p(look: Look) -> None:
    look.adult()
    if look.fact("fibrillation") or look.tracing.flutter or not look.fact("p_present"):
        raise NotAssessable("no P wave before every QRS")


def _lae_force(look: Look) -> bool:
    _has_p(look)
    return _p_terminal(look) <= -4.0


def _lae_long(look: Look) -> bool:
    _has_p(look)
    return look.ms("p") >= 120


def _rae(look: Look) -> bool:
    _has_p(look)
    return look.any_of(lambda: look.at("II", "p_mV") > 0.25, lambda: look.at("V1", "p_mV") > 0.15)


def _rvh_r(look: Look) -> bool:
    _narrow_adult(look)
    return look.r("V1") > 0.6 and look.r("V1") > look.s("V1")


def _rvh_sum(look: Look) -> bool:
    _narrow_adult(look)
    return look.some(lambda v: look.r("V1") + look.s(v) > 1.05, ("V5", "V6"))


def _rvh_axis(look: Look) -> bool:
    _narrow_adult(look)
    return 90 < look.axis() <= 180 and look.any_of(
        lambda: look.r("V1") > look.s("V1"), lambda: look.s("V6") > 0.3, lambda: look.s("V5") > 1.0
    )


def _low_limb(look: Look) -> bool:
    return look.every(lambda v: look.swing(v) < 0.5, LIMB)


def _low_chest(look: Look) -> bool:
    return look.every(lambda v: look.swing(v) < 1.0, CHEST)


_LV = ("QRS", "age")
_P = ("P waves before every QRS", "age")
CRITERIA = (
    Criterion(
        "left ventricular hypertrophy (Sokolow-Lyon)",
        SOKOLOW,
        "S V1 + R V5 or V6 >= 3.5 mV, QRS < 120 ms, adults",
        (*_LV, "V1 V5 V6"),
        _sokolow,
    ),
    Criterion(
        "left ventricular hypertrophy (Cornell voltage)",
        PART_V,
        "R aVL + S V3 > 2.8 mV (men), 2.0 mV (women), QRS < 120 ms, adults",
        (*_LV, "aVL V3", "sex"),
        _cornell,
    ),
    Criterion(
        "left ventricular hypertrophy (Cornell product)",
        PART_V,
        "(R aVL + S V3, for women + 0.6 mV) x QRS > 244 mV ms, adults",
        (*_LV, "aVL V3", "sex"),
        _cornell_product,
    ),
    Criterion(
        "left ventricular hypertrophy (Peguero-Lo Presti)",
        PEGUERO,
        "deepest S of V1 to V6 + S V4 >= 2.8 mV (men), 2.3 mV (women), QRS < 120 ms, adults",
        (*_LV, "V1 to V6", "sex"),
        _peguero,
    ),
    Criterion(
        "left ventricular hypertrophy (R aVL)",
        PART_V,
        "R aVL > 1.1 mV, QRS < 120 ms, adults",
        (*_LV, "aVL"),
        _avl,
    ),
    Criterion(
        "left ventricular hypertrophy (R I + S III)",
        PART_V,
        "R I + S III > 2.5 mV, QRS < 120 ms, adults",
        (*_LV, "I III"),
        _limb_sum,
    ),
    Criterion(
        "left ventricular hypertrophy (Romhilt-Estes)",
        PART_V,
        "5 points or more of: voltage 3 (limb R or S >= 2 mV, S V1 or V2 >= 3, R V5 or V6 >= 3), strain "
        "without digitalis "
        "known 3, P terminal force 3, axis -30 or less 2, QRS >= 90 ms 1, R peak time >= 50 ms in V5 or V6 1",
        (*_LV, "twelve leads", "median beat"),
        _romhilt,
    ),
    Criterion(
        "right ventricular hypertrophy (R V1)",
        PART_V,
        "R V1 > 0.6 mV and larger than S V1, QRS < 120 ms, adults",
        (*_LV, "V1"),
        _rvh_r,
    ),
    Criterion(
        "right ventricular hypertrophy (R V1 + S V5 or V6)",
        PART_V,
        "R V1 + S V5 or V6 > 1.05 mV, QRS < 120 ms, adults",
        (*_LV, "V1 V5 V6"),
        _rvh_sum,
    ),
    Criterion(
        "right ventricular hypertrophy (axis)",
        PART_V,
        "axis > 90 deg with R > S in V1, S V5 > 1.0 mV or S V6 > 0.3 mV, QRS < 120 ms, adults",
        (*_LV, "axis", "V1 V5 V6"),
        _rvh_axis,
    ),
    Criterion(
        "left atrial abnormality (P terminal force)",
        PART_V,
        "last downward part of P in V1: depth x duration >= 4 mV ms (0.04 mm s)",
        (*_P, "V1", "median beat"),
        _lae_force,
    ),
    Criterion("left atrial abnormality (P duration)", PART_V, "P >= 120 ms", (*_P, "P duration"), _lae_long),
    Criterion(
        "right atrial abnormality",
        PART_V,
        "P > 0.25 mV in II or > 0.15 mV upward in V1",
        (*_P, "II V1"),
        _rae,
    ),
    Criterion(
        "low voltage, limb leads",
        TEXTBOOK,
        "QRS below 0.5 mV peak to peak in all limb leads",
        ("limb leads",),
        _low_limb,
    ),
    Criterion(
        "low voltage, chest leads",
        TEXTBOOK,
        "QRS below 1.0 mV peak to peak in V1 to V6",
        ("V1 to V6",),
        _low_chest,
    ),
)
