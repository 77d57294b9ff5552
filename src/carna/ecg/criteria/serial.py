"""This tracing against an earlier one of the same person: what changed by more than measuring it again would.

A difference counts as a change when it exceeds both a stated limit and the 95 % limit of the two
measurements' own uncertainty (1.96 times the root of the sum of their variances, where intervals carry one).
The limits of ST (0.1 mV) and of new Q waves follow the fourth universal definition
(doi:10.1161/CIR.0000000000000617), that of QTc (60 ms) is the usual one of drug studies; the others are
textbook consensus, not re-read. "Unchanged" says that no limit was passed, no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from carna.ecg.criteria.base import TEXTBOOK, UDMI, Tracing
from carna.ecg.criteria.conduction import CRITERIA as CONDUCTION
from carna.ecg.criteria.ischaemia import CRITERIA as ISCHAEMIA
from carna.ecg.criteria.rates import CRITERIA as RATES
from carna.ecg.measure import Interval

RATE, PR_MS, QRS_MS, QT_MS, QTC_MS, AXIS_DEG, ST_MV = 20.0, 20.0, 20.0, 40.0, 60.0, 30.0, 0.1
NEW = (
    "left bundle branch block", "right bundle branch block", "left anterior fascicular block",
    "left posterior fascicular block", "first-degree AV block", "Q waves of prior infarction", "ST elevation",
    "ST depression", "T inversion", "atrial fibrillation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison.

    Attributes
    ----------
    name : str
        "rate", "PR", "QRS", "QT", "QTc", "axis", "ST V2", or a criterion.
    verdict : "changed", "unchanged" or "not comparable"
    old, new : float or None
        The two values; 1 and 0 for a criterion met and not met.
    limit : float
        What was to be passed: the larger of the stated limit and of what measuring twice would show.
    unit : str
    why, source : str
    lead : str
        "" where it is of no single lead.
    sd : float or None
        Standard deviation of the difference, where the measurements carry one.
    """

    name: str
    verdict: Literal["changed", "unchanged", "not comparable"]
    old: float | None
    new: float | None
    limit: float
    unit: str
    why: str
    source: str
    lead: str = ""
    sd: float | None = None


def serial(old: Tracing, new: Tracing) -> tuple[Change, ...]:
    """Compare two tracings of one person, the older first.

    Returns
    -------
    tuple of Change
        Rate, PR, QRS, QT, QTc, QRS axis, ST of every lead, and whether `NEW` criteria became met or ceased to
        be.
    """
    return (*_numbers(old, new), *_levels(old, new), *_criteria(old, new))


def _numbers(old: Tracing, new: Tracing) -> Iterator[Change]:
    rates = [None if t.rhythm is None else t.rhythm.mean_rate_bpm for t in (old, new)]
    yield _change("rate", rates[0], rates[1], RATE, "/min", TEXTBOOK)
    a, b = (t.matrix if _readable(t) else None for t in (old, new))
    for name, attribute, limit in (("PR", "pr", PR_MS), ("QRS", "qrs", QRS_MS), ("QT", "qt", QT_MS)):
        yield _interval(name, getattr(a, attribute, None), getattr(b, attribute, None), limit)
    qtc = [None if m is None else m.qtc_ms.get("Fridericia") for m in (a, b)]
    yield _interval("QTc", qtc[0], qtc[1], QTC_MS)
    limb = {"I", "II", "III", "aVF"}
    axes = [
        None if m is None or _contradict(t) or _suspect(t) & limb else m.qrs_axis
        for m, t in ((a, old), (b, new))
    ]
    yield _change("axis", axes[0], axes[1], AXIS_DEG, "deg", TEXTBOOK)


def _interval(name: str, old: Interval | None, new: Interval | None, limit: float) -> Change:
    if old is None or new is None:
        return _change(name, old.ms if old else None, new.ms if new else None, limit, "ms", TEXTBOOK)
    sd = (old.sd_ms**2 + new.sd_ms**2) ** 0.5
    return _change(name, old.ms, new.ms, max(limit, 1.96 * sd), "ms", TEXTBOOK, sd=sd)


def _readable(t: Tracing) -> bool:
    return t.integrity is None or 2 * len(t.integrity.unusable) <= len(t.matrix.leads)


def _contradict(t: Tracing) -> bool:
    return t.integrity is not None and t.integrity.channels == "met"


def _suspect(t: Tracing) -> frozenset[str]:
    return t.integrity.suspect if t.integrity is not None else frozenset()


def _levels(old: Tracing, new: Tracing) -> Iterator[Change]:
    for lead in [lead for lead in new.matrix.leads if lead in old.matrix.leads]:
        values = [_j(t, lead) for t in (old, new)]
        yield _change(f"ST {lead}", values[0], values[1], ST_MV, "mV", UDMI, lead=lead)


def _j(t: Tracing, lead: str) -> float | None:
    told = t.integrity
    if _contradict(t) or lead in _suspect(t) or (told is not None and lead in told.unusable):
        return None
    return t.matrix.leads[lead].j_mV


def _criteria(old: Tracing, new: Tracing) -> Iterator[Change]:
    for criterion in (*RATES, *CONDUCTION, *ISCHAEMIA):
        if criterion.name not in NEW:
            continue
        before, after = (criterion.judge(t).verdict for t in (old, new))
        verdict: Literal["changed", "unchanged", "not comparable"] = (
            "not comparable"
            if "not assessable" in (before, after)
            else "unchanged"
            if before == after
            else "changed"
        )
        value = {"met": 1.0, "not met": 0.0}
        yield Change(
            criterion.name, verdict, value.get(before), value.get(after), 0.5, "1",
            f"criteria {before}, then {after}", criterion.source,
        )  # fmt: skip


def _change(
    name: str,
    old: float | None,
    new: float | None,
    limit: float,
    unit: str,
    source: str,
    *,
    lead: str = "",
    sd: float | None = None,
) -> Change:
    if old is None or new is None:
        which = (
            "both tracings" if old is None and new is None else "the older" if old is None else "the newer"
        )
        why = f"could not be told in {which}"
        return Change(name, "not comparable", old, new, limit, unit, why, source, lead)
    apart = abs((new - old + 180) % 360 - 180) if unit == "deg" else abs(new - old)
    changed = apart >= limit
    why = f"{old:.3g} to {new:.3g} {unit}: {'at least' if changed else 'less than'} {limit:.3g} {unit} apart"
    return Change(name, "changed" if changed else "unchanged", old, new, limit, unit, why, source, lead, sd)
