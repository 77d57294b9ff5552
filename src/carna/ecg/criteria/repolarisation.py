"""QT, Brugada's pattern, early repolarisation.

QTc is Fridericia's, since Bazett's overcorrects fast and undercorrects slow rates (AHA/ACCF/HRS 2009, part
IV). A QRS of 120 ms and more lengthens QT by itself: the limits are then not assessable. Sources differ in
their limits and are kept apart.
"""

from __future__ import annotations

from carna.ecg.criteria.base import ESC_VA, PART_IV, TEXTBOOK, Criterion, Look, NotAssessable
from carna.ecg.criteria.shape import tail_notch

MACFARLANE = "doi:10.1016/j.jacc.2015.05.033"
PAIRS = (("II", "III"), ("II", "aVF"), ("III", "aVF"), ("I", "aVL"), ("V4", "V5"), ("V5", "V6"))


def _narrow(look: Look) -> None:
    if look.ms("qrs") >= 120:
        raise NotAssessable("QRS of 120 ms or more lengthens QT: the limits do not hold")


def _long_aha(look: Look) -> bool:
    look.adult()
    _narrow(look)
    return look.qtc() >= (460 if look.female() else 450)


def _long_esc(look: Look) -> bool:
    _narrow(look)
    return look.qtc() >= 480


def _very_long(look: Look) -> bool:
    """Look at once; a wide QRS is no reason to be silent."""
    return look.qtc() >= 500


def _short_aha(look: Look) -> bool:
    look.adult()
    _narrow(look)
    return look.qtc() <= 390


def _short_esc(look: Look) -> bool:
    _narrow(look)
    return look.qtc() <= 360


def _very_short_esc(look: Look) -> bool:
    _narrow(look)
    return look.qtc() <= 320


def _brugada(look: Look) -> bool:
    def coved(lead: str) -> bool:
        j = look.at(lead, "j_mV")
        return (
            j >= 0.2
            and j > look.at(lead, "st40_mV") > look.at(lead, "st80_mV")
            and look.at(lead, "t_negative_mV") <= -0.05
        )

    return look.some(coved, ("V1", "V2"))


def _early(look: Look) -> bool:
    look.adult()
    _narrow(look)

    def j_wave(lead: str) -> bool:
        peak = tail_notch(look, lead)
        return peak is not None and peak >= 0.1

    return look.some(lambda pair: look.every(j_wave, pair), PAIRS)


_QT = ("QT", "rate", "QRS")
CRITERIA = (
    Criterion(
        "QTc prolonged",
        PART_IV,
        "QTc (Fridericia) >= 450 ms (men), 460 ms (women); QRS < 120 ms; adults",
        (*_QT, "sex", "age"),
        _long_aha,
    ),
    Criterion("QTc prolonged (480 ms)", ESC_VA, "QTc (Fridericia) >= 480 ms; QRS < 120 ms", _QT, _long_esc),
    Criterion(
        "QTc of 500 ms or more",
        TEXTBOOK,
        "QTc (Fridericia) >= 500 ms, at any QRS duration",
        ("QT", "rate"),
        _very_long,
    ),
    Criterion(
        "QTc short (390 ms)",
        PART_IV,
        "QTc (Fridericia) <= 390 ms; QRS < 120 ms; adults",
        (*_QT, "age"),
        _short_aha,
    ),
    Criterion("QTc short (360 ms)", ESC_VA, "QTc (Fridericia) <= 360 ms; QRS < 120 ms", _QT, _short_esc),
    Criterion("QTc short (320 ms)", ESC_VA, "QTc (Fridericia) <= 320 ms; QRS < 120 ms", _QT, _very_short_esc),
    Criterion(
        "Brugada type 1 pattern",
        ESC_VA,
        "J >= 0.2 mV, ST falling over 80 ms, T negative, in V1 or V2",
        ("V1 V2",),
        _brugada,
    ),
    Criterion(
        "early repolarisation",
        MACFARLANE,
        "notch or slur at the end of QRS, peak >= 0.1 mV, in two contiguous leads other than V1 to V3; QRS "
        "< 120 ms "
        "(approximated from the median beat)",
        ("QRS", "median beat", "age"),
        _early,
    ),
)
