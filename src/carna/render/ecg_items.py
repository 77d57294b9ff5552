"""How findings carry a median beat and a long recording: the ids by which figures find them.

=========================  ==============================================================================
``beats``                  Events, an instant a beat, a type a kind (CID 3335: normal, ventricular ...)
``median.<lead>``          Curve of one lead of the median beat: code the lead (`codes.LEADS`), x in ms with
                           0 at the alignment point, y in mV
``median.waves``           Events with onset and offset of P, QRS and T of the median beat (types P_WAVE,
                           QRS_COMPLEX, T_WAVE), s from the alignment point; where only the end of T is known
                           its onset equals it
``median.peaks``           Events, the summits of P, QRS and T: the median of the leads, s from the same point
``hourly.rate.mean``       Curves over the hours: x in h from the beginning to the start of each hour; hours
``.min``, ``.max``         without enough analysable intervals are left out
``hourly.v``, ``.s``       ventricular and supraventricular beats in each hour, {beats}
``hourly.af``              minutes of atrial fibrillation in each hour
``hourly.analysable``      analysable minutes in each hour
``episodes``               Events with onset and offset: fibrillation, ventricular tachycardia, pauses ...
``unanalysable``           Events with onset and offset: noise, leads off
=========================  ==============================================================================

PR, QRS and QT are the `Measurement` of the whole electrocardiogram (no site). A `Measurement` or `Statement`
of a recording longer than two minutes whose evidence is a stretch of half a minute or less is shown as a
strip. All of them are drawn together: none of the curves has a figure or a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.findings import Curve, Events, Findings, Item, Measurement, Statement
from carna.study import Ecg, Study

__all__ = [
    "Median",
    "Strip",
    "beat_kind",
    "beats_in",
    "drawn_together",
    "hourly",
    "median",
    "spans",
    "strips",
]

Floats = npt.NDArray[np.float64]
Kind = Literal["normal", "ventricular", "supraventricular", "other"]

LONG_S, STRIP_S, MOST_STRIPS = 120.0, 30.0, 12
_LEAD_OF = {concept: name for name, concept in codes.LEADS.items()}
_VENTRICULAR = frozenset(
    {codes.VENTRICULAR_PREMATURE_BEAT, codes.VENTRICULAR_ESCAPE_BEAT, codes.FUSION_BEAT, codes.PVC}
)
_SUPRAVENTRICULAR = frozenset(
    {codes.SUPRAVENTRICULAR_PREMATURE_BEAT, codes.ATRIAL_PREMATURE_BEAT, codes.JUNCTIONAL_PREMATURE_BEAT}
    | {codes.ABERRATED_ATRIAL_BEAT, codes.SUPRAVENTRICULAR_ESCAPE_BEAT, codes.ATRIAL_ESCAPE_BEAT}
    | {codes.JUNCTIONAL_ESCAPE_BEAT, codes.APC}
)
_NORMAL = frozenset({codes.NORMAL_BEAT, codes.QRS_COMPLEX, codes.R_WAVE, codes.LBBB_BEAT, codes.RBBB_BEAT})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Median:
    """A median beat: ``x_ms (n,)`` from the alignment point, ``mv`` by lead, waves as (onset, offset) ms."""

    x_ms: Floats
    mv: dict[str, Floats]
    waves: dict[Concept, tuple[float, float]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A stretch of a long recording to be shown, and the item it was the evidence of."""

    ecg: Ecg
    start_s: float
    stop_s: float
    leads: tuple[str, ...]
    item: Measurement | Statement


def drawn_together(item: Item) -> bool:
    """Whether an item is drawn with others, and so has no figure and no line of its own."""
    return item.id.startswith(("median.", "hourly."))


def beat_kind(what: Concept) -> Kind:
    """Return which of the kinds told apart by colour a beat is."""
    if what in _VENTRICULAR:
        return "ventricular"
    if what in _SUPRAVENTRICULAR:
        return "supraventricular"
    return "normal" if what in _NORMAL else "other"


def median(findings: Findings) -> Median | None:
    """Return the median beat, None if there is none; leads of another length are left out."""
    curves = [i for i in findings.items if isinstance(i, Curve) and i.id.startswith("median.")]
    leads = {
        _LEAD_OF[c.code]: c for c in curves if c.code in _LEAD_OF and c.x_unit == "ms" and c.y_unit == "mV"
    }
    if not leads:
        return None
    x = next(iter(leads.values())).x
    mv = {lead: c.y for lead, c in leads.items() if len(c.x) == len(x) and np.array_equal(c.x, x)}
    waves: dict[Concept, tuple[float, float]] = {}
    marked = findings.get("median.waves")
    if isinstance(marked, Events) and marked.offset_s is not None:
        for onset, offset, n in zip(marked.onset_s, marked.offset_s, marked.type_index, strict=True):
            waves[marked.types[n]] = (1000.0 * float(onset), 1000.0 * float(offset))
    return Median(x, mv, waves)


def hourly(findings: Findings) -> dict[str, Curve]:
    """Return the columns of the hourly table by the rest of their id: ``rate.mean``, ``v`` ..."""
    found = (i for i in findings.items if isinstance(i, Curve) and i.id.startswith("hourly."))
    return {i.id.removeprefix("hourly."): i for i in found if i.x_unit == "h"}


def beats_in(findings: Iterable[Findings], part: str) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Return times, s, and kinds of the beats of a part: those of the first item ``beats`` seen in it."""
    for one in findings:
        item = one.get("beats")
        if isinstance(item, Events) and part in {e.part for e in item.evidence}:
            kinds = np.array([beat_kind(t) for t in item.types] or ["other"])
            return item.onset_s, kinds[item.type_index]
    return np.zeros(0), np.zeros(0, "<U16")


def spans(findings: Findings, id: str) -> tuple[tuple[Concept, float, float], ...]:
    """Return what an item of stretches holds: what it is, begin and end, s."""
    item = findings.get(id)
    if not isinstance(item, Events) or item.offset_s is None:
        return ()
    rows = zip(item.type_index, item.onset_s, item.offset_s, strict=True)
    return tuple((item.types[n], float(start), float(stop)) for n, start, stop in rows)


def strips(findings: Findings, study: Study) -> tuple[Strip, ...]:
    """Return the stretches of long recordings that numbers and conclusions rest on, each stretch once."""
    found: dict[tuple[str, float, float], Strip] = {}
    for item in findings.items:
        if not isinstance(item, Measurement | Statement):
            continue
        for e in item.evidence:
            part = study.part(e.part)
            if not isinstance(part, Ecg) or part.seconds < LONG_S or e.start_s is None or e.stop_s is None:
                continue
            if 0 < e.stop_s - e.start_s <= STRIP_S:
                key = (e.part, e.start_s, e.stop_s)
                found.setdefault(key, Strip(part, e.start_s, e.stop_s, e.leads or part.leads, item))
    return tuple(found.values())[:MOST_STRIPS]
