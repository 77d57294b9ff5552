"""SCP-ECG (EN 1064, ISO 11073-91064): read, and written without or with Huffman coding.

Sections are found by the pointers of section 0. Rhythm data that were reduced by subtracting a
reference beat, or thinned outside the QRS complexes, are put together again as the standard says;
no file of a real device was at hand for those two, and a note says so.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.doors.ecg.leads import from_scp, scp_number
from carna.doors.ecg.recording import (
    Prior,
    Recording,
    Sex,
    Wave,
    check_wave,
    iso_time,
    measured,
    part_uid,
    quantised,
    scaled,
    stated,
    study_uid,
)
from carna.doors.ecg.scp_huffman import (
    Table,
    differences,
    huffman_decode,
    huffman_encode,
    integrate,
    tables_of,
)
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Evidence, Item, Measurement, Unknown
from carna.study import Ecg, Lazy, Patient

__all__ = ["read_scp", "write_scp"]

Ints = npt.NDArray[np.int64]
_NOT_MEASURED = 29000  # 29999 and its neighbours: not computed, rejected, absent
_THINNING = 4
# Section 10, words of a lead: position, id, concept, unit.
_LEAD_WORDS: tuple[tuple[int, str, Concept, str], ...] = (
    (0, "p_duration", codes.P_DURATION_LEAD, "ms"),
    (2, "qrs_duration", codes.QRS_DURATION_LEAD, "ms"),
    (9, "q_amplitude", codes.Q_AMPLITUDE_LEAD, "uV"),
    (10, "r_amplitude", codes.R_AMPLITUDE_LEAD, "uV"),
    (11, "s_amplitude", codes.S_AMPLITUDE_LEAD, "uV"),
    (14, "j_amplitude", codes.J_AMPLITUDE_LEAD, "uV"),
)


@dataclass(frozen=True, slots=True)
class _Leads:
    """Section 3: which leads, from which sample to which (from 1, inclusive), and how they were reduced."""

    numbers: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    subtracted: bool


@dataclass(frozen=True, slots=True)
class _Block:
    """Section 5 or 6: samples of every lead as whole steps."""

    step_nV: int
    interval_us: int
    thinned: bool
    rows: tuple[Ints, ...]


def read_scp(blob: Blob) -> Recording:
    """Return the recording of an SCP-ECG file.

    Raises
    ------
    InputError
        If the pointers, the leads or the samples are missing or damaged.
    """
    data = blob.load()
    notes: list[str] = []
    sections = _sections(data, notes)
    if 3 not in sections or (6 not in sections and 5 not in sections):
        raise InputError(f"an SCP-ECG file of sections {sorted(sections)}", needed="3 and one of 5 and 6")
    leads = _leads(sections[3])
    tables = tables_of(sections[2]) if len(sections.get(2, b"")) >= 2 else None
    beat = _block(sections[5], leads, tables, _beat_lengths(sections)) if 5 in sections else None
    waves: list[Wave] = []
    if 6 in sections:
        lengths = [last - first + 1 for first, last in leads.spans]
        rhythm = _block(sections[6], leads, tables, lengths)
        waves.append(_rhythm(rhythm, beat, leads, sections.get(4, b""), notes))
    if beat is not None:
        waves.append(_wave("median", beat.rows, beat, leads.numbers, notes=()))
    study = study_uid(data)
    part = part_uid(study, waves[0].name)
    tags = dict(_tags(sections.get(1, b"")))
    items = (*_global(sections.get(7, b""), part), *_by_lead(sections.get(10, b""), part))
    texts = stated(_texts(sections.get(8, b"")), part, "the cart")
    return Recording(
        study,
        "SCP-ECG",
        blob.file,
        tuple(waves),
        _patient(tags),
        _moment(tags),
        _text(tags.get(14, b"")[36:]),
        age_a=_age(tags.get(4, b"")),
        height_cm=_scaled(tags.get(6, b""), {1: 1.0, 2: 2.54, 3: 0.1}),
        weight_kg=_scaled(tags.get(7, b""), {1: 1.0, 2: 0.001, 3: 0.45359237, 4: 0.028349523125}),
        priors=(Prior("SCP-ECG cart", (*items, *texts)),) if items or texts else (),
        notes=tuple(notes),
    )


def _sections(data: bytes, notes: list[str]) -> dict[int, bytes]:
    """Return the bodies of all sections that are there, by number, without their headers."""
    if len(data) < 6 + 16 + 120:
        raise InputError(f"an SCP-ECG file of {len(data)} bytes", needed="section 0 with its pointers")
    crc, size = struct.unpack_from("<HI", data)
    if size != len(data):
        notes.append(f"the file has {len(data)} bytes where its header says {size}")
    if crc != binascii.crc_hqx(data[2:], 0xFFFF):
        notes.append("the check sum of the file is wrong")
    zero = struct.unpack_from("<I", data, 10)[0]
    found: dict[int, bytes] = {}
    wrong: list[str] = []
    for at in range(22, min(6 + zero, len(data)) - 9, 10):
        id, length, index = struct.unpack_from("<HII", data, at)
        start = index - 1  # counted from 1
        if id == 0 or length <= 16 or index == 0:
            continue
        if start < 6 or start + length > len(data):
            notes.append(f"section {id} lies beyond the end of the file and was left out")
            continue
        section = data[start : start + length]
        if struct.unpack_from("<H", section)[0] != binascii.crc_hqx(section[2:], 0xFFFF):
            wrong.append(str(id))
        found.setdefault(id, section[16:])
    if wrong:
        notes.append(f"the check sum of section {', '.join(wrong)} is wrong")
    return found


def _beat_lengths(sections: dict[int, bytes]) -> list[int] | None:
    """Return the samples of the reference beat in each lead, as section 4 says, None if it is not there."""
    four, five = sections.get(4, b""), sections[5]
    if len(four) < 2 or len(five) < 4:
        return None
    span_ms, interval_us = struct.unpack_from("<H", four)[0], struct.unpack_from("<H", five, 2)[0]
    return [int(span_ms * 1000 / max(interval_us, 1))] * sections[3][0] if span_ms else None


def _leads(body: bytes) -> _Leads:
    if len(body) < 2 or len(body) < 2 + 9 * body[0] or not body[0]:
        raise InputError("section 3 without its leads", needed="9 bytes for each")
    rows = [struct.unpack_from("<IIB", body, 2 + 9 * n) for n in range(body[0])]
    for first, last, id in rows:
        if not 1 <= first <= last or last - first >= 1 << 28:
            raise InputError(f"lead {from_scp(id)} from sample {first} to {last}", needed="1 to its last one")
    return _Leads(tuple(id for _, _, id in rows), tuple((a, b) for a, b, _ in rows), bool(body[1] & 1))


def _block(body: bytes, leads: _Leads, tables: Sequence[Table] | None, lengths: list[int] | None) -> _Block:
    """Return the samples of a section 5 or 6; ``lengths`` is how many each lead has, if that is known."""
    if len(body) < 6:
        raise InputError(f"samples in a section of {len(body)} bytes", needed="its header")
    step, interval, encoding, flag = struct.unpack_from("<HHBB", body)
    count = len(leads.numbers)
    if not step or not interval or encoding > 2 or len(body) < 6 + 2 * count:
        raise InputError(
            f"samples of {step} nV every {interval} µs in encoding {encoding}",
            needed="numbers above 0, encoding 0-2",
        )
    sizes = struct.unpack_from(f"<{count}H", body, 6)
    at = 6 + 2 * count
    rows: list[Ints] = []
    for n, size in enumerate(sizes):
        chunk = body[at : at + size]
        at += size
        if tables is None:
            values = np.frombuffer(chunk[: len(chunk) // 2 * 2], "<i2").astype(np.int64)
        else:
            # Filling bits at the end decode as zeros; the announced length cuts them off.
            values = huffman_decode(chunk, tables, lengths[n] if lengths else len(chunk) * 8)
        rows.append(integrate(values, encoding))
    return _Block(step, interval, bool(flag), tuple(rows))


def _wave(
    name: str,
    rows: Sequence[Ints],
    block: _Block,
    numbers: Sequence[int],
    notes: Sequence[str],
    starts: Sequence[int] = (),
) -> Wave:
    begin = starts or (0,) * len(rows)
    length = max((at + len(row) for at, row in zip(begin, rows, strict=True)), default=0)
    rate = float(f"{1e6 / block.interval_us:.9g}")
    check_wave(len(rows), length, rate)
    if length > 4 * max(len(row) for row in rows) + (1 << 20):
        raise InputError("leads that begin hours apart", needed="one recording")
    step_mV = block.step_nV * 1e-6
    values = np.full((len(rows), length), np.nan, np.float32)
    for out, at, row in zip(values, begin, rows, strict=True):
        out[at : at + len(row)] = scaled(row, step_mV)
    leads = tuple(from_scp(number) for number in numbers)
    lsb = (step_mV,) * len(rows)
    return Wave(name, Lazy.of(values), leads, rate, lsb, name == "median", tuple(notes))


def _rhythm(block: _Block, beat: _Block | None, leads: _Leads, zones: bytes, notes: list[str]) -> Wave:
    rows = list(block.rows)
    full = [last - first + 1 for first, last in leads.spans]
    protected, places = _zones(zones)
    if block.thinned:
        notes.append(
            "thinned outside the QRS complexes; interpolated as the standard says, unverified on real files"
        )
        rows = [_thicken(row, n, protected) for row, n in zip(rows, full, strict=True)]
    if leads.subtracted and beat is not None:
        notes.append("reference beats added back as the standard says, unverified on real files")
        rows = [
            _add_beats(row, ref, first, places, beat.step_nV / block.step_nV)
            for row, ref, (first, _) in zip(rows, beat.rows, leads.spans, strict=True)
        ]
    short = [from_scp(id) for id, row, n in zip(leads.numbers, rows, full, strict=True) if len(row) < n]
    if short:
        notes.append(f"fewer samples than announced in {', '.join(short)}")
    zero = min(first for first, _ in leads.spans)
    starts = [first - zero for first, _ in leads.spans]
    cut = [row[:n] for row, n in zip(rows, full, strict=True)]
    return _wave("rhythm", cut, block, leads.numbers, (), starts)


_Zone = tuple[int, int]


def _zones(body: bytes) -> tuple[list[_Zone], list[tuple[int, int, int, int]]]:
    """Return the protected zones, and of each reference beat (begin, fiducial, end, offset in the beat)."""
    if len(body) < 6:
        return [], []
    _, centre, count = struct.unpack_from("<HHH", body)
    zones: list[_Zone] = []
    places: list[tuple[int, int, int, int]] = []
    for n in range(count):
        if 6 + 14 * n + 14 > len(body):
            break
        kind, begin, fiducial, end = struct.unpack_from("<HIII", body, 6 + 14 * n)
        if kind == 0 and begin:
            places.append((begin, fiducial, end, centre))
    for n in range(count):
        at = 6 + 14 * count + 8 * n
        if at + 8 > len(body):
            break
        zones.append(struct.unpack_from("<II", body, at))
    return zones, places


def _thicken(row: Ints, length: int, zones: list[_Zone]) -> Ints:
    """Return a lead at its full rate: zones as they are, one in four samples interpolated between them."""
    inside = np.zeros(length, bool)
    for first, last in zones:
        inside[max(first - 1, 0) : last] = True
    # Each thinned sample is the mean of four, so it stands in their middle.
    times: list[float] = []
    at = 0
    while at < length and len(times) < len(row):
        if inside[at]:
            times.append(float(at))
            at += 1
        else:
            stop = at
            while stop < length and stop < at + _THINNING and not inside[stop]:
                stop += 1
            times.append((at + stop - 1) / 2)
            at = stop
    used = row[: len(times)]
    if not len(used):
        return row
    return np.asarray(np.rint(np.interp(np.arange(length), times, used)), np.int64)


def _add_beats(
    row: Ints, beat: Ints, first: int, places: list[tuple[int, int, int, int]], ratio: float
) -> Ints:
    out = row.astype(np.float64)
    for begin, fiducial, end, centre in places:
        for sample in range(max(begin, first), min(end, first + len(row) - 1) + 1):
            index = sample - fiducial + centre - 1
            if 0 <= index < len(beat):
                out[sample - first] += beat[index] * ratio
    return np.asarray(np.rint(out), np.int64)


# --- words and numbers ------------------------------------------------------------------------------------


def _tags(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 3 <= len(body) and body[at] != 255:
        size = int.from_bytes(body[at + 1 : at + 3], "little")
        yield body[at], body[at + 3 : at + 3 + size]
        at += 3 + size


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("latin-1").strip()


def _patient(tags: dict[int, bytes]) -> Patient:
    name = "^".join((_text(tags.get(0, b"")), _text(tags.get(1, b"")))).strip("^")
    sex: Sex | None = {1: "male", 2: "female"}.get(tags.get(8, b"\0")[0] if tags.get(8) else 0)  # type: ignore[assignment]
    return Patient(_text(tags.get(2, b"")), "", name, _date(tags.get(5, b"")), sex)


def _date(value: bytes) -> str:
    if len(value) < 4:
        return ""
    return iso_time(f"{int.from_bytes(value[:2], 'little'):04d}-{value[2]:02d}-{value[3]:02d}")


def _moment(tags: dict[int, bytes]) -> str:
    date, clock = _date(tags.get(25, b"")), tags.get(26, b"")
    return (
        iso_time(date, f"{clock[0]:02d}:{clock[1]:02d}:{clock[2]:02d}") if date and len(clock) >= 3 else date
    )


def _age(value: bytes) -> float | None:
    per_year = {1: 1.0, 2: 12.0, 3: 52.1775, 4: 365.25, 5: 8766.0}
    if len(value) < 3 or value[2] not in per_year:
        return None
    return int.from_bytes(value[:2], "little") / per_year[value[2]]


def _scaled(value: bytes, factors: dict[int, float]) -> float | None:
    amount = int.from_bytes(value[:2], "little")
    return amount * factors[value[2]] if len(value) >= 3 and amount and value[2] in factors else None


def _texts(body: bytes) -> Iterator[str]:
    if len(body) < 9:
        return
    at = 9
    for _ in range(body[8]):
        size = int.from_bytes(body[at + 1 : at + 3], "little")
        yield _text(body[at + 3 : at + 3 + size])
        at += 3 + size


def _global(body: bytes, part: str) -> Iterator[Measurement]:
    """Yield intervals and axes of the first reference beat (section 7)."""
    if len(body) < 6:
        return

    def known(value: int) -> float | None:
        return float(value) if abs(value) < _NOT_MEASURED else None

    rr, pp = struct.unpack_from("<HH", body, 2)
    yield from measured("rr_interval", codes.RR_INTERVAL, known(rr) or None, "ms", part)
    yield from measured("pp_interval", codes.PP_INTERVAL, known(pp) or None, "ms", part)
    if len(body) < 22 or not body[0]:
        return
    p0, p1, q0, q1, t1, *axes = struct.unpack_from("<5H3h", body, 6)
    for id, code, start, stop in (
        ("p_duration", codes.P_DURATION, p0, p1),
        ("pr_interval", codes.PR_INTERVAL, p0, q0),
        ("qrs_duration", codes.QRS_DURATION, q0, q1),
        ("qt_interval", codes.QT_INTERVAL, q0, t1),
    ):
        if start < stop < _NOT_MEASURED:
            yield from measured(id, code, float(stop - start), "ms", part)
    for id, code, axis in zip(
        ("p_axis", "qrs_axis", "t_axis"), (codes.P_AXIS, codes.QRS_AXIS, codes.T_AXIS), axes, strict=True
    ):
        yield from measured(id, code, float(axis) if abs(axis) <= 360 else None, "deg", part)


def _by_lead(body: bytes, part: str) -> Iterator[Item]:
    """Yield what section 10 measured lead by lead."""
    if len(body) < 4:
        return
    at, seen = 4, set[str]()
    for _ in range(int.from_bytes(body[:2], "little")):
        if at + 4 > len(body):
            return
        id, size = struct.unpack_from("<HH", body, at)
        values = (
            np.frombuffer(body[at + 4 : at + 4 + size // 2 * 2], "<i2") if at + 4 + size <= len(body) else ()
        )
        at += 4 + size
        lead = from_scp(id)
        stem = "lead." + lead.lower().replace(" ", "_").replace("-", "minus_")
        if stem in seen:
            continue
        seen.add(stem)
        for place, name, code, unit in _LEAD_WORDS:
            if place < len(values) and abs(int(values[place])) < _NOT_MEASURED:
                yield Measurement(
                    id=f"{stem}.{name}",
                    code=code,
                    value=float(values[place]),
                    unit=unit,
                    uncertainty=Unknown("the sender states none"),
                    evidence=(Evidence(part, (lead,)),),
                )


# --- writing ----------------------------------------------------------------------------------------------


def write_scp(ecg: Ecg, *, huffman: bool = True, patient: str = "", time: str = "") -> bytes:
    """Return an SCP-ECG file: sections 0, 1, 3, 6, and 2 with the standard's own table.

    Parameters
    ----------
    huffman : bool
        Second differences in Huffman codes; otherwise plain samples.
    patient : str
        Identifier.
    time : str
        Start, ISO 8601.

    Raises
    ------
    InputError
        If samples are missing, a lead has no number, or the step or the interval has no whole one.
    """
    strange = [lead for lead in ecg.leads if not scp_number(lead)]
    if strange:
        raise InputError(f"leads {', '.join(strange)}", needed="leads with a number", fix="write WFDB")
    interval = round(1e6 / ecg.rate_hz)
    if abs(1e6 / interval - ecg.rate_hz) > 1e-4 * ecg.rate_hz or interval > 65535:
        raise InputError(f"a rate of {ecg.rate_hz} Hz", needed="an interval of whole µs")
    whole, steps = quantised(ecg)
    # One step for all leads, a whole number of nV.
    step_nV = min(65535, max(1, round(min(steps) * 1e6)))
    whole = np.rint(np.asarray(ecg.values.array, np.float64) * 1e6 / step_nV).astype(np.int64)
    if np.abs(whole).max() > 32767:
        step_nV = int(np.ceil(float(np.abs(ecg.values.array).max()) * 1e6 / 32767))
        whole = np.rint(np.asarray(ecg.values.array, np.float64) * 1e6 / step_nV).astype(np.int64)
    order = next(n for n in (2, 1, 0) if np.abs(np.stack([differences(r, n) for r in whole])).max() < 32768)
    chunks = [
        huffman_encode(differences(row, order)) if huffman else row.astype("<i2").tobytes() for row in whole
    ]
    if any(len(chunk) > 65535 for chunk in chunks):
        raise InputError(
            f"leads of {whole.shape[1]} samples", needed="at most 65535 bytes a lead", fix="write WFDB"
        )
    samples = whole.shape[1]
    leads = b"".join(struct.pack("<IIB", 1, samples, scp_number(lead)) for lead in ecg.leads)
    head = struct.pack("<HHBB", step_nV, interval, order if huffman else 0, 0)
    sizes = struct.pack(f"<{len(chunks)}H", *(len(chunk) for chunk in chunks))
    sections = {1: _written_tags(patient, time)}
    if huffman:
        sections[2] = struct.pack("<H", 19999)
    sections[3] = struct.pack("<BB", len(ecg.leads), 4 | min(len(ecg.leads), 31) << 3) + leads
    sections[6] = head + sizes + b"".join(chunks)
    return _assembled(sections)


def _written_tags(patient: str, time: str) -> bytes:
    date = time[:10].split("-") if time else ["0", "0", "0"]
    clock = (time.partition("T")[2] or "0:0:0").split(":")
    tags = {
        2: patient.encode("latin-1", "replace") + b"\0",
        14: bytes(36) + b"\0",
        25: struct.pack("<HBB", *(int(v) for v in date)),
        26: bytes(int(float(v)) for v in clock[:3]),
    }
    return b"".join(struct.pack("<BH", tag, len(v)) + v for tag, v in tags.items()) + b"\xff\0\0"


def _assembled(sections: dict[int, bytes]) -> bytes:
    """Return the file: pointers first, every section at an even place with its check sum."""
    at = 6 + 16 + 120
    pointers: dict[int, tuple[int, int]] = {0: (16 + 120, 7)}
    bodies = []
    for id, body in sections.items():
        section = _section(id, body)
        pointers[id] = (len(section), at + 1)
        bodies.append(section)
        at += len(section)
    table = b"".join(struct.pack("<HII", id, *pointers.get(id, (0, 0))) for id in range(12))
    after = struct.pack("<I", at) + _section(0, table) + b"".join(bodies)
    return struct.pack("<H", binascii.crc_hqx(after, 0xFFFF)) + after


def _section(id: int, body: bytes) -> bytes:
    even = body + b"\0" * (len(body) % 2)
    reserved = b"SCPECG" if id == 0 else bytes(6)
    after = struct.pack("<HIBB", id, 16 + len(even), 20, 20) + reserved + even
    return struct.pack("<H", binascii.crc_hqx(after, 0xFFFF)) + after
