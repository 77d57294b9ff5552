"""Findings as annotations of a waveform object (PS3.3 C.10.10): beats, waves, numbers and conclusions.

Beats and waves lie at sample positions (from 1) of the recording; beats of one kind are one entry of many
points (CID 3335), waves one of many segments. The median beat, where findings hold one, is a multiplex group
of its own, marked DERIVED, with its waves as segments and its fiducial point as Trigger Sample Position.
Intervals and axes refer to it, rates and counts to the recording. A criterion that was not met, and a number
that is absent, have no place in an annotation and are left to the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from carna import codes
from carna.codes import Concept, ecg_statements
from carna.findings import Curve, Events, Findings, Item, Measurement, Statement
from carna.study import Ecg

# The length of an explicit VR of two bytes allows 16383 positions; an even number keeps segments whole.
MOST_POSITIONS: Final = 16000
_LEAD_OF: Final = {concept: name for name, concept in codes.LEADS.items()}
# What belongs to the recording and not to one beat of it.
_OF_THE_RHYTHM: Final = frozenset(
    {codes.VENTRICULAR_RATE, codes.ATRIAL_RATE, codes.HEART_RATE, codes.RR_INTERVAL, codes.PP_INTERVAL}
    | {codes.BEAT_COUNT, codes.ECTOPIC_BEAT_COUNT, codes.SDNN, codes.RMSSD}
)
_QUESTIONS: Final = frozenset(
    {codes.SIGNAL_QUALITY, codes.RHYTHM_REGULARITY, codes.RHYTHM, ecg_statements.LOOK_NOW}
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Median:
    """The median beat: ``mv (leads, samples)``, its fiducial point at sample ``trigger``, from 0."""

    leads: tuple[str, ...]
    mv: npt.NDArray[np.float32]
    rate_hz: float
    trigger: int


@final
@dataclass(frozen=True, slots=True)
class _Place:
    """A multiplex group (from 1): its leads, clock and length, and the sample (from 0) where time is 0."""

    group: int
    leads: tuple[str, ...]
    rate_hz: float
    samples: int
    zero: int = 0


def median_in(findings: Iterable[Findings], part: str) -> Median | None:
    """Return the median beat that findings hold of a recording: curves ``median.<lead>`` in ms and mV."""
    curves = [
        item
        for one in findings
        for item in _of(one, part)
        if isinstance(item, Curve) and item.id.startswith("median.") and item.code in _LEAD_OF
    ]
    if not curves or len(curves[0].x) < 2:
        return None
    x = curves[0].x
    step = float(x[-1] - x[0]) / (len(x) - 1)
    alike = [c for c in curves if len(c.x) == len(x) and np.allclose(c.x, x, atol=1e-6 * abs(step))]
    even = step > 0 and np.allclose(np.diff(x), step, rtol=1e-6)
    trigger = round(-float(x[0]) / step) if even else -1
    if not even or not 0 <= trigger < len(x):
        return None
    names = tuple(_LEAD_OF[c.code] for c in alike)
    mv = np.stack([c.y for c in alike]).astype(np.float32)
    return Median(names, mv, float(f"{1000.0 / step:.9g}"), trigger)


def annotate(ds: Dataset, ecg: Ecg, findings: Iterable[Findings], median: Median | None) -> None:
    """Add what findings say of a recording to its object; nothing is added where they say nothing.

    Parameters
    ----------
    ds : Dataset
        With the recording as multiplex group 1, and the median beat, if given, as group 2.
    ecg : Ecg
    findings : iterable of Findings
        Items whose evidence is another part are left out.
    median : Median or None
    """
    entries: list[Dataset] = []
    for one in findings:
        for item in _of(one, ecg.origin.uid):
            number = len(entries) + 1
            match item:
                case Events() if item.id.startswith("median."):
                    if median is not None:
                        where = _Place(2, median.leads, median.rate_hz, median.mv.shape[1], median.trigger)
                        entries += _marks(item, where, number)
                case Events():
                    where = _Place(1, ecg.leads, ecg.rate_hz, ecg.values.shape[1])
                    entries += _marks(item, where, number)
                case Measurement():
                    entries += _numbered(item, ecg, median)
                case Statement() if item.verdict == "met" and item.code not in _QUESTIONS:
                    entries.append(_stated(item, ecg))
                case _:
                    pass
    if entries:
        ds.WaveformAnnotationSequence = Sequence(entries)


def _of(one: Findings, part: str) -> Iterator[Item]:
    return (item for item in one.items if part in {e.part for e in item.evidence})


def _marks(item: Events, where: _Place, number: int) -> Iterator[Dataset]:
    """Yield one entry for each type and lead: points, or segments where events have an end."""
    ends = item.onset_s if item.offset_s is None else item.offset_s
    first, last = (
        np.round(s * where.rate_hz).astype(np.int64) + where.zero + 1 for s in (item.onset_s, ends)
    )
    inside = (first >= 1) & (last <= where.samples)
    for n, what in enumerate(item.types):
        lanes = [""] if item.lead_index is None else [lead for lead in item.leads if lead in where.leads]
        for lead in lanes:
            mine = inside & (item.type_index == n)
            if item.lead_index is not None:
                mine &= item.lead_index == item.leads.index(lead)
            if item.offset_s is None:
                positions, span = first[mine], "POINT"
            else:
                positions, span = np.stack([first[mine], last[mine]], 1).ravel(), "SEGMENT"
            alone = 1 if span == "POINT" else 2
            channel = where.leads.index(lead) + 1 if lead else 0
            for at in range(0, len(positions), MOST_POSITIONS):
                some = positions[at : at + MOST_POSITIONS]
                entry = _entry(what, where.group, channel, number)
                entry.TemporalRangeType = span if len(some) == alone else f"MULTI{span}"
                entry.ReferencedSamplePositions = some.tolist()
                yield entry


def _numbered(item: Measurement, ecg: Ecg, median: Median | None) -> Iterator[Dataset]:
    """Yield a number: of a lead's channel, of the median beat, or of the recording."""
    lead = _LEAD_OF.get(item.site) if item.site is not None else None
    if item.site is not None and lead is None:
        return
    group, leads = (1, ecg.leads) if item.code in _OF_THE_RHYTHM or median is None else (2, median.leads)
    if lead is not None and lead not in leads:
        return
    entry = _entry(item.code, group, leads.index(lead) + 1 if lead else 0, 0)
    entry.NumericValue = DSfloat(item.value, auto_format=True)
    entry.MeasurementUnitsCodeSequence = Sequence([_code(Concept(item.unit, "UCUM", item.unit))])
    if item.method is not None:
        entry.ConceptNameCodeSequence[0].ModifierCodeSequence = Sequence([_code(item.method)])
    yield entry


def _stated(item: Statement, ecg: Ecg) -> Dataset:
    lead = _LEAD_OF.get(item.site, "") if item.site is not None else ""
    entry = _entry(codes.ECG_FINDING, 1, ecg.leads.index(lead) + 1 if lead in ecg.leads else 0, 0)
    entry.ConceptCodeSequence = Sequence([_code(item.code)])
    return entry


def _entry(what: Concept, group: int, channel: int, number: int) -> Dataset:
    entry = Dataset()
    entry.ConceptNameCodeSequence = Sequence([_code(what)])
    entry.ReferencedWaveformChannels = [group, channel]
    if number:
        entry.AnnotationGroupNumber = number
    return entry


def _code(what: Concept) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = what.value, what.scheme, what.meaning[:64]
    return ds
