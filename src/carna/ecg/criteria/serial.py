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
from carna.ecg.measure import Interval

RATE, PR_MS, QRS_MS, QT_MS, QTC_MS, AXIS_DEG, ST_MV = 20.0, 20.0, 20.0, 40.0, 60.0, 30.0, 0.1
NEW = (
    "left bundle branch block", "right bundle branch block", "left anterior fascicular block",
    "left posterior fascicular block", "first-degree AV block", "Q waves of prior infarction", "ST elevation",
    "ST depression", "T inversion",
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
    unit : str
    why, source : str
    """

    name: str
    verdict: Literal["changed", "unchanged", "not comparable"]
    old: float | None
    new: float | None
    limit: float
    unit: str
    why: str
    source: str


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
    rates = [None if t.rhythm is None else t.rhythm.rate_bpm for t in (old, new)]
    yield _change("rate", rates[0], rates[1], RATE, "/min", TEXTBOOK)
    a, b = old.matrix, new.matrix
    pairs: tuple[tuple[str, Interval | None, Interval | None, float], ...] = (
        ("PR", a.pr, b.pr, PR_MS),
        ("QRS", a.qrs, b.qrs, QRS_MS),
        ("QT", a.qt, b.qt, QT_MS),
        ("QTc", a.qtc_ms.get("Fridericia"), b.qtc_ms.get("Fridericia"), QTC_MS),
    )
    for name, x, y, limit in pairs:
        if x is None or y is None:
            yield _change(name, x.ms if x else None, y.ms if y else None, limit, "ms", TEXTBOOK)
        else:
            noise = 1.96 * (x.sd_ms**2 + y.sd_ms**2) ** 0.5
            yield _change(name, x.ms, y.ms, max(limit, noise), "ms", TEXTBOOK)
    limb = {"I", "II", "III", "aVF"}
    suspect = [t.integrity is not None and bool(t.integrity.suspect & limb) for t in (old, new)]
    axes = [None if s else t.matrix.qrs_axis for s, t in zip(suspect, (old, new), strict=True)]
    yield _change("axis", axes[0], axes[1], AXIS_DEG, "deg", TEXTBOOK)


def _levels(old: Tracing, new: Tracing) -> Iterator[Change]:
    for lead in [lead for lead in new.matrix.leads if lead in old.matrix.leads]:
        values = [_j(t, lead) for t in (old, new)]
        yield _change(f"ST {lead}", values[0], values[1], ST_MV, "mV", UDMI)


def _j(t: Tracing, lead: str) -> float | None:
    told = t.integrity
    if told is not None and (lead in told.suspect or lead in told.unusable):
        return None
    return t.matrix.leads[lead].j_mV


def _criteria(old: Tracing, new: Tracing) -> Iterator[Change]:
    value = {"met": 1.0, "not met": 0.0}
    for criterion in (*CONDUCTION, *ISCHAEMIA):
        if criterion.name in NEW:
            before, after = (value.get(criterion.judge(t).verdict) for t in (old, new))
            yield _change(criterion.name, before, after, 0.5, "1", criterion.source)


def _change(name: str, old: float | None, new: float | None, limit: float, unit: str, source: str) -> Change:
    if old is None or new is None:
        which = (
            "both tracings" if old is None and new is None else "the older" if old is None else "the newer"
        )
        return Change(name, "not comparable", old, new, limit, unit, f"could not be told in {which}", source)
    apart = abs((new - old + 180) % 360 - 180) if unit == "deg" else abs(new - old)
    changed = apart >= limit
    why = f"{old:.3g} to {new:.3g} {unit}: {'at least' if changed else 'less than'} {limit:.3g} {unit} apart"
    return Change(name, "changed" if changed else "unchanged", old, new, limit, unit, why, source)
