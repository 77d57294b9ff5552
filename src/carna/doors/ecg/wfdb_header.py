"""WFDB headers: the record line, the signal lines or the segments, and the comments.

Described in the WFDB Applications Guide, header(5)
(https://physionet.org/physiotools/wag/header-5.htm).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from carna.doors.ecg.recording import iso_time, number, sex_of
from carna.errors import InputError

__all__ = ["Channel", "Header", "Segment", "Subject", "is_record_line", "parse_header", "subject_of"]

_RECORD = re.compile(
    r"(?P<name>[-\w./]+?)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d+)"
    r"(?:[ \t]+(?P<rate>[-+.\deE]+|[-+]?(?:inf|nan)\w*)(?:/[-+.\deE]+(?:\([-+.\deE]+\))?)?"
    r"(?:[ \t]+(?P<samples>\d+)(?:[ \t]+(?P<when>[\d:./ \t-]+))?)?)?\s*"
)
_FORMAT = re.compile(r"(?P<fmt>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(r"(?P<gain>[-+.\deE]+)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?")
_RATE_HZ = 250.0  # header(5): the rate of a record that states none
_GAIN_DEFAULT = 200.0  # header(5): the gain of a signal that states none, or 0


@dataclass(frozen=True, slots=True)
class Channel:
    """One signal line; ``gain`` in steps a unit, ``notes`` on what it leaves to the format's defaults.

    ``bits`` and ``zero`` are the converter's width, 0 if it is not stated, and its middle.
    """

    file: str
    fmt: int
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    initial: int
    checksum: int | None
    name: str
    notes: tuple[str, ...] = ()
    bits: int = 0
    zero: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """One line of a record of several segments; ``~`` is a gap, length 0 a layout."""

    name: str
    frames: int


@dataclass(frozen=True, slots=True)
class Header:
    """One ``.hea`` file; ``frames`` is None where it does not say how many."""

    name: str
    rate_hz: float
    frames: int | None
    time: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the comments say of the person: age, sex, diagnosis codes and sentences, the rest as it is."""

    age_a: float | None
    sex: Literal["female", "male", "other"] | None
    codes: tuple[str, ...]
    sentences: tuple[str, ...]
    rest: tuple[tuple[str, str], ...]


def is_record_line(head: bytes) -> bool:
    """Return True if some first bytes are those of a WFDB header."""
    for line in head.decode("latin-1").splitlines():
        if line.strip() and not line.startswith("#"):
            return _RECORD.fullmatch(line.strip()) is not None
    return False


def parse_header(data: bytes) -> Header:
    """Return a header.

    Raises
    ------
    InputError
        If a line is not what the format says, or promises what cannot be.
    """
    # No line of a header is long; a cut keeps the patterns below from wandering in a damaged file.
    lines = [line[:2000].strip() for line in data.decode("utf-8", "replace").splitlines()]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    body = [line for line in lines if line and not line.startswith("#")]
    match = _RECORD.fullmatch(body[0]) if body else None
    if match is None:
        raise InputError(
            "no record line", needed="a line such as '100 2 360 650000'", fix="send the header again"
        )
    rate = number(match["rate"]) if match["rate"] else _RATE_HZ
    if rate is None or not rate > 0:
        raise InputError(
            f"a sampling rate of {match['rate']} Hz",
            needed="a finite rate above 0",
            fix="correct the header's first line",
        )
    frames = int(match["samples"]) if match["samples"] and int(match["samples"]) else None
    count = int(match["segments"] or match["signals"])
    if len(body) - 1 < count:
        raise InputError(f"{len(body) - 1} lines after the record line", needed=f"{count} as it says")
    segments: tuple[Segment, ...] = ()
    channels: tuple[Channel, ...] = ()
    if match["segments"]:
        segments = tuple(_segment(line) for line in body[1 : count + 1])
    else:
        channels = tuple(_channel(line) for line in body[1 : count + 1])
    return Header(match["name"], rate, frames, _time(match), channels, segments, comments)


def _time(match: re.Match[str]) -> str:
    # Time before date, as the format says; some writers put the date first.
    words = (match["when"] or "").split()
    clock = next((word for word in words if ":" in word), "")
    date = next((word for word in words if ":" not in word), "")
    if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", date):
        day, month, year = date.split("/")
        date = f"{year}-{int(month):02d}-{int(day):02d}"
    return iso_time(date, clock)


def _segment(line: str) -> Segment:
    match = re.fullmatch(r"(\S+)\s+(\d+)", line)
    if match is None:
        raise InputError(f"the segment line {line[:80]!r}", needed="a record name and a number of samples")
    return Segment(match[1], int(match[2]))


def _channel(line: str) -> Channel:
    # The description is the ninth field and may hold blanks.
    words = line.split(None, 8)
    form = _FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if form is None:
        raise InputError(f"the signal line {line[:80]!r}", needed="a file name and a storage format")
    notes: list[str] = []
    gain, baseline, unit = 0.0, None, ""
    if len(words) > 2:
        scale = _GAIN.fullmatch(words[2])
        value = number(scale["gain"]) if scale else None
        if scale is None or value is None:
            raise InputError(f"the gain {words[2]!r}", needed="a number such as 200, 200(1024) or 1000/mV")
        gain, unit = value, scale["unit"] or ""
        baseline = int(scale["baseline"]) if scale["baseline"] else None
    # Beyond this no sample of 32 bits is a voltage of a heart.
    if gain != 0 and not 1e-6 <= abs(gain) <= 1e15:
        raise InputError(f"a gain of {gain}", needed="steps a unit, such as 200", fix="correct the header")
    name = words[8].strip() if len(words) > 8 else ""
    if gain == 0:
        gain = _GAIN_DEFAULT
        notes.append(
            f"{name or 'a signal'} has no calibration; the format's default of 200 steps/mV was taken"
        )
    try:
        bits = int(words[3]) if len(words) > 3 else 0
        zero = int(words[4]) if len(words) > 4 else 0
        initial = int(words[5]) if len(words) > 5 else zero
        checksum = int(words[6]) if len(words) > 6 else None
    except ValueError:
        raise InputError(f"the signal line {line[:80]!r}", needed="whole numbers after the gain") from None
    if max(abs(zero), abs(initial), abs(baseline or 0), abs(checksum or 0)) > 1 << 40:
        raise InputError(f"the signal line {line[:80]!r}", needed="numbers that samples can reach")
    return Channel(
        words[0],
        int(form["fmt"]),
        max(int(form["per_frame"] or 1), 1),
        int(form["skew"] or 0),
        int(form["offset"] or 0),
        gain,
        zero if baseline is None else baseline,
        unit or "mV",
        initial,
        checksum,
        name,
        tuple(notes),
        bits if 0 < bits <= 32 else 0,
        zero,
    )


_PAIR = re.compile(r"<?([A-Za-z][\w /()-]*?)>?\s*:\s*(.*)")
_TERSE = re.compile(r"(-?\d+)\s+([MF])\b.*")  # MIT-BIH: "69 M 1085 1629 x1"
_BOTH = re.compile(r"age:\s*(\S+)\s+sex:\s*(\S+).*", re.IGNORECASE)  # European ST-T: "Age: 61  Sex: M"


def subject_of(comments: tuple[str, ...]) -> Subject:
    """Return what a header's comments say of the person.

    Understood are the words of MIT-BIH, the European ST-T, LUDB and the PhysioNet challenges;
    every other line is kept as it is.
    """
    age: str | None = None
    sex: str | None = None
    dx: list[str] = []
    sentences: list[str] = []
    rest: list[tuple[str, str]] = []
    diagnoses = False
    for line in comments:
        if terse := (_TERSE.fullmatch(line) or _BOTH.fullmatch(line)):
            age, sex = terse.groups()
            continue
        pair = _PAIR.fullmatch(line)
        key = pair[1].strip().lower() if pair else ""
        value = pair[2].strip() if pair else line
        if diagnoses and key not in ("age", "sex"):
            sentences.append(line)
        elif key == "age":
            age = value
        elif key == "sex":
            sex = value
        elif key == "dx":
            dx += [code for code in re.split(r"[,\s]+", value) if code]
        elif key == "diagnoses":
            diagnoses = True
        elif line and value.lower() not in ("", "unknown"):
            rest.append((pair[1].strip() if pair else "comment", value))
    years = number(age)
    # -1 and NaN are these sets' words for an age that is not known.
    known = years if years is not None and 0 <= years <= 130 else None
    return Subject(known, sex_of(sex), tuple(dx), tuple(s for s in sentences if s), tuple(rest))
