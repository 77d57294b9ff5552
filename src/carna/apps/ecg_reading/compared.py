"""Against the earlier electrocardiogram: each change with both values and both dates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from carna.apps.ecg_reading.names import slug
from carna.codes import LEADS, ecg_statements
from carna.ecg.criteria import Change, Tracing, serial
from carna.findings import Absent, Evidence, Item, Measurement, Sd, Statement, Unknown
from carna.study import Ecg

Verdict = Literal["met", "not met", "not assessable"]

_NONE = "no earlier electrocardiogram of this patient with a date is in the case"
_UNREAD = "{which} electrocardiogram has no beats that can be told from noise, or names a lead twice"
_VERDICTS: dict[str, Verdict] = {
    "changed": "met",
    "unchanged": "not met",
    "not comparable": "not assessable",
}
# Where the value of today stands among the items; the earlier value is that less the change.
_TODAY = {"rate": "rate", "PR": "pr", "QRS": "qrs", "QT": "qt", "QTc": "qtc.fridericia", "axis": "axis.qrs"}


def apart_days(earlier: Ecg, ecg: Ecg) -> float | None:
    """Return the days between two recordings, None where a time can't be read."""
    try:
        then, now = (datetime.fromisoformat(e.origin.time[:19]) for e in (earlier, ecg))
    except ValueError:
        return None
    return (now - then).total_seconds() / 86400


def compared(
    old: Tracing | None, new: Tracing | None, earlier: Ecg | None, ecg: Ecg, seen: Evidence
) -> Iterator[Item]:
    """Yield how long ago the earlier electrocardiogram was, and every change since; Absent without one."""
    days = None if earlier is None else apart_days(earlier, ecg)
    if earlier is None or days is None:
        yield Absent(id="earlier", code=ecg_statements.SINCE_EARLIER, why=_NONE, evidence=(seen,))
        return
    yield Measurement(
        id="earlier", code=ecg_statements.SINCE_EARLIER, value=round(days, 3), unit="d",
        uncertainty=Unknown("from the times in the recordings' headers"), evidence=(seen,),
    )  # fmt: skip
    if old is None or new is None:
        why = _UNREAD.format(which="the earlier" if old is None else "this")
        for name, code in ecg_statements.CHANGES.items():
            yield Absent(id=f"change.{slug(name)}", code=code, why=why, evidence=(seen,))
        return
    dates = earlier.origin.time[:10], ecg.origin.time[:10]
    for change in serial(old, new):
        yield from _items(change, dates, seen)


def _items(change: Change, dates: tuple[str, str], seen: Evidence) -> Iterator[Item]:
    name = "ST" if change.lead else change.name
    code = ecg_statements.CHANGES[name]
    if change.lead and change.lead not in LEADS:
        return
    site = LEADS[change.lead] if change.lead else None
    id = slug(f"{name} {change.lead}".strip())
    leads = (change.lead,) if change.lead in seen.leads else seen.leads
    where = Evidence(seen.part, leads, seen.start_s, seen.stop_s)
    told = change.verdict != "not comparable" and change.unit != "1"
    today = f"criteria.{id}" if change.unit == "1" else _TODAY.get(name, "")
    of = tuple(i for i in (today, f"change.{id}" if told else "") if i)
    if told and change.old is not None and change.new is not None:
        step = change.new - change.old
        yield Measurement(
            id=f"change.{id}",
            code=code,
            site=site,
            value=(step + 180) % 360 - 180 if change.unit == "deg" else step,
            unit=change.unit,
            uncertainty=Sd(change.sd) if change.sd is not None else Unknown("a difference of two medians"),
            of=of[:-1],
            evidence=(where,),
        )
    yield Statement(
        id=f"changed.{id}",
        code=code,
        site=site,
        verdict=_VERDICTS[change.verdict],
        rule=f"{change.name}, {dates[0]} and {dates[1]}: {change.why}. {change.source}",
        of=of,
        evidence=(where,),
    )
