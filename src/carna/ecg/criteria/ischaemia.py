"""Injury, ischaemia and old infarction as the surface shows them: ST, T, Q, R progression, fragmentation.

ST is the J point, at the global QRS end, above the level of the QRS onset (fourth universal definition of
myocardial infarction). "Contiguous" are neighbours of V1 to V6, of V7 to V9, of V3R and V4R, any two of II,
III, aVF, and I with aVL. Criteria for QRS below 120 ms do not hold in left bundle branch block or pacing;
there Sgarbossa's stand.

A criterion met says what the trace shows, not what caused it; not met excludes nothing: an artery may be shut
behind a trace that meets none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from carna.ecg.criteria.base import MINNESOTA, TEXTBOOK, UDMI, Criterion, Look, NotAssessable
from carna.ecg.criteria.conduction import left_bundle
from carna.ecg.criteria.shape import turns

SGARBOSSA = "doi:10.1056/NEJM199602223340801"
SMITH = "doi:10.1016/j.annemergmed.2012.07.119"
DAS = "doi:10.1161/CIRCULATIONAHA.105.595892"
PAIRS = (
    ("V1", "V2"), ("V2", "V3"), ("V3", "V4"), ("V4", "V5"), ("V5", "V6"),
    ("II", "III"), ("II", "aVF"), ("III", "aVF"), ("I", "aVL"),
)  # fmt: skip
TERRITORIES = (("V1", "V2", "V3", "V4", "V5"), ("I", "aVL", "V6"), ("II", "III", "aVF"))
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def _two(look: Look, rule: Callable[[str], bool], pairs: tuple[tuple[str, str], ...] = PAIRS) -> bool:
    """Whether both leads of a contiguous pair meet a rule."""
    return look.some(lambda pair: look.every(rule, pair), pairs)


def _plain(look: Look) -> None:
    """End the rule where ST follows from a changed QRS."""
    look.adult()
    if look.ms("qrs") >= 120 or look.tracing.paced:
        raise NotAssessable("QRS of 120 ms or more, or paced: ST follows QRS; see the Sgarbossa criteria")


def _limit(look: Look, lead: str) -> float:
    if lead not in ("V2", "V3"):
        return 0.1
    if look.female():
        return 0.15
    return 0.2 if look.adult() >= 40 else 0.25


def _st_up(look: Look) -> bool:
    _plain(look)
    return _two(look, lambda lead: look.at(lead, "j_mV") >= _limit(look, lead))


def _young_man(look: Look, limit: float) -> float:
    """Twice the limit for men below 40 years."""
    return 2 * limit if look.adult() < 40 and not look.female() else limit


def _posterior(look: Look) -> bool:
    _plain(look)
    limit = _young_man(look, 0.05)
    return _two(look, lambda lead: look.at(lead, "j_mV") >= limit, (("V7", "V8"), ("V8", "V9")))


def _right(look: Look) -> bool:
    _plain(look)
    limit = 0.1 if look.adult() < 30 and not look.female() else 0.05
    return _two(look, lambda lead: look.at(lead, "j_mV") >= limit, (("V3R", "V4R"),))


def _st_down(look: Look) -> bool:
    _plain(look)

    def down(lead: str) -> bool:
        j = look.at(lead, "j_mV")
        return j <= -0.05 and look.at(lead, "st60_mV") <= j + 0.02  # horizontal or falling

    return _two(look, down)


def _t_inverted(look: Look) -> bool:
    _plain(look)
    return _two(
        look,
        lambda lead: (
            look.at(lead, "t_negative_mV") < -0.1
            and -look.at(lead, "t_negative_mV") > look.at(lead, "t_mV")
            and look.r(lead) > look.s(lead)
        ),
    )


def _discordant(look: Look) -> None:
    look.adult()
    if not (look.tracing.paced or left_bundle(look)):
        raise NotAssessable(
            "neither left bundle branch block nor ventricular pacing: the rule does not apply"
        )


def _concordant_up(look: Look) -> bool:
    return look.some(lambda v: look.at(v, "j_mV") >= 0.1 and (look.lead(v).qrs_area or 0.0) > 0, TWELVE)


def _concordant_down(look: Look) -> bool:
    return look.some(lambda v: look.at(v, "j_mV") <= -0.1 and look.s(v) > look.r(v), ("V1", "V2", "V3"))


def _excess(look: Look) -> bool:
    return look.some(lambda v: look.at(v, "j_mV") >= 0.5 and look.s(v) > look.r(v), TWELVE)


def _sgarbossa(look: Look) -> bool:
    _discordant(look)
    return look.points(
        3,
        "Sgarbossa points",
        (5, lambda: _concordant_up(look)),
        (3, lambda: _concordant_down(look)),
        (2, lambda: _excess(look)),
    )


def _smith(look: Look) -> bool:
    _discordant(look)

    def out_of_proportion(lead: str) -> bool:
        j, s = look.at(lead, "j_mV"), look.s(lead)
        return j >= 0.1 and s > look.r(lead) and look.note("ST/S", j / s, "1", lead) >= 0.25

    return look.any_of(
        lambda: _concordant_up(look),
        lambda: _concordant_down(look),
        lambda: look.some(out_of_proportion, TWELVE),
    )


def _q_wave(look: Look, lead: str) -> bool:
    """Q of 30 ms and 0.1 mV, or QS."""
    depth, long = look.q(lead)
    return look.lead(lead).qs or (depth >= 0.1 and long >= 30)


def _q_pairs() -> Iterator[tuple[str, str]]:
    yield from (pair for pair in PAIRS if not set(pair) & {"V1", "V2", "V3"})
    yield ("I", "V6")
    yield ("aVL", "V6")


def _old_q(look: Look) -> bool:
    _plain(look)

    def anterior(lead: str) -> bool:
        depth, long = look.q(lead)
        return look.lead(lead).qs or (depth >= 0.02 and long > 20)

    return look.any_of(
        lambda: look.some(anterior, ("V2", "V3")),
        lambda: _two(look, lambda lead: _q_wave(look, lead), tuple(_q_pairs())),
    )


def _tall_posterior_r(look: Look) -> bool:
    _plain(look)

    def tall(lead: str) -> bool:
        m = look.lead(lead)
        return (
            m.r is not None
            and look.note("R duration", m.r.ms, "ms", lead) > 40
            and look.r(lead) > look.s(lead)
            and look.at(lead, "t_mV") > 0
        )

    return look.every(tall, ("V1", "V2"))


def _minnesota(look: Look, code: int) -> bool:
    """Largest Q code of the lateral, inferior and anterior leads, from duration and Q/R."""
    look.adult()

    def graded(lead: str) -> bool:
        depth, long = look.q(lead)
        if depth < 0.1 or look.lead(lead).qs:
            return code == 1 and look.lead(lead).qs and lead in ("V2", "V3", "V4", "V5", "V6", "I", "II")
        ratio = look.note("Q/R", depth / max(look.r(lead), 1e-3), "1", lead)
        if code == 1:
            return long >= 40 or (ratio >= 1 / 3 and long >= 30)
        if code == 2:
            return (30 <= long < 40) or (ratio >= 1 / 3 and 20 <= long < 30)
        return 0.2 <= ratio < 1 / 3 and 20 <= long < 30

    return look.some(graded, ("I", "aVL", "V6", "II", "III", "aVF", "V2", "V3", "V4", "V5"))


def _minnesota_1(look: Look) -> bool:
    return _minnesota(look, 1)


def _minnesota_2(look: Look) -> bool:
    return _minnesota(look, 2)


def _minnesota_3(look: Look) -> bool:
    return _minnesota(look, 3)


def _progression(look: Look) -> bool:
    _plain(look)
    return look.r("V3") <= 0.3 and look.r("V2") <= look.r("V3")


def _fragmented(look: Look) -> bool:
    _plain(look)

    def broken(lead: str) -> bool:
        # q, R, s are three turns; one more is a notch or an R'
        m = look.lead(lead)
        usual = sum(wave is not None for wave in (m.q, m.r, m.s))
        return turns(look, lead) >= usual + 2 or (m.r2 is not None and turns(look, lead) >= 3)

    return look.some(lambda group: look.some(broken, group, 2), TERRITORIES)


_ST = ("QRS", "age", "sex", "twelve leads")
CRITERIA = (
    Criterion(
        "ST elevation",
        UDMI,
        "J >= 0.1 mV in two contiguous leads; in V2, V3 men >= 40 years 0.2, men < 40 years 0.25, women "
        "0.15 mV; QRS < 120 ms, "
        "not paced, adults. Says nothing of the cause: early repolarisation, pericarditis, hypertrophy do "
        "it too",
        _ST,
        _st_up,
    ),
    Criterion(
        "ST elevation, posterior leads",
        UDMI,
        "J >= 0.05 mV (men < 40 years 0.1 mV) in two of V7 to V9",
        ("V7 V8 V9", "QRS", "age", "sex"),
        _posterior,
    ),
    Criterion(
        "ST elevation, right leads",
        UDMI,
        "J >= 0.05 mV (men < 30 years 0.1 mV) in V3R and V4R",
        ("V3R V4R", "QRS", "age", "sex"),
        _right,
    ),
    Criterion(
        "ST depression",
        UDMI,
        "horizontal or falling ST, J <= -0.05 mV, in two contiguous leads; QRS < 120 ms, not paced",
        ("QRS", "age", "twelve leads"),
        _st_down,
    ),
    Criterion(
        "T inversion",
        UDMI,
        "T below -0.1 mV in two contiguous leads with R > S; QRS < 120 ms, not paced",
        ("QRS", "age", "twelve leads"),
        _t_inverted,
    ),
    Criterion(
        "Sgarbossa criteria",
        SGARBOSSA,
        "in left bundle branch block or pacing, 3 points or more: concordant J >= 0.1 mV 5, J <= -0.1 mV in"
        " V1, V2 or V3 3, "
        "discordant J >= 0.5 mV 2",
        ("LBBB or pacing", "twelve leads"),
        _sgarbossa,
    ),
    Criterion(
        "modified Sgarbossa criteria (Smith)",
        SMITH,
        "in left bundle branch block or pacing: concordant J >= 0.1 mV, J <= -0.1 mV in V1, V2 or V3, or J "
        ">= 0.1 mV and a "
        "quarter of S",
        ("LBBB or pacing", "twelve leads"),
        _smith,
    ),
    Criterion(
        "Q waves of prior infarction",
        UDMI,
        "Q > 20 ms or QS in V2 or V3; or Q >= 30 ms and 0.1 mV or QS in two contiguous leads of I, II, aVL,"
        " aVF, V4 to V6; "
        "QRS < 120 ms, not paced",
        ("QRS", "age", "twelve leads"),
        _old_q,
    ),
    Criterion(
        "tall R of prior posterior infarction",
        UDMI,
        "R > 40 ms and larger than S in V1 and V2 with upright T, without conduction defect",
        ("QRS", "age", "V1 V2"),
        _tall_posterior_r,
    ),
    Criterion(
        "Q wave, Minnesota 1-1",
        MINNESOTA,
        "Q >= 40 ms, or >= 30 ms with Q/R >= 1/3, or QS: an approximation of the code, which grades leads "
        "singly",
        ("age", "I II III aVL aVF V2 to V6"),
        _minnesota_1,
    ),
    Criterion(
        "Q wave, Minnesota 1-2",
        MINNESOTA,
        "Q 30 to 39 ms, or 20 to 29 ms with Q/R >= 1/3: an approximation",
        ("age", "I II III aVL aVF V2 to V6"),
        _minnesota_2,
    ),
    Criterion(
        "Q wave, Minnesota 1-3",
        MINNESOTA,
        "Q 20 to 29 ms with Q/R 1/5 to 1/3: an approximation",
        ("age", "I II III aVL aVF V2 to V6"),
        _minnesota_3,
    ),
    Criterion(
        "poor R progression",
        TEXTBOOK,
        "R V3 <= 0.3 mV and R V2 <= R V3; QRS < 120 ms, not paced, adults",
        ("QRS", "age", "V2 V3"),
        _progression,
    ),
    Criterion(
        "fragmented QRS",
        DAS,
        "extra notches or R' in two leads of one territory, QRS < 120 ms (approximated from the median "
        "beat; a median "
        "smooths, and so does a low-pass of the cart)",
        ("QRS", "age", "median beat"),
        _fragmented,
    ),
)
