"""Where the rhythm comes from and how fast it is; ectopic beats, pauses and runs."""

from __future__ import annotations

from carna.ecg.criteria.base import (
    BRADYCARDIA,
    ESC_AF,
    ESC_VA,
    PART_II,
    SVT,
    TEXTBOOK,
    Criterion,
    Look,
    NotAssessable,
)


def _sinus_p(look: Look) -> bool:
    """P before every QRS, axis down and to the left, no fibrillation or flutter."""
    look.readable()
    if look.fact("fibrillation") or look.tracing.flutter:
        return False
    if look.tracing.conduction is not None and look.tracing.conduction.dissociated:
        return False
    return look.fact("p_present") and -15 <= look.axis("p") <= 90


def _sinus(look: Look) -> bool:
    look.adult()
    return _sinus_p(look) and 60 <= look.rate() <= 100


def _brady(look: Look) -> bool:
    look.adult()
    return look.rate() < 60 and _sinus_p(look)


def _brady_2018(look: Look) -> bool:
    look.adult()
    return look.rate() < 50 and _sinus_p(look)


def _tachy(look: Look) -> bool:
    look.adult()
    return look.rate() > 100 and _sinus_p(look)


def _sinus_arrhythmia(look: Look) -> bool:
    told = look.tracing.rhythm
    if told is None or told.regularity == "not assessable" or told.dispersion is None:
        raise NotAssessable("too few intervals to tell regularity")
    if look.tracing.kinds is None:
        raise NotAssessable("beats were not told apart")
    look.note("dispersion", told.dispersion, "1")
    ectopic = look.tracing.kinds.get("supraventricular", 0) + look.tracing.kinds.get("ventricular", 0)
    return told.regularity == "irregular" and ectopic == 0 and _sinus_p(look)


def _fibrillation(look: Look) -> bool:
    look.readable()
    return look.fact("fibrillation")


def _flutter(look: Look) -> bool:
    look.readable()
    return look.fact("flutter")


def _ventricular(look: Look) -> bool:
    look.readable()
    return look.kind("ventricular") > 0


def _supraventricular(look: Look) -> bool:
    look.readable()
    return look.kind("supraventricular") > 0


def _seen(look: Look, met: bool) -> bool:
    """Let what was found in a poor trace stand, and conclude nothing from finding nothing in it."""
    if not met:
        look.readable()
    return met


def _pause(look: Look) -> bool:
    return _seen(look, any(look.note("pause", e.seconds, "s") >= 3 for e in look.events("pause")))


def _vt(look: Look) -> bool:
    runs = look.events("ventricular tachycardia")
    return _seen(look, any(look.note("rate of the run", e.rate_bpm or 0.0, "/min") > 0 for e in runs))


def _vt_long(look: Look) -> bool:
    runs = look.events("ventricular tachycardia")
    return _seen(look, any(look.note("run", e.seconds, "s") >= 30 for e in runs))


def _left_axis(look: Look) -> bool:
    look.adult()
    return -90 <= look.axis() < -30


def _right_axis(look: Look) -> bool:
    look.adult()
    return 90 < look.axis() <= 180


def _extreme_axis(look: Look) -> bool:
    look.adult()
    return -180 < look.axis() < -90


_P = ("P waves before every QRS", "P axis", "rate", "age")
CRITERIA = (
    Criterion(
        "sinus rhythm",
        PART_II,
        "P before every QRS with axis -15 to 90 deg, no fibrillation or flutter, 60 to 100/min",
        _P,
        _sinus,
    ),
    Criterion("sinus bradycardia", PART_II, "sinus P waves at less than 60/min", _P, _brady),
    Criterion(
        "sinus bradycardia (< 50/min)", BRADYCARDIA, "sinus P waves at less than 50/min", _P, _brady_2018
    ),
    Criterion("sinus tachycardia", PART_II, "sinus P waves at more than 100/min", _P, _tachy),
    Criterion(
        "sinus arrhythmia",
        TEXTBOOK,
        "sinus P waves, median change between intervals above 8 %, no ectopic beats",
        ("P waves", "regularity", "kinds of beats"),
        _sinus_arrhythmia,
    ),
    Criterion(
        "atrial fibrillation",
        ESC_AF,
        "irregular intervals without repeating P waves (the rhythm engine's call)",
        ("rhythm facts",),
        _fibrillation,
    ),
    Criterion(
        "atrial flutter",
        SVT,
        "atrial waves that repeat themselves 200 to 350 times a minute, in step with the beats (the rhythm "
        "engine's call); regular rhythms of 125 to 175/min are never called",
        ("rhythm facts",),
        _flutter,
    ),
    Criterion(
        "ventricular ectopic beats",
        PART_II,
        "one or more beats of another shape, told apart by the beat engine",
        ("kinds of beats",),
        _ventricular,
    ),
    Criterion(
        "supraventricular ectopic beats",
        PART_II,
        "one or more early beats of the usual shape",
        ("kinds of beats",),
        _supraventricular,
    ),
    Criterion(
        "pause of 3 s",
        BRADYCARDIA,
        "an interval of 3 s or more in which nothing rises like a QRS",
        ("events",),
        _pause,
    ),
    Criterion(
        "ventricular tachycardia",
        ESC_VA,
        "3 or more ventricular beats in a row at 100/min or more",
        ("events",),
        _vt,
    ),
    Criterion(
        "sustained ventricular tachycardia",
        ESC_VA,
        "ventricular tachycardia of 30 s or more",
        ("events",),
        _vt_long,
    ),
    Criterion(
        "left axis deviation",
        "doi:10.1161/CIRCULATIONAHA.108.191095",
        "frontal QRS axis -30 to -90 deg, adults",
        ("axis", "age"),
        _left_axis,
    ),
    Criterion(
        "right axis deviation",
        "doi:10.1161/CIRCULATIONAHA.108.191095",
        "frontal QRS axis 90 to 180 deg, adults",
        ("axis", "age"),
        _right_axis,
    ),
    Criterion(
        "extreme axis deviation",
        TEXTBOOK,
        "frontal QRS axis -90 to -180 deg, adults",
        ("axis", "age"),
        _extreme_axis,
    ),
)
