"""Annotations of a waveform object: what the cart measured, marked and said, as prior findings.

An annotation names a concept with a number, a code or a place in the signal, or is free text
(PS3.3 C.10.10). Numbers become measurements, marks become events, words become statements. A
cart has no code for "not measured" and writes an interval or a rate of 0: that is an `Absent`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from carna import codes
from carna.codes import Concept
from carna.doors.dicom.coded import Ids, coded, name_of, unit, word
from carna.doors.dicom.header import Header, item, items, numbers, patient_of, study_uid, text, whole
from carna.findings import (
    Absent,
    Events,
    Evidence,
    Findings,
    Input,
    Item,
    Manifest,
    Measurement,
    Statement,
    Unknown,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a multiplex group lies: its part, its clock within the part, its leads.

    ``trigger`` is the sample (from 1) of the fiducial point of an averaged beat (``median``), 0 if not said.
    """

    part: str
    rate_hz: float
    start_s: float
    leads: tuple[str, ...]
    samples: int
    median: bool = False
    trigger: int = 0


@dataclass(frozen=True, slots=True)
class _Note:
    """One annotation, placed: samples are from 1, as stored."""

    entry: Dataset
    what: Concept | None
    place: Place | None
    leads: tuple[str, ...]
    samples: tuple[float, ...]
    span: str
    set: int

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        if self.place is None:
            return ()
        times = self.times
        if len(times) == 2 and self.span == "SEGMENT":
            return (Evidence(self.place.part, self.leads, times[0], times[1]),)
        return (Evidence(self.place.part, self.leads, times[0] if times else None),)

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds from the start of the part."""
        if self.place is None:
            return ()
        place = self.place
        return tuple(place.start_s + (sample - 1) / place.rate_hz for sample in self.samples)


# Codes of the supplement drafts that early carts write, by section of the SCP-ECG norm.
_SCPECG: Final = {
    "5.10.2.1-3": codes.RR_INTERVAL, "5.10.2.1-5": codes.PP_INTERVAL, "5.13.5-7": codes.PR_INTERVAL,
    "5.13.5-9": codes.QRS_DURATION, "5.13.5-11": codes.QT_INTERVAL, "5.10.2.5-5": codes.QTC_INTERVAL,
    "5.10.3-11": codes.P_AXIS, "5.10.3-13": codes.QRS_AXIS, "5.10.3-15": codes.T_AXIS,
}  # fmt: skip
# Marks that are the begin (0) or the end (1) of a wave.
_EDGES: Final = {
    "5.10.3-1": (codes.P_WAVE, 0), "5.10.3-2": (codes.P_WAVE, 1), "5.10.3-3": (codes.QRS_COMPLEX, 0),
    "5.10.3-4": (codes.QRS_COMPLEX, 1), "5.10.3-5": (codes.T_WAVE, 1),
}  # fmt: skip
_FIDUCIAL: Final = "5.7.1-3"
# Names under which a coded value is the finding itself.
_FINDING_NAMES: Final = (codes.ECG_FINDING, codes.ECG_OVERALL, codes.FINDING, codes.CONCLUSION, codes.RHYTHM)
_AS_WRITTEN: Final = "as the sender wrote it: "


def cart_findings(
    ds: Dataset, header: Header, places: Mapping[int, Place]
) -> tuple[Findings | None, tuple[str, ...]]:
    """Return what a cart said of its own recording, None if it said nothing.

    Parameters
    ----------
    ds : Dataset
        The whole waveform object.
    header : Header
    places : mapping
        Multiplex group number (from 1) to its place.

    Returns
    -------
    findings : Findings or None
        Preliminary; every number is ``Unknown("stated by the cart")``.
    notes : tuple of str
        What could not be placed in the signal.
    """
    placed, problems = _placed(items(ds, "WaveformAnnotationSequence"), places)
    placed, moved = _in_beats(placed, places)
    if not placed:
        return None, problems
    ids = Ids()
    said: list[Item] = []
    marks: list[_Note] = []
    for note in placed:
        if note.what is not None and numbers(note.entry, "NumericValue"):
            said += _measured(note, ids)
        elif note.what is not None and note.times and _answer(note) is None:
            marks.append(note)
        else:
            said.append(_stated(note, ids))
    said += _events(marks, ids)
    who = patient_of(header.ds)
    maker = " ".join(filter(None, (text(ds, "Manufacturer"), text(ds, "ManufacturerModelName"))))
    parts = dict.fromkeys(p.part for p in places.values())
    found = Findings(
        study=study_uid(header.ds),
        patient=who.id,
        items=tuple(said),
        manifest=Manifest(
            application=f"cart: {maker or 'maker not named'}",
            version=text(ds, "SoftwareVersions"),
            settings={"object": header.uid} | ({"placed": moved} if moved else {}),
            inputs=tuple(Input("ecg", uid) for uid in parts),
        ),
        synthetic=who.synthetic,
    )
    return found, problems


def _placed(entries: Iterable[Dataset], places: Mapping[int, Place]) -> tuple[list[_Note], tuple[str, ...]]:
    """Return the annotations with their places, and what is wrong with some of them."""
    placed: list[_Note] = []
    lost: Counter[str] = Counter()
    for entry in entries:
        pairs = [int(n) for n in numbers(entry, "ReferencedWaveformChannels")]
        group = pairs[0] if pairs else 0
        place = places.get(group)
        if place is None and pairs:
            lost[f"refer to multiplex group {group}, which was not read"] += 1
        leads: tuple[str, ...] = ()
        mine = [c for g, c in zip(pairs[::2], pairs[1::2], strict=False) if g == group]
        if place is not None and 0 not in mine:
            leads = tuple(place.leads[c - 1] for c in mine if 0 < c <= len(place.leads))
        samples: tuple[float, ...] = numbers(entry, "ReferencedSamplePositions")
        offsets = numbers(entry, "ReferencedTimeOffsets")
        if not samples and offsets and place is not None:
            samples = tuple(ms / 1000.0 * place.rate_hz + 1 for ms in offsets)
        if not samples and text(entry, "ReferencedDateTime"):
            lost["are placed by a date and time, which is not read"] += 1
        if samples and place is not None and not all(1 <= s <= place.samples for s in samples):
            lost["point outside their signal; their place is left out"] += 1
            samples = ()
        what = coded(entry, "ConceptNameCodeSequence")
        span, set_ = text(entry, "TemporalRangeType").upper(), whole(entry, "AnnotationGroupNumber", -1)
        placed.append(_Note(entry, what, place, leads, samples, span, set_))
    return placed, tuple(f"{count} annotations {why}" for why, count in lost.items())


def _in_beats(notes: list[_Note], places: Mapping[int, Place]) -> tuple[list[_Note], tuple[str, ...]]:
    """Move sets of marks to the averaged beat whose fiducial point they share.

    Some carts refer the marks of their averaged beat to the recording; what tells them is that the
    fiducial point of the set is exactly the trigger sample of the beat.
    """
    beats = {p.trigger: p for p in places.values() if p.median and p.trigger}
    sets: dict[int, Place] = {}
    for note in notes:
        fiducial = note.what is not None and (note.what.scheme, note.what.value) == ("SCPECG", _FIDUCIAL)
        if fiducial and len(note.samples) == 1 and note.place is not None and not note.place.median:
            beat = beats.get(int(note.samples[0]))
            if beat is not None:
                sets[note.set] = beat
    moved = [
        _Note(n.entry, n.what, sets[n.set], n.leads, n.samples, n.span, n.set)
        if n.samples and n.set in sets and max(n.samples) <= sets[n.set].samples
        else n
        for n in notes
    ]
    told = (f"the marks of annotation group {s} are read as those of the averaged beat" for s in sorted(sets))
    return moved, tuple(told)


def _known(what: Concept) -> Concept:
    """Return the concept an early cart's code stands for."""
    return _SCPECG.get(what.value, what) if what.scheme == "SCPECG" else what


def _id(ids: Ids, note: _Note, what: Concept) -> str:
    lead = f"{word(note.leads[0])}." if len(note.leads) == 1 and word(note.leads[0]) else ""
    return ids.new(f"cart.{lead}{name_of(what)}")


def _site(note: _Note) -> Concept | None:
    return codes.LEADS.get(note.leads[0]) if len(note.leads) == 1 else None


def _measured(note: _Note, ids: Ids) -> list[Item]:
    assert note.what is not None
    what, ucum = _known(note.what), unit(item(note.entry, "MeasurementUnitsCodeSequence"))
    made: list[Item] = []
    for figure in numbers(note.entry, "NumericValue"):
        id, site = _id(ids, note, what), _site(note)
        if not ucum:
            name = coded(note.entry, "MeasurementUnitsCodeSequence")
            rule = f"{_AS_WRITTEN}{what.meaning} {figure:g} {name.meaning if name else 'without a unit'}"
            made.append(
                Statement(id=id, code=what, site=site, evidence=note.evidence, verdict="met", rule=rule)
            )
        elif figure == 0 and ucum in ("ms", "s", "/min", "{H.B.}/min", "{beats}/min"):
            why = f"the cart wrote 0 {ucum}, which no interval or rate can be"
            made.append(
                Absent(
                    id=id, code=what, site=site, evidence=note.evidence, why=why, reason=codes.VALUE_UNKNOWN
                )
            )
        else:
            made.append(
                Measurement(
                    id=id,
                    code=what,
                    site=site,
                    evidence=note.evidence,
                    value=float(figure),
                    unit=ucum,
                    uncertainty=Unknown("stated by the cart"),
                    method=_method(note.entry),
                )
            )
    return made


def _method(entry: Dataset) -> Concept | None:
    """Return the coded modifier of a measurement, such as the formula of a corrected QT."""
    inside = coded(entry, "ConceptNameCodeSequence", "ModifierCodeSequence")
    return inside or coded(entry, "ModifierCodeSequence")


def _answer(note: _Note) -> Concept | None:
    return coded(note.entry, "ConceptCodeSequence")


def _stated(note: _Note, ids: Ids) -> Statement:
    """Return words or a coded value; a finding's code is that of the value, not of the question."""
    answer, words = _answer(note), text(note.entry, "UnformattedTextValue")
    name = note.what
    if name is None:
        what, rule = (
            answer or codes.ECG_FINDING,
            words or (answer.meaning if answer else "an empty annotation"),
        )
    elif answer is None:
        what, rule = name, words or name.meaning
    else:
        what = answer if name in _FINDING_NAMES else name
        rule = " ".join(filter(None, (f"{name.meaning} = {answer.meaning}", words)))
    id = _id(ids, note, what) if name is not None or answer is not None else ids.new("cart.statement")
    return Statement(
        id=id, code=what, site=_site(note), evidence=note.evidence, verdict="met", rule=_AS_WRITTEN + rule
    )


# Marks in the signal ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    what: Concept
    part: str
    onset: float
    offset: float | None
    leads: tuple[str, ...]
    median: bool


def _events(marks: list[_Note], ids: Ids) -> list[Item]:
    """Return one `Events` for each concept in each part; waves have an end, instants have none."""
    tables: dict[tuple[Concept, str, bool, bool], list[_Row]] = defaultdict(list)
    for row in _rows(marks):
        tables[row.what, row.part, row.offset is None, not row.leads].append(row)
    return [_table(rows, ids) for rows in tables.values()]


def _table(rows: list[_Row], ids: Ids) -> Events:
    flat = [(row, lead) for row in rows for lead in (row.leads or ("",))]
    flat.sort(key=lambda pair: pair[0].onset)
    first = rows[0]
    leads = tuple(dict.fromkeys(lead for _, lead in flat if lead))
    return Events(
        id=ids.new(f"cart.{'median.' if first.median else ''}{name_of(first.what)}"),
        code=first.what,
        evidence=(Evidence(first.part, leads),) if first.part else (),
        onset_s=np.array([row.onset for row, _ in flat]),
        offset_s=None if first.offset is None else np.array([row.offset for row, _ in flat], float),
        types=(first.what,),
        type_index=np.zeros(len(flat), np.int64),
        leads=leads,
        lead_index=np.array([leads.index(lead) for _, lead in flat], np.int64) if leads else None,
    )


def _rows(marks: list[_Note]) -> list[_Row]:
    """Return the marks as rows; an onset and an offset of one set and one wave become one row."""
    rows: list[_Row] = []
    open_edges: dict[tuple[int, str, Concept, tuple[str, ...]], _Note] = {}
    for note in marks:
        assert note.what is not None
        assert note.place is not None
        part, median, times = note.place.part, note.place.median, note.times
        wave, end = _EDGES.get(note.what.value, (None, 0)) if note.what.scheme == "SCPECG" else (None, 0)
        if wave is not None and len(times) == 1:
            key = (note.set, part, wave, note.leads)
            if end == 0:
                if key in open_edges:
                    rows.append(_instant(open_edges[key]))
                open_edges[key] = note
                continue
            begin = open_edges.get(key)
            if begin is not None and begin.times and begin.times[0] <= times[0]:
                del open_edges[key]
                rows.append(_Row(wave, part, begin.times[0], times[0], note.leads, median))
                continue
        if note.span in ("SEGMENT", "MULTISEGMENT") and len(times) % 2 == 0:
            for start, stop in zip(times[::2], times[1::2], strict=True):
                rows.append(_Row(note.what, part, min(start, stop), max(start, stop), note.leads, median))
        else:
            rows += [_Row(note.what, part, time, None, note.leads, median) for time in times]
    return rows + [_instant(note) for note in open_edges.values()]


def _instant(note: _Note) -> _Row:
    assert note.what is not None
    assert note.place is not None
    return _Row(note.what, note.place.part, note.times[0], None, note.leads, note.place.median)
