"""Criteria for four patterns of the ventricles in a cine, each met, not met or not assessable.

======================= ==================================================================================
dilated                 a wide left cavity and LVEF below 50 % (ESC 2023, doi:10.1093/eurheartj/ehad194),
                        and not regional, which is ours: the source allows it
hypertrophic            a wall of 15 mm or more (the same)
regional infarct        LVEF below 50 % with a part of the wall that thickens by less than 30 % and moves
                        inward much less than the rest around it (wall motion: Lang 2015,
                        doi:10.1016/j.echo.2014.10.003)
abnormal right          RV/LV volume ratio of 1.27 or more (doi:10.1038/s41598-018-25259-1), a wide right
                        cavity, or RVEF below 40 % while LVEF is 50 % or more (the share that defines the
                        group in Bernard 2018, doi:10.1109/TMI.2018.2837502)
none                    none of the four
======================= ==================================================================================

"Wide" is a volume per body surface, else a volume, above what is abnormal at every age (UK Biobank, Petersen
2017, doi:10.1186/s12968-017-0327-9); where size or sex leaves that open, a wall below 0.32 of the cavity's
radius for the left one (Gaasch and Zile 2011, doi:10.1016/j.jacc.2011.06.054) and the ratio for the right
one. Without a pixel size a wall above 0.42 of the radius stands for 15 mm (concentric geometry, Lang 2015).
All limits are published but one, `STILL`, which was set on virtual hearts; in patients it does not tell an
infarct from a weak dilated heart (docs/cine-pattern.md).

A pattern is no disease: loading, coronary arteries, genes and family are not in the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol

from carna.codes.concept import Concept, own

__all__ = ["FEATURES", "PATTERNS", "Criterion", "Judgement", "Seen", "judge"]

Sex = Literal["male", "female"]
Verdict = Literal["met", "not met", "not assessable"]
Pattern = Literal["dilated", "hypertrophic", "infarct", "right", "none"]

PATTERNS: Mapping[Pattern, Concept] = MappingProxyType(
    {
        "dilated": own("DILATED-PATTERN", "Criteria for a dilated left ventricular pattern"),
        "hypertrophic": own("THICK-PATTERN", "Criteria for a hypertrophic left ventricular pattern"),
        "infarct": own("INFARCT-PATTERN", "Criteria for a regional pattern as after infarction"),
        "right": own("RIGHT-PATTERN", "Criteria for an abnormal right ventricular pattern"),
        "none": own("NO-CINE-PATTERN", "None of the four ventricular patterns"),
    }
)
FEATURES: Mapping[str, Concept] = MappingProxyType(
    {
        "thickest": own("THICKEST-WALL", "Largest left ventricular wall thickness at end diastole", "mm"),
        "relative_wall": own("RELATIVE-WALL", "Wall thickness over inner radius, short axis", "1"),
        "ratio": own("RV-LV-RATIO", "Right over left ventricular ED volume", "1"),
        "stillest": own("LEAST-EXCURSION", "Least inward motion of the LV wall over that around it", "1"),
        "thickening": own("STILL-THICKENING", "Thickening of the LV wall where it moves least", "%"),
    }
)

LOW_LVEF: Final = 0.50
LOW_RVEF: Final = 0.40
WIDE_RATIO: Final = 1.27
THIN: Final = 0.32
CONCENTRIC: Final = 0.42
THICK_MM: Final = 15.0
WEAK: Final = 0.30
# Ours, set on virtual hearts: 120 with and 120 without still regions (docs/cine-pattern.md).
STILL: Final = 0.56
_OURS = "inward motion of the stillest place over that around it (limit set on virtual hearts)"
# Above these the value is abnormal at every age, UK Biobank (Petersen 2017): men, women.
_LV_ML_M2, _LV_ML = (117.0, 101.0), (232.0, 175.0)
_RV_ML_M2, _RV_ML = (128.0, 110.0), (260.0, 192.0)


class Seen(Protocol):
    """What must be known of a heart, NaN where it is not: `carna.image.pattern.Features` has it."""

    @property
    def lvef(self) -> float:
        """Left ejected share."""

    @property
    def rvef(self) -> float:
        """Right ejected share."""

    @property
    def ratio(self) -> float:
        """Right over left end-diastolic volume."""

    @property
    def lv_edv_ml(self) -> float:
        """Left end-diastolic volume."""

    @property
    def rv_edv_ml(self) -> float:
        """Right end-diastolic volume."""

    @property
    def relative_wall(self) -> float:
        """Mean wall thickness over mean inner radius."""

    @property
    def thickest_mm(self) -> float:
        """Largest wall thickness at end-diastole."""

    @property
    def stillest(self) -> float:
        """Least inward motion of a place in the wall over the median of that around it."""

    @property
    def stillest_thickening(self) -> float:
        """Share by which the wall of that place thickens."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion: its verdict, what was found against what limit, and the feature it rests on."""

    verdict: Verdict
    words: str
    feature: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A pattern's verdict and its criteria."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]

    @property
    def deciding(self) -> tuple[Criterion, ...]:
        """The criteria without which the verdict would be another."""
        return tuple(c for c in self.criteria if c.verdict == self.verdict) or self.criteria


def judge(
    seen: Seen, *, sex: Sex | None = None, surface_m2: float | None = None, thick_mm: float = THICK_MM
) -> Mapping[Pattern, Judgement]:
    """Return the judgement of each pattern.

    Parameters
    ----------
    seen : Seen
    sex : "male", "female" or None
    surface_m2 : float or None
        Body surface; None: volumes are judged as they are.
    thick_mm : float
        Wall thickness that meets the hypertrophic pattern; 13 where a first-degree relative has the disease.
    """
    weak = _below("LVEF", seen.lvef, LOW_LVEF, "lvef", percent=True)
    part = _all(
        _below(_OURS, seen.stillest, STILL, "stillest"),
        _below("thickening of that place", seen.stillest_thickening, WEAK, "thickening", percent=True),
    )
    regional = Criterion(part.verdict, "; ".join(c.words for c in part.criteria), "stillest")
    whole = Criterion(_NOT[regional.verdict], f"global, not regional: {regional.words}", "stillest")
    patterns: dict[Pattern, Judgement] = {
        "dilated": _all(_wide_left(seen, sex, surface_m2), weak, whole),
        "hypertrophic": _all(_thick(seen, thick_mm)),
        "infarct": _all(weak, regional),
        "right": _any(
            _above("RV/LV volume ratio", seen.ratio, WIDE_RATIO, "ratio", or_equal=True),
            *_wide_right(seen, sex, surface_m2),
            _weak_right(seen),
        ),
    }
    found = [Criterion(_NOT[one.verdict], f"{name}: {one.verdict}", name) for name, one in patterns.items()]
    return MappingProxyType({**patterns, "none": _all(*found)})


_NOT: Final[Mapping[Verdict, Verdict]] = MappingProxyType(
    {"met": "not met", "not met": "met", "not assessable": "not assessable"}
)


def _all(*criteria: Criterion) -> Judgement:
    return Judgement(_first(criteria, ("not met", "not assessable", "met")), criteria)


def _any(*criteria: Criterion) -> Judgement:
    return Judgement(_first(criteria, ("met", "not assessable", "not met")), criteria)


def _first(criteria: Sequence[Criterion], order: tuple[Verdict, ...]) -> Verdict:
    present = {c.verdict for c in criteria}
    return next(v for v in order if v in present)


def _below(what: str, value: float, limit: float, feature: str, *, percent: bool = False) -> Criterion:
    return _compared(what, value, limit, feature, (lambda v, m: v < m, "below"), percent)


def _above(what: str, value: float, limit: float, feature: str, *, or_equal: bool = False) -> Criterion:
    if or_equal:
        return _compared(what, value, limit, feature, (lambda v, m: v >= m, "at least"), False)
    return _compared(what, value, limit, feature, (lambda v, m: v > m, "above"), False)


def _compared(
    what: str,
    value: float,
    limit: float,
    feature: str,
    test: tuple[Callable[[float, float], bool], str],
    percent: bool,
) -> Criterion:
    holds, word = test
    bound = f"{100 * limit:g} %" if percent else f"{limit:g}"
    if math.isnan(value):
        return Criterion("not assessable", f"{what} unknown, {word} {bound} needed", feature)
    said = f"{100 * value:.0f} %" if percent else f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return Criterion(
        "met" if holds(value, limit) else "not met", f"{what} {said}, {word} {bound} needed", feature
    )


def _volume(
    what: str,
    ml: float,
    limits: tuple[tuple[float, float], tuple[float, float]],
    feature: str,
    sex: Sex | None,
    surface_m2: float | None,
) -> Criterion:
    """Judge a volume: by body surface if that is known; between men's and women's limit only with a sex."""
    value, (men, women), unit = ml, limits[1], "mL"
    if surface_m2 is not None:
        value, (men, women), unit = ml / surface_m2, limits[0], "mL/m2"
    what = f"{what} [{unit}]"
    if sex is None and women < value <= men:
        words = f"{what} {value:.0f}, above {women:g} (women) or {men:g} (men) needed: sex unknown"
        return Criterion("not assessable", words, feature)
    limit = women if sex == "female" or (sex is None and value <= women) else men
    return _above(what, value, limit, feature)


def _wide_left(seen: Seen, sex: Sex | None, surface_m2: float | None) -> Criterion:
    by_volume = _volume("LV EDV", seen.lv_edv_ml, (_LV_ML_M2, _LV_ML), "lv_edv", sex, surface_m2)
    if by_volume.verdict != "not assessable":
        return by_volume
    return _below("wall over cavity radius", seen.relative_wall, THIN, "relative_wall")


def _wide_right(seen: Seen, sex: Sex | None, surface_m2: float | None) -> tuple[Criterion, ...]:
    """Return nothing where the volume can't be judged: the ratio then speaks alone."""
    by_volume = _volume("RV EDV", seen.rv_edv_ml, (_RV_ML_M2, _RV_ML), "rv_edv", sex, surface_m2)
    return () if by_volume.verdict == "not assessable" else (by_volume,)


def _weak_right(seen: Seen) -> Criterion:
    """RVEF counts where the left ventricle ejects enough: it falls with the left one's."""
    right = _below("RVEF", seen.rvef, LOW_RVEF, "rvef", percent=True)
    if seen.lvef < LOW_LVEF:
        return Criterion("not met", f"{right.words}, but LVEF is below {100 * LOW_LVEF:g} % too", "rvef")
    return right


def _thick(seen: Seen, thick_mm: float) -> Criterion:
    if math.isnan(seen.thickest_mm):
        return _above("wall over cavity radius", seen.relative_wall, CONCENTRIC, "relative_wall")
    return _above("thickest wall [mm]", seen.thickest_mm, thick_mm, "thickest", or_equal=True)
