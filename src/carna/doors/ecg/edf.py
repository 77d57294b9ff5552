"""EDF, EDF+ and BDF: read; EDF written.

A file is a header of fixed columns and data records of equal duration; in each record every
signal has its own number of samples. EDF+ adds a channel of annotations, which also says when a
record begins if they do not follow each other (EDF+D); gaps become NaN.
Kemp 1992, doi:10.1016/0013-4694(92)90009-7; Kemp 2003, doi:10.1016/s1388-2457(03)00123-8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.codes import Concept
from carna.doors.ecg.events import Gathered
from carna.doors.ecg.leads import canonical, is_other_signal, millivolts
from carna.doors.ecg.recording import (
    Prior,
    Recording,
    Wave,
    check_wave,
    iso_time,
    number,
    part_uid,
    quantised,
    scaled,
    sex_of,
    study_uid,
)
from carna.doors.files import Blob
from carna.errors import InputError
from carna.study import Ecg, Lazy, Patient

__all__ = ["read_edf", "write_edf"]

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ECG_NAME = re.compile(r"\b(ecg|ekg)\b|^ecg|^ekg", re.IGNORECASE)
# 48 hours of gaps at most between the records of one file.
_MAX_GAP_S = 172_800.0


@dataclass(frozen=True, slots=True)
class _Signal:
    """One column of a data record."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    prefilter: str
    count: int
    start: int

    @property
    def annotations(self) -> bool:
        return self.label in ("EDF Annotations", "BDF Annotations")

    @property
    def ecg(self) -> bool:
        voltage = millivolts(self.unit) is not None
        named = canonical(self.label) is not None or _ECG_NAME.search(self.label) is not None
        return voltage and named and not self.annotations and not is_other_signal(self.label.split(" ")[0])


@dataclass(frozen=True, slots=True)
class _Top:
    """The header."""

    patient: str
    recording: str
    time: str
    reserved: str
    records: int
    duration_s: float
    bytes: int
    width: int
    signals: tuple[_Signal, ...]


def _field(data: bytes, start: int, length: int) -> str:
    return data[start : start + length].decode("latin-1").strip(" \0")


def _header(data: bytes) -> _Top:
    width = 3 if data[:1] == b"\xff" else 2
    count, records = number(_field(data, 252, 4)), number(_field(data, 236, 8))
    duration = number(_field(data, 244, 8))
    if count is None or records is None or duration is None or not 1 <= count <= 4096 or duration < 0:
        raise InputError(
            "an EDF header without signals, records or duration",
            needed="a whole header",
            fix="export the recording to EDF again",
        )
    n = int(count)
    if len(data) < 256 * (n + 1):
        raise InputError(
            f"an EDF header of {len(data)} bytes", needed=f"{256 * (n + 1)}", fix="send it again"
        )
    columns: list[list[str]] = []
    at = 256
    for length in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        columns.append([_field(data, at + k * length, length) for k in range(n)])
        at += n * length
    signals = []
    start = 0
    for k in range(n):
        label, _, unit, p0, p1, d0, d1, prefilter, size, _ = (column[k] for column in columns)
        samples = number(size)
        limits = [number(v) for v in (p0, p1, d0, d1)]
        if samples is None or not 1 <= samples <= 1 << 24:
            raise InputError(
                f"signal {label!r} of {size!r} samples a record",
                needed="a whole number above 0",
                fix="export the recording to EDF again",
            )
        a, b, c, d = (0.0 if v is None else v for v in limits)
        signals.append(_Signal(label, unit, (a, b), (c, d), prefilter, int(samples), start))
        start += int(samples)
    return _Top(
        _field(data, 8, 80),
        _field(data, 88, 80),
        _start_time(_field(data, 168, 8), _field(data, 176, 8), _field(data, 88, 80)),
        _field(data, 192, 44),
        int(records),
        duration,
        256 * (n + 1),
        width,
        tuple(signals),
    )


def _start_time(date: str, clock: str, recording: str) -> str:
    day = re.fullmatch(r"(\d\d)\.(\d\d)\.(\d\d)", date)
    if day is None:
        return ""
    year = int(day[3])
    # EDF's own rule for two digits; EDF+ states the whole year in the recording field.
    full = str(year + (1900 if year >= 85 else 2000))
    stated = re.match(r"Startdate \d\d-[A-Z]{3}-(\d{4})", recording)
    return iso_time(f"{stated[1] if stated else full}-{day[2]}-{day[1]}", clock.replace(".", ":"))


def read_edf(blob: Blob) -> Recording:
    """Return the ECG of an EDF or BDF file; channels of other kinds are named in a note.

    Raises
    ------
    InputError
        If the header is damaged or no channel is an ECG.
    """
    data = blob.load()
    top = _header(data)
    chosen = [s for s in top.signals if s.ecg]
    if not chosen:
        labels = ", ".join(s.label for s in top.signals)
        raise InputError(
            f"no ECG among {labels}"[:300],
            needed="a channel named ECG or after a lead, in uV or mV",
            fix="name the channel so in the EDF header",
        )
    notes: list[str] = []
    samples, size = _records(data, top, notes)
    starts, texts = _timed(data, top, samples, size)
    study = study_uid(data)
    waves: list[Wave] = []
    for count in dict.fromkeys(s.count for s in chosen):
        group = [s for s in chosen if s.count == count]
        waves.append(_wave(group, top, samples, starts, "rhythm" if not waves else f"rhythm x{count}"))
    others = [s.label for s in top.signals if not s.ecg and not s.annotations]
    if others:
        notes.append(f"channels that are no ECG were left out: {', '.join(others)}")
    odd = [f"{s.label} in {s.unit!r}" for s in top.signals if canonical(s.label) and not millivolts(s.unit)]
    part = part_uid(study, waves[0].name)
    gathered = Gathered()
    for onset, text in texts:
        gathered.add("marks", _concept(text), "", onset)
    items = gathered.items(part, waves[0].leads)
    form = ("BDF" if top.width == 3 else "EDF") + ("+" if top.reserved[3:4] == "+" else "")
    return Recording(
        study,
        form,
        blob.file,
        tuple(waves),
        _person(top),
        top.time,
        _equipment(top.recording),
        priors=(Prior(f"{form} annotations", items),) if items else (),
        notes=tuple(notes),
        doubts=((f"leads left out: {', '.join(odd)}", "mV, uV or V", "correct the unit in the header"),)
        * bool(odd),
    )


def _concept(text: str) -> Concept:
    word = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").upper() or "NOTE"
    return Concept(f"EDF-{word}"[:16], "99CARNA", text[:64], source="EDF+ annotation")


def _person(top: _Top) -> Patient:
    """Return who it is; EDF+ has id, sex, birth date and name in four words, X for unknown."""
    words = top.patient.split()
    if top.reserved[3:4] == "+" and len(words) >= 4:
        id, sex, birth, name = ("" if word == "X" else word for word in words[:4])
        day = re.fullmatch(r"(\d\d)-([A-Z]{3})-(\d{4})", birth.upper())
        iso = ""
        if day and day[2] in _MONTHS:
            iso = iso_time(f"{day[3]}-{_MONTHS.index(day[2]) + 1:02d}-{day[1]}")
        return Patient(id.replace("_", " "), "", name.replace("_", " "), iso, sex_of(sex))
    return Patient(top.patient if top.patient.strip("X ") else "")


def _equipment(recording: str) -> str:
    words = recording.split()
    return (
        words[4].replace("_", " ") if len(words) > 4 and words[0] == "Startdate" and words[4] != "X" else ""
    )


# --- data records -----------------------------------------------------------------------------------------


def _records(data: bytes, top: _Top, notes: list[str]) -> tuple[npt.NDArray[np.int32], int]:
    """Return all whole records ``(records, samples)`` and the samples of one."""
    size = sum(s.count for s in top.signals)
    held = (len(data) - top.bytes) // (size * top.width)
    if held < 1:
        raise InputError("no whole data record", needed="at least one", fix="send the file again")
    if top.records not in (-1, held):
        short = top.records - held
        notes.append(
            f"the file ends {short} records early"
            if short > 0
            else f"{-short} records more than the header says"
        )
    body = data[top.bytes : top.bytes + held * size * top.width]
    if top.width == 2:
        return np.frombuffer(body, "<i2").astype(np.int32).reshape(held, size), size
    low, mid, high = np.frombuffer(body, np.uint8).reshape(-1, 3).astype(np.int32).T
    return np.asarray((high << 24 | mid << 16 | low << 8) >> 8).reshape(held, size), size


def _timed(
    data: bytes, top: _Top, samples: npt.NDArray[np.int32], size: int
) -> tuple[npt.NDArray[np.float64], list[tuple[float, str]]]:
    """Return when each record begins, s, and the annotations with a text."""
    starts = np.asarray(np.arange(len(samples)) * top.duration_s, np.float64)
    column = [s for s in top.signals if s.annotations]
    if not column:
        return starts, []
    texts: list[tuple[float, str]] = []
    for n in range(len(samples)):
        for k, signal in enumerate(column):
            at = top.bytes + (n * size + signal.start) * top.width
            for position, tal in enumerate(data[at : at + signal.count * top.width].split(b"\0")):
                words = tal.decode("utf-8", "replace").rstrip("\x14").split("\x14")
                onset = number(words[0].split("\x15")[0])
                if onset is None or not tal:
                    continue
                if k == 0 and position == 0:
                    starts[n] = onset
                texts += [(onset, word) for word in words[1:] if word]
    zero = float(starts[0])
    return np.asarray(starts - zero, np.float64), sorted((onset - zero, text) for onset, text in texts)


def _wave(
    group: Sequence[_Signal],
    top: _Top,
    samples: npt.NDArray[np.int32],
    starts: npt.NDArray[np.float64],
    name: str,
) -> Wave:
    count = group[0].count
    if top.duration_s <= 0:
        raise InputError(
            "ECG in records of no duration",
            needed="a duration above 0",
            fix="export the recording to EDF again",
        )
    rate = count / top.duration_s
    span = float(starts.max() - starts.min())
    if not np.isfinite(starts).all() or span > len(samples) * top.duration_s + _MAX_GAP_S or starts.min() < 0:
        raise InputError(
            "records that begin before the first or days apart",
            needed="one recording",
            fix="export each recording to a file of its own",
        )
    # Annotated starts are rounded; records that follow each other stay exactly so.
    even = np.arange(len(samples)) * count
    places = np.rint(starts * rate).astype(np.int64)
    if np.abs(places - even).max() <= 1:
        places = even
    length = int(places.max()) + count
    check_wave(len(group), length, rate)
    values = np.full((len(group), length), np.nan, np.float32)
    steps = []
    for row, signal in zip(values, group, strict=True):
        (p0, p1), (d0, d1) = signal.physical, signal.digital
        factor = millivolts(signal.unit) or 0.0
        if d0 == d1 or p0 == p1:
            raise InputError(
                f"{signal.label} without a scale", needed="different limits", fix="correct the header"
            )
        gain = (p1 - p0) / (d1 - d0)
        steps.append(abs(gain * factor))
        stored = samples[:, signal.start : signal.start + count]
        physical = scaled(stored, gain * factor, p0 * factor, d0)
        for place, part in zip(places.tolist(), physical, strict=True):
            row[place : place + count] = part
    facts = {s.label: s.prefilter for s in group if s.prefilter}
    rails = tuple(_rails_mV(s) for s in group)
    return Wave(
        name, Lazy.of(values), tuple(s.label for s in group), rate, tuple(steps), facts=facts, rails_mV=rails
    )


def _rails_mV(signal: _Signal) -> tuple[float, float]:
    """Return the physical limits, mV, where they are those of a converter and not of the recording."""
    low, high = sorted(signal.digital)
    if not (math.log2(max(high + 1, 1)).is_integer() and low in (-high - 1, -high, 0)):
        return -math.inf, math.inf
    factor = millivolts(signal.unit) or 0.0
    least, most = sorted(v * factor for v in signal.physical)
    return least, most


# --- writing ----------------------------------------------------------------------------------------------


def write_edf(ecg: Ecg, *, patient: str = "X", time: str = "") -> bytes:
    """Return an EDF file with one signal a lead, in µV.

    Parameters
    ----------
    patient : str
        At most 80 characters of ASCII.
    time : str
        Start, ISO 8601.

    Raises
    ------
    InputError
        If samples are missing, or no record duration of EDF holds a whole number of them.
    """
    whole, steps = quantised(ecg)
    count, duration = _record_size(whole.shape[1], ecg.rate_hz)
    records = whole.shape[1] // count
    limits = []
    for n, step in enumerate(steps):
        # The limits have eight characters; the step is the one they say, at least the one wanted.
        bound = _seven(step * 1000 * 32767)
        limits.append(bound)
        told = float(bound) / 32767 / 1000
        if told != step:
            whole[n] = np.rint(np.asarray(ecg.values.array[n], np.float64) / told).astype(np.int64)
    date = "01.01.85" if not time else f"{time[8:10]}.{time[5:7]}.{time[2:4]}"
    clock = (time.partition("T")[2] or "00:00:00").replace(":", ".")[:8]
    n = len(ecg.leads)
    top = [
        ("0", 8), (patient.encode("ascii", "replace").decode()[:80], 80), ("", 80), (date, 8), (clock, 8),
        (str(256 * (n + 1)), 8), ("", 44), (str(records), 8), (duration, 8), (str(n), 4),
    ]  # fmt: skip
    columns: list[tuple[list[str], int]] = [
        ([f"ECG {lead}" if canonical(lead) else lead for lead in ecg.leads], 16),
        ([""] * n, 80),
        (["uV"] * n, 8),
        ([f"-{bound}" for bound in limits], 8),
        (limits, 8),
        (["-32767"] * n, 8),
        (["32767"] * n, 8),
        ([""] * n, 80),
        ([str(count)] * n, 8),
        ([""] * n, 32),
    ]
    text = "".join(value[:size].ljust(size) for value, size in top)
    text += "".join(value[:size].ljust(size) for values, size in columns for value in values)
    body = whole.reshape(n, records, count).transpose(1, 0, 2).astype("<i2").tobytes()
    return text.encode("ascii", "replace") + body


def _seven(value: float) -> str:
    """Return a number above 0 in at most seven characters, so that its negative has eight; rounded up."""
    for digits in range(6, -1, -1):
        text = f"{np.ceil(value * 10**digits) / 10**digits:.{digits}f}"
        if len(text) <= 7:
            return text
    raise InputError(f"an amplitude of {value} µV", needed="below 10 V")


def _record_size(samples: int, rate_hz: float) -> tuple[int, str]:
    """Return samples a record, and the duration as text, so that no sample is lost or added."""
    for count in sorted(
        (c for c in range(1, samples + 1) if samples % c == 0), key=lambda c: abs(c - rate_hz)
    ):
        text = f"{count / rate_hz:.6f}".rstrip("0").rstrip(".")
        if len(text) <= 8 and float(text) > 0 and abs(count / float(text) - rate_hz) < 1e-9 * rate_hz:
            return count, text
    raise InputError(f"{samples} samples at {rate_hz} Hz", needed="a record duration that EDF can write")
