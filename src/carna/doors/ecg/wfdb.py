"""WFDB records: a header, its signal files, its segments; and the writer.

A signal's physical value is (stored - baseline) / gain. Signals of one file are interleaved
frame by frame; one with several samples a frame has a rate of its own and becomes a wave of its
own. Samples are checked when the record is read and loaded again when asked for, so that a
folder of long recordings does not stay in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.doors.ecg.leads import canonical, is_other_signal, millivolts
from carna.doors.ecg.matlab import matlab_arrays
from carna.doors.ecg.phrases import concept_of
from carna.doors.ecg.recording import Prior, Recording, Wave, check_wave, part_uid, quantised, study_uid
from carna.doors.ecg.wfdb_annotations import annotator_findings
from carna.doors.ecg.wfdb_header import Channel, Header, Segment, Subject, parse_header, subject_of
from carna.doors.ecg.wfdb_samples import BITS, decode, encode, missing_code
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Evidence, Statement
from carna.study import Ecg, Entry, Lazy, Patient

__all__ = ["read_wfdb", "segments_of", "write_wfdb"]

Ints = npt.NDArray[np.int32]
# A header may promise this many samples more than its files hold before it is called damaged.
_SLACK = 1 << 22


@dataclass(frozen=True, slots=True)
class _Stored:
    """One signal of one segment as it is stored: whole numbers, and which of them are real."""

    channel: Channel
    samples: Ints
    short: int


def segments_of(blob: Blob) -> frozenset[str]:
    """Return the headers that a header of several segments refers to, by file name."""
    try:
        header = parse_header(blob.head)
    except InputError:
        return frozenset()
    return frozenset(f"{segment.name}.hea" for segment in header.segments)


def read_wfdb(blob: Blob, annotations: Sequence[Blob]) -> Recording:
    """Return a record from its header; everything else is found beside it.

    Parameters
    ----------
    blob : Blob
        The ``.hea`` file.
    annotations : sequence of Blob
        Annotation files of the record.

    Raises
    ------
    InputError
        If the header is damaged, a file is missing, or no signal is an electrocardiogram.
    """
    header = parse_header(blob.load())
    contents = _contents(header, blob)
    study = study_uid(*(piece.load() for piece in contents))
    subject = subject_of(header.comments)
    waves, notes = (_segmented if header.segments else _plain)(header, blob)
    rhythm = part_uid(study, waves[0].name)
    folder = "/".join(blob.name.split("/")[-3:-1])[-64:]
    stated = _statements(subject, rhythm)
    priors = [Prior("WFDB header", stated)] if stated else []
    frames = round(waves[0].values.shape[1] / waves[0].rate_hz * header.rate_hz)
    found, more = annotator_findings(annotations, header.rate_hz, frames, waves[0].leads, rhythm)
    return Recording(
        study,
        "WFDB",
        header.name,
        waves,
        # Record names repeat from set to set; the folder tells which set the person belongs to.
        Patient(header.name, folder, sex=subject.sex),
        header.time,
        age_a=subject.age_a,
        entries=tuple(Entry(name, value=value) for name, value in subject.rest),
        priors=(*priors, *found),
        notes=(*notes, *more),
        doubts=_units(header.channels),
    )


def _statements(subject: Subject, part: str) -> tuple[Statement, ...]:
    said: list[tuple[Concept, str]] = [
        (codes.find("SCT", dx) or Concept(dx[:16], "SCT", f"SNOMED CT {dx}"[:64]), f"SNOMED CT {dx}")
        for dx in subject.codes
    ]
    said += [(concept_of(text) or codes.ECG_FINDING, text) for text in subject.sentences]
    return tuple(
        Statement(
            id=f"diagnosis.{n}",
            code=code,
            verdict="met",
            rule=f"as the record's header states: {text}",
            evidence=(Evidence(part),),
        )
        for n, (code, text) in enumerate(said, 1)
    )


def _beside(blob: Blob, file: str) -> Blob:
    found = blob.neighbours.get(file)
    if found is None:
        raise InputError(
            f"the header refers to {file}, which is not beside it",
            needed=file,
            fix="put the record's files into one folder",
        )
    return found


def _contents(header: Header, blob: Blob) -> list[Blob]:
    """Return the header and every file its signals lie in, each once."""
    names = dict.fromkeys(channel.file for channel in header.channels if channel.file != "~")
    pieces = [blob, *(_beside(blob, name) for name in names)]
    for segment in header.segments:
        if segment.name != "~":
            inner = _beside(blob, f"{segment.name}.hea")
            sub = parse_header(inner.load())
            files = dict.fromkeys(c.file for c in sub.channels if c.file != "~")
            pieces += [inner, *(_beside(blob, name) for name in files)]
    return list(dict.fromkeys(pieces))


# --- one segment ------------------------------------------------------------------------------------------


def _stored(header: Header, blob: Blob) -> tuple[list[_Stored], int]:
    """Return every signal as it is stored, and the number of frames."""
    if not header.channels:
        raise InputError("a record without signals", needed="at least one signal line")
    groups: dict[str, list[Channel]] = {}
    for channel in header.channels:
        groups.setdefault(channel.file, []).append(channel)
    raw: dict[str, tuple[Ints, int]] = {}
    for file, group in groups.items():
        raw[file] = _frames_of(_beside(blob, file), group)
    held = max(len(samples) for samples, _ in raw.values())
    frames = header.frames if header.frames is not None else held
    if frames - held > max(held, _SLACK):
        raise InputError(
            f"the header promises {frames} samples a signal, its files hold {held}",
            needed="the whole signal file",
            fix="send the record again",
        )
    out: list[_Stored] = []
    column = dict.fromkeys(groups, 0)
    for channel in header.channels:
        samples, _ = raw[channel.file]
        start = column[channel.file]
        column[channel.file] = start + channel.per_frame
        own = samples[: frames + channel.skew, start : start + channel.per_frame].reshape(-1)
        if channel.fmt == 8:
            # Differences from the initial value; they wrap no further than the ADC does.
            own = np.cumsum(own, dtype=np.int32) + np.int32(channel.initial)
        out.append(_Stored(channel, own, max(frames - len(samples), 0)))
    return out, frames


def _frames_of(blob: Blob, group: list[Channel]) -> tuple[Ints, int]:
    """Return ``(frames, samples a frame)`` of one signal file."""
    fmt, offset = group[0].fmt, group[0].offset
    if any(c.fmt != fmt for c in group):
        raise InputError(f"{blob.file} in two storage formats", needed="one for all its signals")
    width = sum(c.per_frame for c in group)
    data = blob.load()
    if data[:10] == b"MATLAB 5.0":
        return _matlab5(blob, data, width), width
    samples = decode(data[offset:], fmt)
    whole = len(samples) // width
    return samples[: whole * width].reshape(whole, width), width


def _matlab5(blob: Blob, data: bytes, width: int) -> Ints:
    arrays = matlab_arrays(data)
    val = arrays.get("val")
    if val is None or val.ndim != 2 or val.shape[0] != width:
        raise InputError(f"{blob.file} holds {', '.join(arrays) or 'nothing'}", needed=f"val of {width} rows")
    return np.ascontiguousarray(val.T).astype(np.int32)


def _physical(stored: _Stored, samples: int) -> npt.NDArray[np.float32]:
    """Return one signal in mV, ``(samples,)``, skew undone, NaN where nothing was recorded."""
    channel = stored.channel
    factor = millivolts(channel.unit)
    assert factor is not None  # signals of other units were left out before
    start = channel.skew * channel.per_frame
    own = stored.samples[start : start + samples]
    out = np.full(samples, np.nan, np.float32)
    out[: len(own)] = (own.astype(np.float64) - channel.baseline) * (factor / channel.gain)
    lost = missing_code(channel.fmt)
    if lost is not None:
        out[: len(own)][own == lost] = np.nan
    return out


def _is_ecg(channel: Channel) -> bool:
    return millivolts(channel.unit) is not None and not is_other_signal(channel.name)


def _left_out(channels: Sequence[Channel]) -> tuple[str, ...]:
    others = [f"{c.name or 'unnamed'} [{c.unit}]" for c in channels if not _is_ecg(c)]
    return (f"signals that are no electrocardiogram were left out: {', '.join(others)}",) if others else ()


def _units(channels: Sequence[Channel]) -> tuple[tuple[str, str, str], ...]:
    """Return the doubt on standard leads in a unit that is no voltage."""
    odd = [f"{c.name} in {c.unit!r}" for c in channels if canonical(c.name) and millivolts(c.unit) is None]
    return ((f"leads left out: {', '.join(odd)}", "mV, uV or V", "correct the unit in the header"),) * bool(
        odd
    )


def _step_mV(channel: Channel) -> float:
    return abs((millivolts(channel.unit) or 0.0) / channel.gain)


def _rails_mV(channel: Channel) -> tuple[float, float]:
    """Return what the converter can say, mV: without limit where its width is not stated."""
    if not channel.bits:
        return -math.inf, math.inf
    half, factor = 1 << (channel.bits - 1), (millivolts(channel.unit) or 0.0) / channel.gain
    low, high = sorted((channel.zero + end - channel.baseline) * factor for end in (-half, half - 1))
    return low, high


def _waves(
    header: Header, frames: int, load: Callable[[list[int]], npt.NDArray[np.float32]]
) -> tuple[Wave, ...]:
    """Return one wave for each rate among the ECG signals; ``load`` gives the rows of some signals."""
    rates: dict[int, list[int]] = {}
    for n, channel in enumerate(header.channels):
        if _is_ecg(channel):
            rates.setdefault(channel.per_frame, []).append(n)
    if not rates:
        names = ", ".join(f"{c.name or 'unnamed'} [{c.unit}]" for c in header.channels)
        raise InputError(f"no electrocardiogram among {names}", needed="a signal in mV, uV or V")
    waves = []
    for per_frame, rows in rates.items():
        check_wave(len(rows), frames * per_frame, header.rate_hz * per_frame)
        name = "rhythm" if per_frame == next(iter(rates)) else f"rhythm x{per_frame}"
        chosen = [header.channels[n] for n in rows]
        waves.append(
            Wave(
                name,
                Lazy((len(rows), frames * per_frame), lambda rows=rows: load(rows)),  # type: ignore[misc]
                tuple(c.name or f"signal {n}" for n, c in zip(rows, chosen, strict=True)),
                header.rate_hz * per_frame,
                tuple(_step_mV(c) for c in chosen),
                rails_mV=tuple(_rails_mV(c) for c in chosen),
            )
        )
    return tuple(waves)


def _plain(header: Header, blob: Blob) -> tuple[tuple[Wave, ...], tuple[str, ...]]:
    """Return the waves of a record of one segment, and what was noticed in it."""
    stored, frames = _stored(header, blob)
    notes = [*_left_out(header.channels), *_noticed(stored, header)]

    def load(rows: list[int]) -> npt.NDArray[np.float32]:
        again, length = _stored(header, blob)
        return np.stack([_physical(again[n], length * again[n].channel.per_frame) for n in rows])

    return _waves(header, frames, load), tuple(notes)


def _noticed(stored: list[_Stored], header: Header) -> list[str]:
    notes = [note for s in stored for note in s.channel.notes]
    short = max(s.short for s in stored)
    if short:
        notes.append(f"the signal file ends {short / header.rate_hz:.3f} s early; the rest is empty")
    if header.frames is None:
        notes.append("the header does not say how long the record is; the signal file was taken whole")
    wrong = []
    for s in stored:
        # Sums are kept in 16 bit; a sum of 0 is what writers put that compute none.
        if s.channel.checksum and not s.short and s.channel.skew == 0:
            total = int(s.samples.sum(dtype=np.int64))
            if (total - s.channel.checksum) % 65536:
                wrong.append(s.channel.name or s.channel.file)
    if wrong:
        notes.append(f"the check sum of {', '.join(wrong)} differs from the header's")
    return notes


# --- several segments -------------------------------------------------------------------------------------


def _segmented(header: Header, blob: Blob) -> tuple[tuple[Wave, ...], tuple[str, ...]]:
    """Return the waves of a record of several segments; what a segment lacks is NaN.

    In the fixed layout every segment has the same signals. In the variable one the first
    segment has no samples and names them all; the others are matched to it by name.
    """
    parts = [
        (segment, None if segment.name == "~" else parse_header(_beside(blob, f"{segment.name}.hea").load()))
        for segment in header.segments
    ]
    real = [sub for _, sub in parts if sub is not None]
    if not real:
        raise InputError("a record of gaps only", needed="at least one segment")
    variable = header.segments[0].frames == 0
    layout = real[0]
    notes: list[str] = [*_left_out(layout.channels)]
    for segment, sub in parts:
        if sub is not None and sub.segments:
            raise InputError(f"segment {segment.name} has segments itself", needed="plain records")
        if sub is not None and segment.frames:
            stored, _ = _stored(sub, blob)
            notes += [f"segment {segment.name}: {note}" for note in _noticed(stored, sub)]
    frames = sum(segment.frames for segment, _ in parts)

    def load(rows: list[int]) -> npt.NDArray[np.float32]:
        chosen = [layout.channels[n] for n in rows]
        return _joined(parts, chosen, rows, variable, blob)

    return _waves(
        Header(header.name, header.rate_hz, frames, header.time, layout.channels, (), ()), frames, load
    ), tuple(notes)


def _joined(
    parts: list[tuple[Segment, Header | None]],
    chosen: list[Channel],
    rows: list[int],
    variable: bool,
    blob: Blob,
) -> npt.NDArray[np.float32]:
    """Return the chosen signals of all segments, one after the other."""
    per_frame = chosen[0].per_frame
    out = np.full((len(rows), sum(s.frames for s, _ in parts) * per_frame), np.nan, np.float32)
    at = 0
    for segment, sub in parts:
        length = segment.frames * per_frame
        if sub is not None and segment.frames:
            stored, _ = _stored(sub, blob)
            for row, (n, want) in enumerate(zip(rows, chosen, strict=True)):
                mine = (
                    next((s for s in stored if s.channel.name == want.name), None) if variable else stored[n]
                )
                if mine is not None and mine.channel.per_frame == per_frame and _is_ecg(mine.channel):
                    out[row, at : at + length] = _physical(mine, length)
        at += length
    return out


# --- writing ----------------------------------------------------------------------------------------------


def write_wfdb(
    ecg: Ecg, name: str, *, fmt: int = 16, comments: Sequence[str] = (), time: str = ""
) -> dict[str, bytes]:
    """Return the files of a record: ``name.hea`` and ``name.dat``.

    Parameters
    ----------
    fmt : 16 or 212
        Bits a sample: 16, or 12 packed.
    comments : sequence of str
        Such as ``Age: 69``.
    time : str
        Start, ISO 8601.
    """
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise InputError(f"the record name {name!r}", needed="letters, digits, _ and -")
    whole, steps = quantised(ecg, bits=BITS.get(fmt, 16), missing=True)
    stored = whole.T.reshape(-1)
    count = whole.shape[1]
    when = ""
    if time:
        date, _, clock = time.partition("T")
        year, month, day = date.split("-")
        when = f" {clock or '00:00:00'} {day}/{month}/{year}"
    lines = [f"{name} {len(ecg.leads)} {ecg.rate_hz:.12g} {count}{when}"]
    for row, step, lead in zip(whole, steps, ecg.leads, strict=True):
        total = (int(row.sum()) + 32768) % 65536 - 32768
        bits = 16 if fmt == 16 else 12
        lines.append(
            f"{name}.dat {fmt} {1 / step:.15g}(0)/mV {bits} 0 {int(row[0])} {total} 0 {_label(lead)}"
        )
    lines += [f"# {comment}" for comment in comments]
    return {f"{name}.hea": ("\n".join(lines) + "\n").encode(), f"{name}.dat": encode(stored, fmt)}


def _label(lead: str) -> str:
    return canonical(lead) or " ".join(lead.split())
