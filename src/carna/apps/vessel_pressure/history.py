"""For whom the computation does not apply: what a person states, and what the record names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from carna.study import Record
from carna.study.parts import Entry

INFARCT_DAYS: Final = 30
ADULT_A: Final = 18
# What stands in a record but did not happen, or not to this patient.
_NOT_SO: Final = frozenset(
    {"refuted", "entered-in-error", "not-done", "not done", "cancelled", "preparation", "draft", "ruled out"}
)
_INFARCT = r"myocardial infarct|\bn?stemi\b|acute coronary syndrome"

# What rules the computation out -> the words by which a record names it.
CORONARY: Mapping[str, str] = MappingProxyType(
    {
        "a stent": r"\bstent|percutaneous coronary|coronary angioplasty|\bpci\b",
        "a bypass graft": r"bypass|\bcabg\b|coronary artery graft",
        "a prosthetic valve": r"prosthetic|valve (replacement|prosthesis)|\btav[ir]\b|bioprosthe",
        "severe aortic stenosis": r"(severe|critical).*aortic.*stenosis|aortic.*stenosis.*(severe|critical)",
        "an occluded artery": r"occlu\w* .*coronary|coronary .*occlu|\bcto\b",
        "an infarct within 30 days": _INFARCT,
    }
)
RENAL: Mapping[str, str] = MappingProxyType(
    {
        "a stent": r"renal.*\bstent|\bstent.*renal|renal.*angioplasty",
        "a transplanted kidney": r"transplant.*kidney|kidney.*transplant|renal.*transplant",
        "an occluded artery": r"occlu\w* .*renal|renal .*occlu",
        "fibromuscular dysplasia": r"fibromuscular",
    }
)


def outside(stated: str, record: Record | None, today: str, list_: Mapping[str, str]) -> tuple[str, str]:
    """Return why the computation does not apply ("" if nothing says so) and what that rests on.

    Parameters
    ----------
    stated : str
        ``not stated``, ``none of these`` or one of the list.
    record : Record or None
    today : str
        ISO 8601 time of the examination, "" if unknown.
    list_ : mapping
        `CORONARY` or `RENAL`.
    """
    named = ", ".join(list_)
    if stated in list_:
        return f"{stated} is stated: the computation is not made for it", f"stated: {stated}"
    if record is not None and record.age_a is not None and record.age_a < ADULT_A:
        return f"an age of {record.age_a:.0f} years: the assumptions are of adults", "age"
    for entry in record.entries if record is not None else ():
        if isinstance(entry.value, str) and entry.value.lower() in _NOT_SO:
            continue
        for what, pattern in list_.items():
            if not re.search(pattern, entry.name.lower()):
                continue
            why = (
                _infarct(entry, today) if pattern == _INFARCT else f"the record names {entry.name!r}: {what}"
            )
            if why:
                return why, f"record: {entry.name}"
    if stated == "none of these":
        return "", f"a person states none of these: {named}"
    if record is None or not record.entries:
        return "", f"not known, for want of a record: {named}"
    return "", f"not named in {len(record.entries)} entries of the record: {named}"


def _infarct(entry: Entry, today: str) -> str:
    """Return why an infarct rules the computation out, "" if it is older than 30 days."""
    when = entry.time[:10]
    if len(when) < 10 or len(today) < 10:
        old = re.search(r"\bold\b|history of|previous", entry.name.lower())
        return "" if old else f"the record names {entry.name!r}, and its time or that of the study is unknown"
    days = (date.fromisoformat(today[:10]) - date.fromisoformat(when)).days
    return f"an infarct {days} days before" if 0 <= days <= INFARCT_DAYS else ""
