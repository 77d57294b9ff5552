"""Two electrocardiograms of one patient side by side: the items of a comparison as the lines of a table.

The findings hold each change (``change.<what>``) and whether it passes its limit (``changed.<what>``);
today's value is another item of theirs, named by ``of``, and the earlier one is today's less the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import final

from carna import codes
from carna.findings import Findings, Item, Measurement, Statement
from carna.render import say
from carna.render.words import Words
from carna.study import Study

__all__ = ["Comparison", "Line", "belongs", "comparison"]

_LEAD_OF = {concept: name for name, concept in codes.LEADS.items()}
_VERDICTS = {"met": "changed", "not met": "unchanged", "not assessable": "not_comparable"}


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One thing compared: what it was, what it is, and the change as they are printed.

    ``verdict`` is a key of the words: changed, unchanged or not_comparable; ``cells`` are (lead, change,
    whether it passes its limit) where leads share a line.
    """

    name: str
    unit: str
    earlier: str
    now: str
    change: str
    verdict: str
    rule: str
    cells: tuple[tuple[str, str, bool], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """The dates of both, the lines worth a look, and the names of what did not change or can't be told."""

    earlier: str
    now: str
    lines: tuple[Line, ...]
    unchanged: tuple[str, ...]
    open: tuple[str, ...]


def belongs(item: Item) -> bool:
    """Whether an item is part of a comparison, and so has no line of its own."""
    return item.id.startswith(("change.", "changed.")) or (
        item.id == "earlier" and isinstance(item, Measurement)
    )


def comparison(one: Findings, study: Study, in_words: Words) -> Comparison | None:
    """Return the comparison that some findings hold, None if they hold none."""
    apart = one.get("earlier")
    judged = [i for i in one.items if isinstance(i, Statement) and i.id.startswith("changed.")]
    if not isinstance(apart, Measurement) or not judged:
        return None
    numbers = [i for i in judged if i.site is None and isinstance(one.get(_change_id(i)), Measurement)]
    sited = [i for i in judged if i.site is not None]
    others = [i for i in judged if i not in numbers and i not in sited]
    lines = [
        *(_number(i, one, in_words) for i in numbers),
        *_leads(sited, one, in_words),
        *(_criterion(i, one, in_words) for i in others if i.verdict == "met"),
    ]
    earlier, now = _dates(apart, study, in_words)
    return Comparison(
        earlier,
        now,
        tuple(lines),
        tuple(_short(i, in_words) for i in others if i.verdict == "not met"),
        tuple(_short(i, in_words) for i in others if i.verdict == "not assessable"),
    )


def _dates(apart: Measurement, study: Study, in_words: Words) -> tuple[str, str]:
    """Return both dates, with the hour where they are of one day; words where this one's is not known."""
    part = next((p for e in apart.evidence if (p := study.part(e.part)) is not None), None)
    stamp = (part.origin.time if part is not None else "") or study.time
    try:
        now = datetime.fromisoformat(stamp[:19])
    except ValueError:
        return in_words.text("compared_earlier"), in_words.text("compared_now")
    then = now - timedelta(days=apart.value)
    form = "%Y-%m-%d" if then.date() != now.date() else "%Y-%m-%d %H:%M"
    return then.strftime(form), now.strftime(form)


def _change_id(item: Statement) -> str:
    return item.id.replace("changed.", "change.", 1)


def _short(item: Statement, in_words: Words) -> str:
    """Return what changed: the concept's words up to the comma that says since when."""
    return in_words.meaning(item.code).split("，" if in_words.language == "zh" else ",")[0]


def _number(item: Statement, one: Findings, in_words: Words) -> Line:
    change, today = one.get(_change_id(item)), one.get(item.of[0]) if item.of else None
    assert isinstance(change, Measurement)
    about = say.spread(change.uncertainty)
    step = _signed(say.numbers((change.value,), about or 3.0)[0])
    earlier = now = ""
    if isinstance(today, Measurement):
        earlier, now = say.numbers((today.value - change.value, today.value), about or 3.0)
    spread = say.uncertainty(change.uncertainty, in_words) if about else ""
    return Line(
        _short(item, in_words),
        in_words.unit(change.unit),
        earlier,
        now,
        f"{step} {spread}".strip(),
        _VERDICTS[item.verdict],
        item.rule,
    )


def _signed(step: str) -> str:
    """Return a printed change with its sign; one that is rounded away has none."""
    if not step.strip("0.−"):
        return step.lstrip("−")
    return step if step.startswith("−") else f"+{step}"


def _leads(sited: list[Statement], one: Findings, in_words: Words) -> Iterator[Line]:
    """Yield one line for all leads: the change of each."""
    if not sited:
        return
    cells, rules = [], []
    for item in sited:
        change = one.get(_change_id(item))
        lead = _LEAD_OF.get(item.site, "") if item.site is not None else ""
        if not isinstance(change, Measurement):
            cells.append((lead, in_words.text("not_comparable"), False))
            continue
        cells.append((lead, _signed(say.numbers((change.value,), 0.1)[0]), item.verdict == "met"))
        if item.verdict == "met":
            rules.append(item.rule)
    verdict = "changed" if rules else "unchanged"
    if all(i.verdict == "not assessable" for i in sited):
        verdict = "not_comparable"
    yield Line(
        _short(sited[0], in_words), in_words.unit("mV"), "", "", "", verdict, "\n".join(rules), tuple(cells)
    )


def _criterion(item: Statement, one: Findings, in_words: Words) -> Line:
    """Return a criterion that became met, or is no longer."""
    today = one.get(item.of[0]) if item.of else None
    now_met = isinstance(today, Statement) and today.verdict == "met"
    earlier, now = (in_words.text("met" if met else "not met") for met in (not now_met, now_met))
    return Line(_short(item, in_words), "", earlier, now, "", "changed", item.rule)
