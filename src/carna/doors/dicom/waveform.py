"""Waveforms: DICOM electrocardiograms become `Ecg` parts, what the cart said becomes prior findings.

A stored sample of a channel means (PS3.3 C.10.9)::

    value = stored * sensitivity * correction factor + baseline        in the channel's units

Each multiplex group has its own clock: a rate, an offset from the start of the recording and,
a channel, a skew in samples. A 4 x 3 print layout comes as groups of different leads one after
the other; they become one recording with NaN where a lead was not recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian

from carna import codes
from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.dicom.annotations import Place, cart_findings
from carna.doors.dicom.channels import Channel, channels
from carna.doors.dicom.coded import coded
from carna.doors.dicom.header import (
    BROKEN,
    Header,
    arrival,
    items,
    named_uid,
    number,
    numbers,
    origin_of,
    quiet,
    text,
    value,
    whole,
)
from carna.doors.ecg.doubts import clipped, gaps, told
from carna.errors import InputError
from carna.study import Ecg, Lazy

Samples = npt.NDArray[np.float32]

ECG_CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.9.1.1": "12-lead ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.2": "General ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.3": "Ambulatory ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "General 32-bit ECG",
}
# Above every cart and Holter known; a damaged rate must not pass for a signal.
MAX_RATE_HZ = 100_000.0
# Merged groups may leave at most this part of their clock empty; more is a damaged offset.
MAX_STRETCH = 16


def read(headers: Sequence[Header]) -> Delivery:
    """Return the electrocardiograms in waveform objects, and what their carts said of them.

    Parameters
    ----------
    headers : sequence of Header
        Waveform objects of any class; what is no electrocardiogram becomes a problem that names it.

    Returns
    -------
    Delivery
        For each object one `Ecg` for the recording and one for each averaged beat, and one
        `Findings` (preliminary, ``cart: MAKER MODEL``) if it is annotated.
    """
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    with quiet():
        in_series = Counter(header.series for header in headers)
        for header in headers:
            made, trouble = _read_one(header, alone=in_series[header.series] == 1)
            arrivals += made
            problems += trouble
    return Delivery(tuple(arrivals), tuple(problems))


def _read_one(header: Header, *, alone: bool) -> tuple[list[Arrival], list[Problem]]:
    if header.sop_class not in ECG_CLASSES:
        name = UID(header.sop_class).name if header.sop_class else "waveform without a class"
        needed = "an electrocardiogram: 12-lead, General, General 32-bit or Ambulatory"
        return [], [Problem(header.name, f"a {name}", needed, "leave it out; it is not read yet")]
    try:
        return _one(header, alone=alone)
    except BROKEN as error:
        return [], [Problem(header.name, f"a damaged waveform: {error}", "a DICOM ECG", "send it again")]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """One multiplex group; ``number`` counts from 1, ``start`` is in samples of the recording."""

    number: int
    channels: tuple[Channel, ...]
    width: int
    samples: int
    rate_hz: float
    start: int
    median: bool
    dtype: np.dtype[Any]
    law: str
    padding: int | None
    trigger: int
    notes: tuple[str, ...]

    @property
    def stop(self) -> int:
        return self.start + self.samples


def _one(header: Header, *, alone: bool) -> tuple[list[Arrival], list[Problem]]:
    ds = header.full()
    groups: list[_Group] = []
    problems: list[Problem] = []
    for index, entry in enumerate(items(ds, "WaveformSequence"), 1):
        try:
            groups.append(_group(entry, index, big_endian=header.syntax == ExplicitVRBigEndian))
        except BROKEN as error:
            found = error.found if isinstance(error, InputError) else f"damaged: {error}"
            needed = error.needed if isinstance(error, InputError) else "a whole multiplex group"
            problems.append(
                Problem(header.name, f"multiplex group {index}: {found}", needed, "send it again")
            )
    if not groups and not problems:
        problems.append(Problem(header.name, "no multiplex group", "a Waveform Sequence", "send it again"))
    problems += [Problem(header.name, *doubt) for doubt in _doubts(groups, ds)]
    arrivals: list[Arrival] = []
    places: dict[int, Place] = {}
    for nth, members in enumerate(_recordings(groups, ds)):
        uid = named_uid("ecg", header.uid, str(members[0].number))
        if nth == 0:
            uid = header.series if alone else header.uid
        part = _ecg(header, ds, members, uid)
        first = min(g.start for g in members)
        for group in members:
            places[group.number] = Place(
                uid,
                group.rate_hz,
                (group.start - first) / group.rate_hz,
                tuple(c.lead for c in group.channels),
                group.samples,
                group.median,
                group.trigger,
            )
        arrivals.append(arrival(header.ds, part=part))
    said, notes = cart_findings(ds, header, places)
    if said is not None:
        arrivals.append(arrival(header.ds, findings=said))
    fix = "the signal was read; look at the annotation on the cart"
    problems += [Problem(header.name, note, "an annotation that can be placed", fix) for note in notes]
    return arrivals, problems


# One group -------------------------------------------------------------------------------------

_DTYPES: Final = {
    ("SB", 8): "i1", ("UB", 8): "u1", ("SS", 16): "i2", ("US", 16): "u2", ("SL", 32): "i4", ("UL", 32): "u4",
    ("MB", 8): "u1", ("AB", 8): "u1",
}  # fmt: skip


def _group(entry: Dataset, index: int, *, big_endian: bool) -> _Group:
    """Return a multiplex group.

    Raises
    ------
    InputError
        If its samples can't be told apart or put into millivolts.
    """
    rate = number(entry, "SamplingFrequency") or 0.0
    bits, law = whole(entry, "WaveformBitsAllocated"), text(entry, "WaveformSampleInterpretation")
    width, announced = whole(entry, "NumberOfWaveformChannels"), whole(entry, "NumberOfWaveformSamples")
    data = value(entry, "WaveformData")
    if (law, bits) not in _DTYPES:
        raise InputError(
            f"{bits}-bit samples of interpretation {law!r}", needed="SB, UB, SS, US, SL, UL, MB or AB"
        )
    if not 0 < rate <= MAX_RATE_HZ:
        raise InputError(
            f"a sampling frequency of {rate:g} Hz", needed=f"above 0, at most {MAX_RATE_HZ:g} Hz"
        )
    if width < 1 or not isinstance(data, bytes) or len(data) < width * bits // 8:
        raise InputError(f"{width} channels without samples", needed="Waveform Data")
    samples = min(announced, len(data) // (width * bits // 8))
    if samples < 1:
        raise InputError(f"{announced} samples", needed="at least one")
    dtype = np.dtype((">" if big_endian else "<") + _DTYPES[law, bits])
    stored = value(entry, "WaveformPaddingValue")
    padding = None
    if isinstance(stored, bytes) and len(stored) >= dtype.itemsize:
        padding = int(np.frombuffer(stored[: dtype.itemsize], dtype)[0])
    found, notes = channels(entry, width, samples)
    if samples < announced:
        notes.append(f"group {index} announces {announced} samples and holds {samples}")
    if law in ("MB", "AB"):
        notes.append(
            f"group {index} is stored in {'µ' if law == 'MB' else 'A'}-law bytes (ITU-T G.711), expanded"
        )
    offset = (number(entry, "MultiplexGroupTimeOffset") or 0.0) / 1000.0 * rate
    if abs(offset - round(offset)) > 0.05:
        notes.append(f"group {index} begins {offset - round(offset):+.2f} samples off the common clock")
    kind = " ".join(text(entry, k) for k in ("MultiplexGroupLabel", "WaveformOriginality")).upper()
    median = "DERIVED" in kind or any(w in kind for w in ("MEDIAN", "AVERAGE", "REPRESENTATIVE", "TEMPLATE"))
    group = _Group(
        index, tuple(found), width, samples, rate, round(offset), median, dtype, law, padding,
        whole(entry, "TriggerSamplePosition"), (),
    )  # fmt: skip
    return replace(group, notes=(*notes, *_counted(group, entry)))


def _counted(group: _Group, entry: Dataset) -> list[str]:
    """Return notes on the stored samples that mean nothing or stand at the end of their range."""
    stored = _stored(group, entry)
    notes: list[str] = []
    for channel in group.channels:
        lane = stored[:, channel.index]
        padded = int((lane == group.padding).sum()) if group.padding is not None else 0
        low, high = _limits(group, channel.bits_stored)
        clipped = int(((lane <= low) | (lane >= high)).sum()) - (
            padded if group.padding is not None and not low < group.padding < high else 0
        )
        if padded:
            notes.append(f"{channel.lead}: {padded} of {group.samples} samples not recorded (padding)")
        if clipped:
            notes.append(
                f"{channel.lead}: {clipped} of {group.samples} samples clipped at the end of the range"
            )
    return notes


def _doubts(groups: Sequence[_Group], ds: Dataset) -> list[tuple[str, str, str]]:
    """Return what the sender should know (found, needed, fix), once an object."""
    entries = items(ds, "WaveformSequence")
    doubts: list[tuple[str, str, str]] = []
    lost: list[tuple[str, int]] = []
    cut: list[tuple[str, int]] = []
    for group in groups:
        for note in group.notes:
            left_out, _, why = note.partition("channel left out: ")
            lead = "" if left_out else why.partition(":")[0]
            again = " is stored twice; " in note and note.split()[1] in codes.LEADS
            if again or lead in codes.LEADS:
                doubts.append(
                    (note, "each lead once, in V, mV, uV or nV", "ask the sender; the rest was read")
                )
        stored = _stored(group, entries[group.number - 1])
        for channel in group.channels:
            lane = stored[:, channel.index]
            low, high = _limits(group, channel.bits_stored)
            missing = lane == group.padding if group.padding is not None else np.zeros(len(lane), bool)
            lost.append((channel.lead, gaps(missing)))
            cut.append((channel.lead, clipped(((lane <= low) | (lane >= high)) & ~missing)))
    return doubts + told([x for x in lost if x[1]], [x for x in cut if x[1]])


def _limits(group: _Group, bits_stored: int) -> tuple[int, int]:
    """Return the smallest and largest number a channel can store."""
    bits = 8 * group.dtype.itemsize
    bits = bits_stored if 1 < bits_stored < bits else bits
    if group.law in ("MB", "AB"):
        return -1, 256  # each byte of the companded range is a sample like any other
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if group.dtype.kind == "i" else (-1, (1 << bits) - 1)


def _stored(group: _Group, entry: Dataset) -> npt.NDArray[Any]:
    """Return the stored numbers ``(samples, channels)``; samples of all channels alternate in the bytes."""
    data = entry.WaveformData[: group.samples * group.width * group.dtype.itemsize]
    return np.frombuffer(data, group.dtype).reshape(group.samples, group.width)


def _values(group: _Group, entry: Dataset) -> Samples:
    """Return ``(channels, samples)`` mV, NaN for padding."""
    stored = _stored(group, entry)
    linear = stored if group.law not in ("MB", "AB") else expand(stored.astype(np.uint8), group.law)
    mv = np.empty((len(group.channels), group.samples), np.float32)
    for row, channel in zip(mv, group.channels, strict=True):
        lane = linear[:, channel.index].astype(np.float64)
        row[:] = lane * channel.step_mv + channel.baseline_mv
        if group.padding is not None:
            row[stored[:, channel.index] == group.padding] = np.nan
    return mv


def expand(stored: npt.NDArray[np.uint8], law: str) -> npt.NDArray[np.int32]:
    """Return the linear numbers of companded bytes.

    Parameters
    ----------
    stored : (...) uint8
    law : "MB" or "AB"
        µ-law, -8031 to 8031, or A-law, -4032 to 4032 (ITU-T G.711, tables 1 and 2).
    """
    code = stored.astype(np.int32)
    code = ~code & 0xFF if law == "MB" else code ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    if law == "MB":
        size = ((2 * mantissa + 33) << exponent) - 33
        return np.asarray(np.where(code & 0x80, -size, size), np.int32)
    size = np.where(exponent > 0, (2 * mantissa + 33) << np.maximum(exponent - 1, 0), 2 * mantissa + 1)
    return np.asarray(np.where(code & 0x80, size, -size), np.int32)


# Groups together -------------------------------------------------------------------------------


def _recordings(groups: list[_Group], ds: Dataset) -> list[tuple[_Group, ...]]:
    """Return which groups make one part: recordings first, then each averaged beat by itself."""
    made: list[list[_Group]] = []
    for group in (g for g in groups if not g.median):
        for members in made:
            if _fits(members, group, ds):
                members.append(group)
                break
        else:
            made.append([group])
    return [tuple(m) for m in made] + [(g,) for g in groups if g.median]


def _fits(members: list[_Group], group: _Group, ds: Dataset) -> bool:
    """Whether a group continues a recording: the same clock, and no lead that says two things at once."""
    together = [*members, group]
    span = max(g.stop for g in together) - min(g.start for g in together)
    if group.rate_hz != members[0].rate_hz or span > MAX_STRETCH * max(sum(g.samples for g in together), 1):
        return False
    entries = items(ds, "WaveformSequence")
    for other in members:
        start, stop = max(other.start, group.start), min(other.stop, group.stop)
        shared = {c.lead for c in other.channels} & {c.lead for c in group.channels}
        if start >= stop or not shared:
            continue
        one, two = _values(other, entries[other.number - 1]), _values(group, entries[group.number - 1])
        for lead in shared:
            a, b = _named(other, lead), _named(group, lead)
            x = one[a, start - other.start : stop - other.start]
            y = two[b, start - group.start : stop - group.start]
            step = max(abs(other.channels[a].step_mv), abs(group.channels[b].step_mv))
            both = np.isfinite(x) & np.isfinite(y)
            if (np.abs(x[both] - y[both]) > 1.01 * step).any():
                return False
    return True


def _named(group: _Group, lead: str) -> int:
    return next(n for n, c in enumerate(group.channels) if c.lead == lead)


def _laid_out(groups: tuple[_Group, ...], ds: Dataset, leads: tuple[str, ...]) -> Samples:
    """Return ``(leads, samples)`` mV of groups on one clock, NaN where nothing was recorded."""
    first = min(g.start for g in groups)
    out = np.full((len(leads), max(g.stop for g in groups) - first), np.nan, np.float32)
    entries = items(ds, "WaveformSequence")
    for group in groups:
        for row, channel in zip(_values(group, entries[group.number - 1]), group.channels, strict=True):
            at = group.start - first + channel.skew
            begin, end = max(at, 0), min(at + group.samples, out.shape[1])
            lane = out[leads.index(channel.lead), begin:end]
            new = row[begin - at : end - at]
            lane[:] = np.where(np.isfinite(new), new, lane)
    return out


def _ecg(header: Header, ds: Dataset, groups: tuple[_Group, ...], uid: str) -> Ecg:
    leads = tuple(dict.fromkeys(c.lead for g in groups for c in g.channels))
    step = {c.lead: abs(c.step_mv) for g in groups for c in g.channels}
    length = max(g.stop for g in groups) - min(g.start for g in groups)
    notes = [note for g in groups for note in g.notes]
    if len(groups) > 1:
        notes.append(f"{len(groups)} multiplex groups on one clock; NaN where a lead was not recorded")

    def load() -> Samples:
        return _laid_out(groups, header.full(), leads)

    return Ecg(
        origin=origin_of([header], uid=uid, notes=notes, facts=_facts(ds, groups)),
        values=Lazy((len(leads), length), load),
        leads=leads,
        rate_hz=groups[0].rate_hz,
        kind="median" if groups[0].median else "rhythm",
        lsb_mV=tuple(step[lead] for lead in leads),
    )


def _facts(ds: Dataset, groups: tuple[_Group, ...]) -> dict[str, Any]:
    """Return the filters, where all channels agree, and the acquisition context."""
    entries = items(ds, "WaveformSequence")
    facts: dict[str, Any] = {}
    for keyword in ("FilterLowFrequency", "FilterHighFrequency", "NotchFilterFrequency"):
        said = {
            numbers(entry, keyword)
            for g in groups
            for entry in items(entries[g.number - 1], "ChannelDefinitionSequence")
        }
        if len(said) == 1 and (filters := said.pop()):
            facts[keyword] = filters[0]
    label = text(entries[groups[0].number - 1], "MultiplexGroupLabel")
    if label:
        facts["MultiplexGroupLabel"] = label
    context = []
    for entry in items(ds, "AcquisitionContextSequence"):
        name, said_of_it = coded(entry, "ConceptNameCodeSequence"), coded(entry, "ConceptCodeSequence")
        answer = said_of_it.meaning if said_of_it else text(entry, "TextValue") or text(entry, "NumericValue")
        if name and answer:
            context.append(f"{name.meaning}: {answer}")
    if context:
        facts["AcquisitionContext"] = tuple(context)
    return facts
