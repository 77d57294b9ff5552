"""Marks in time, gathered one by one and handed out as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

import numpy as np

from carna import codes
from carna.codes import Concept
from carna.findings import Events, Evidence, Item

__all__ = ["WAVE", "Gathered", "own"]


def own(mnemonic: str, meaning: str) -> Concept:
    """Return the concept of an annotator's word that no standard has a code for."""
    return Concept(f"WFDB-{mnemonic}"[:16], "99CARNA", meaning[:64], source="WFDB annotation codes")


WAVE: Mapping[str, Concept] = MappingProxyType(
    {"p": codes.P_WAVE, "qrs": codes.QRS_COMPLEX, "t": codes.T_WAVE, "u": own("UWAVE", "U wave")}
)
"""Short name of a wave -> its concept."""

_CODE: Mapping[str, Concept] = MappingProxyType(
    {
        "beats": codes.QRS_COMPLEX,
        "rhythm": codes.RHYTHM,
        "peaks": own("PEAK", "Peak of a wave"),
        "starts": own("WFON", "Onset of a wave"),
        "ends": own("WFOFF", "End of a wave"),
        "marks": own("ANNOTATION", "Annotation of the signal"),
    }
)


@dataclass(slots=True)
class _Rows:
    """Events of one item while they are gathered."""

    onset: list[float] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    types: list[Concept] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)


@final
class Gathered:
    """The marks of one annotator, by item: beats, waves.qrs, peaks.t, rhythm, marks ..."""

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}

    def add(self, item: str, what: Concept, lead: str, onset_s: float, offset_s: float | None = None) -> None:
        """Note one mark; ``lead`` is "" where it belongs to all of them."""
        rows = self._rows.setdefault(item, _Rows())
        rows.onset.append(onset_s)
        rows.offset.append(onset_s if offset_s is None else offset_s)
        rows.types.append(what)
        rows.leads.append(lead)

    def items(self, part: str, order: Sequence[str], prefix: str = "") -> tuple[Item, ...]:
        """Return one item for each name, its events by time, leads in the order given."""
        return tuple(_item(name, rows, part, order, prefix) for name, rows in sorted(self._rows.items()))


def _item(name: str, rows: _Rows, part: str, order: Sequence[str], prefix: str) -> Events:
    group, _, wave = name.partition(".")
    used = set(rows.leads)
    leads = tuple(lead for lead in order if lead in used)
    # The column is all or nothing: a mark of no lead among marks of leads would have no place in it.
    by_lead = bool(leads) and used <= set(leads)
    rank = {lead: n for n, lead in enumerate(leads)}
    onset = np.array(rows.onset)
    # Comments share a code and differ in their words, so the words belong to the key.
    index: dict[tuple[Concept, str], int] = {}
    kinds = [index.setdefault((c, c.meaning), len(index)) for c in rows.types]
    column = np.array([rank.get(lead, -1) for lead in rows.leads], np.int64)
    by_time = np.lexsort((column, onset))
    return Events(
        id=prefix + name,
        code=_CODE.get(group) or WAVE[wave],
        evidence=(Evidence(part, leads),),
        onset_s=onset[by_time],
        offset_s=np.array(rows.offset)[by_time] if group in ("waves", "rhythm") else None,
        types=tuple(concept for concept, _ in index),
        type_index=np.array(kinds, np.int64)[by_time],
        leads=leads if by_lead else (),
        lead_index=column[by_time] if by_lead else None,
    )
