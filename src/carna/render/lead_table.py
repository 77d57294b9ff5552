"""The measurement matrix: what each lead shows, a lead a row and a wave a column, as cardiologists print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from carna import codes
from carna.codes import Concept
from carna.findings import Findings, Measurement
from carna.findings.items import Item
from carna.render import say

__all__ = ["LeadTable", "in_table", "lead_table"]

# The letters of the waves are the same in every language.
_COLUMNS: dict[Concept, str] = {
    codes.P_AMPLITUDE_LEAD: "P",
    codes.Q_AMPLITUDE_LEAD: "Q",
    codes.R_AMPLITUDE_LEAD: "R",
    codes.S_AMPLITUDE_LEAD: "S",
    codes.J_AMPLITUDE_LEAD: "J",
    codes.ST_AMPLITUDE_LEAD: "ST",
    codes.T_AMPLITUDE_LEAD: "T",
}
_LEAD_OF = {concept: name for name, concept in codes.LEADS.items()}
DECIMALS = 0.1  # a spread that prints two decimals of mV


@final
@dataclass(frozen=True, slots=True)
class LeadTable:
    """Columns, and rows of (lead, a cell a column, noise); a wave that is not there has an empty cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str], ...]


def in_table(item: Item) -> bool:
    """Whether an item is an amplitude of a lead."""
    return (
        isinstance(item, Measurement)
        and item.code in _COLUMNS
        and item.site in _LEAD_OF
        and item.unit == "mV"
    )


def lead_table(one: Findings) -> LeadTable | None:
    """Return the amplitudes of all leads, mV, with the largest spread stated in each; None without any."""
    found = [i for i in one.items if isinstance(i, Measurement) and in_table(i)]
    if not found:
        return None
    columns = [code for code in _COLUMNS if any(i.code == code for i in found)]
    leads = list(dict.fromkeys(i.site for i in found if i.site is not None))
    rows = []
    for lead in leads:
        mine = {i.code: i for i in found if i.site == lead}
        cells = tuple(_cell(mine.get(code)) for code in columns)
        rows.append((_LEAD_OF[lead], cells, _noise(mine.values())))
    return LeadTable(tuple(_COLUMNS[c] for c in columns), tuple(rows))


def _cell(item: Measurement | None) -> str:
    if item is None:
        return ""
    text = say.numbers((item.value,), DECIMALS)[0]
    # What is rounded away has no sign.
    return text if text.strip("0.\N{MINUS SIGN}") else text.lstrip("\N{MINUS SIGN}")


def _noise(items: Iterable[Measurement]) -> str:
    largest = max((say.spread(i.uncertainty) for i in items), default=0.0)
    return say.numbers((largest,), DECIMALS / 10)[0] if largest else ""
