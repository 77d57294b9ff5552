"""Philips Sierra ECG XML, versions 1.03, 1.04 and 1.04.01.

The waveform is Base64 of 16-bit samples, lead after lead, or of XLI chunks: LZW with 10-bit
codes over the high bytes and then the low bytes of twofold differences. In XLI the four derived
limb leads are stored as what is left after Einthoven's and Goldberger's equations.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.doors.ecg import markup
from carna.doors.ecg.leads import STANDARD
from carna.doors.ecg.recording import (
    Prior,
    Recording,
    Wave,
    check_wave,
    iso_time,
    measured,
    number,
    part_uid,
    scaled,
    sex_of,
    stated,
    study_uid,
)
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Item
from carna.study import Lazy, Patient

__all__ = ["read_philips", "unpack_xli"]

Ints = npt.NDArray[np.int64]
# A lead of a day at 1 kHz; a chunk that unpacks to more is damaged.
_MAX_BYTES = 1 << 28

_MEASURED = (
    ("heart_rate", codes.HEART_RATE, "/min", ("heartrate", "meanventrate")),
    ("atrial_rate", codes.ATRIAL_RATE, "/min", ("atrialrate",)),
    ("rr_interval", codes.RR_INTERVAL, "ms", ("rrint",)),
    ("p_duration", codes.P_DURATION, "ms", ("pdur",)),
    ("pr_interval", codes.PR_INTERVAL, "ms", ("print", "meanprint")),
    ("qrs_duration", codes.QRS_DURATION, "ms", ("qrsdur", "meanqrsdur")),
    ("qt_interval", codes.QT_INTERVAL, "ms", ("qtint", "meanqtint")),
    ("qtc_interval", codes.QTC_INTERVAL, "ms", ("meanqtc",)),
    ("qtc_bazett", codes.QTC_BAZETT, "ms", ("qtcb",)),
    ("qtc_fridericia", codes.QTC_FRIDERICIA, "ms", ("qtcf",)),
    ("p_axis", codes.P_AXIS, "deg", ("pfrontaxis",)),
    ("qrs_axis", codes.QRS_AXIS, "deg", ("qrsfrontaxis",)),
    ("t_axis", codes.T_AXIS, "deg", ("tfrontaxis",)),
)


def read_philips(blob: Blob) -> Recording:
    """Return the recording of a Sierra ECG file: rhythm, averaged beats, measurements, statements.

    Raises
    ------
    InputError
        If the waveform is missing, damaged or packed in an unknown way.
    """
    data = blob.load()
    root = markup.parse(data)
    if root.tag != "restingecgdata":
        raise InputError(f"an XML file of {root.tag}", needed="restingecgdata")
    study = study_uid(data)
    rhythm = part_uid(study, "rhythm")
    acquired = root.find("dataacquisition")
    person = markup.find(root, "patient", "generalpatientdata")
    time = iso_time(markup.attribute(acquired, "date"), markup.attribute(acquired, "time"))
    birth = iso_time(markup.text(person, "age", "dateofbirth"))[:10]
    sex = sex_of(markup.text(person, "sex"))
    id = markup.text(person, "patientid")
    name = "^".join(markup.text(person, "name", part) for part in ("lastname", "firstname")).strip("^")
    machine = markup.find(acquired, "machine")
    maker = "Philips " + markup.text(acquired, "machine") if machine is not None else "Philips"
    median = _median(root)
    height, weight = markup.find(person, "height"), markup.find(person, "weight")
    return Recording(
        study,
        f"Philips Sierra ECG {markup.text(root, 'documentinfo', 'documentversion')}".strip(),
        blob.file,
        (_rhythm(root), *(() if median is None else (median,))),
        Patient(id, "", name, birth, sex),
        time,
        maker.strip(),
        markup.text(root, "reportinfo", "reportdescription"),
        markup.text(root, "orderinfo", "uniqueorderid"),
        age_a=_age(number(markup.text(person, "age", "years")), birth, time),
        height_cm=_metric(height, (("cm", 1.0), ("inch", 2.54))),
        weight_kg=_metric(weight, (("kg", 1.0), ("lb", 0.45359237))),
        priors=_interpretations(root, rhythm),
    )


def _age(years: float | None, birth: str, time: str) -> float | None:
    if years is not None or not (birth and time):
        return years
    whole = int(time[:4]) - int(birth[:4]) - (time[5:10] < birth[5:10])
    return float(whole) if 0 <= whole <= 130 else None


def _metric(element: Element | None, units: tuple[tuple[str, float], ...]) -> float | None:
    for unit, factor in units:
        value = number(markup.text(element, unit))
        if value is not None and value > 0:
            return value * factor
    return None


# --- waveform ---------------------------------------------------------------------------------------------


def _rhythm(root: Element) -> Wave:
    signal = markup.find(root, "dataacquisition", "signalcharacteristics")
    parsed = markup.find(root, "waveforms", "parsedwaveforms")
    if parsed is None or not (parsed.text or "").strip():
        raise InputError(
            "no waveform", needed="waveforms/parsedwaveforms", fix="export the ECG with its waveform"
        )
    if markup.attribute(parsed, "dataencoding") not in ("Base64", ""):
        raise InputError(f"a waveform encoded as {markup.attribute(parsed, 'dataencoding')}", needed="Base64")
    rate = number(markup.attribute(parsed, "samplespersecond") or markup.text(signal, "samplingrate"))
    step_uV = number(
        markup.attribute(parsed, "resolution")
        or markup.text(signal, "resolution")
        or markup.text(signal, "signalresolution")
    )
    if rate is None or step_uV is None or step_uV <= 0:
        raise InputError("no sampling rate or resolution", needed="samplingrate and signalresolution")
    leads = _leads(root, parsed, signal)
    span_ms = number(markup.attribute(parsed, "durationperchannel"))
    samples = None if span_ms is None else round(span_ms * rate / 1000)
    data = markup.base64_bytes(parsed.text or "")
    packing = markup.attribute(parsed, "compression") or markup.attribute(parsed, "compressmethod")
    if markup.attribute(parsed, "compressflag") == "False":
        packing = ""
    if packing.upper() == "XLI":
        rows = unpack_xli(data, len(leads), leads[:6] == STANDARD[:6])
    elif packing.upper() in ("", "NONE", "UNCOMPRESSED"):
        rows = _plain(data, len(leads))
    else:
        raise InputError(f"a waveform packed as {packing}", needed="XLI or none")
    notes: list[str] = []
    held = max(len(row) for row in rows)
    length = held if samples is None else min(held, samples)
    pulse = _calibration_s(rows, length, rate)
    if pulse:
        length -= round(pulse * rate)
        notes.append(f"the calibration pulse in the last {pulse:.2f} s was left out")
    check_wave(len(leads), length, rate)
    values = np.full((len(leads), length), np.nan, np.float32)
    offset = number(markup.attribute(parsed, "signaloffset") or markup.text(signal, "signaloffset")) or 0.0
    for out, row in zip(values, rows, strict=True):
        got = row[:length]
        out[: len(got)] = scaled(got, step_uV / 1000, offset=offset)
    if samples is not None and samples > held:
        notes.append(f"{held} samples a lead where the file announces {samples}")
    facts = {
        key: value
        for key in ("hipass", "lowpass", "acsetting", "signalbandwidth", "acquisitiontype")
        if (value := markup.text(signal, key))
    }
    lsb = (step_uV / 1000,) * len(leads)
    return Wave("rhythm", Lazy.of(values), leads, rate, lsb, notes=tuple(notes), facts=facts)


def _calibration_s(rows: list[Ints], length: int, rate: float) -> float:
    """Return how long a cart's calibration pulse at the end is, s; 0 if there is none.

    There every lead has the same value, derived leads too, which no heart can do: a pulse that
    stayed in would be counted as a beat.
    """
    if len(rows) < 3 or any(len(row) < length for row in rows):
        return 0.0
    stacked = np.stack([row[:length] for row in rows])
    differ = np.flatnonzero((stacked != stacked[0]).any(axis=0))
    start = int(differ[-1]) + 1 if len(differ) else length
    tail = stacked[0, start:]
    is_pulse = len(tail) >= 0.2 * rate and tail.max(initial=0) > 0 and len(np.unique(tail)) <= 3
    return float(len(tail) / rate) if is_pulse else 0.0


def _leads(root: Element, parsed: Element, signal: Element | None) -> tuple[str, ...]:
    named = tuple(markup.attribute(parsed, "leadlabels").split())
    count = int(
        number(markup.attribute(parsed, "numberofleads") or markup.text(signal, "numberchannelsvalid"))
        or len(named)
    )
    if named:
        return named[:count] if 0 < count <= len(named) else named
    if (
        markup.text(signal, "acquisitiontype") in ("STD-12", "10-WIRE")
        or markup.text(signal, "leadset") == "STD-12"
    ):
        # Version 1.03 names no leads; the twelve standard ones come first, in their order.
        return STANDARD[: max(1, min(count or 12, 12))]
    raise InputError("leads without names", needed="leadlabels, or an acquisition type of STD-12")


def _plain(data: bytes, leads: int) -> list[Ints]:
    samples = np.frombuffer(data[: len(data) // (2 * leads) * 2 * leads], "<i2").astype(np.int64)
    return list(samples.reshape(leads, -1))


def unpack_xli(data: bytes, leads: int, limb: bool) -> list[Ints]:
    """Return the samples of each lead of an XLI waveform.

    Parameters
    ----------
    leads : int
        Chunks to read.
    limb : bool
        Whether the first six are I, II, III, aVR, aVL, aVF, of which four are stored as residuals.
    """
    rows: list[Ints] = []
    at = 0
    for n in range(leads):
        if at + 8 > len(data):
            raise InputError(f"{n} leads in the waveform", needed=f"{leads}", fix="send the file again")
        size = int.from_bytes(data[at : at + 4], "little")
        first = int.from_bytes(data[at + 6 : at + 8], "little", signed=True)
        if size > len(data) - at - 8:
            raise InputError(f"lead {n + 1} ends before its {size} bytes", needed="the whole waveform")
        rows.append(_undo_deltas(_unpack_lzw(data[at + 8 : at + 8 + size]), first))
        at += 8 + size
    if limb and leads >= 6:
        _undo_residuals(rows)
    return rows


def _unpack_lzw(data: bytes) -> bytes:
    """Return what LZW codes of 10 bits, most significant bit first, stand for."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    count = len(bits) // 10
    words = bits[: count * 10].reshape(count, 10) @ (1 << np.arange(9, -1, -1))
    table: list[bytes] = [bytes([b]) for b in range(256)]
    out: list[bytes] = []
    before = b""
    length = 0
    for word in words.tolist():
        if word < len(table):
            entry = table[word]
        elif before and word == len(table) <= 1022:
            entry = before + before[:1]
        else:
            break  # the filling after the last code
        out.append(entry)
        length += len(entry)
        if length > _MAX_BYTES:
            raise InputError(
                "a lead that unpacks without end", needed="a whole waveform", fix="send it again"
            )
        if before and len(table) <= 1022:
            table.append(before + entry[:1])
        before = entry
    return b"".join(out)


def _undo_deltas(packed: bytes, first: int) -> Ints:
    half = len(packed) // 2
    high = np.frombuffer(packed, np.int8, half).astype(np.int64)
    low = np.frombuffer(packed, np.uint8, half, half).astype(np.int64)
    words = (high << 8 | low).tolist()
    if len(words) < 2:
        return np.array(words, np.int64)
    out = [words[0], words[1]]
    x, y, last = words[0], words[1], first
    for word in words[2:]:
        # Samples are 16 bit and wrap there, as the device's own arithmetic does.
        z = ((2 * y - x - last) + 32768) % 65536 - 32768
        last = word - 64
        out.append(z)
        x, y = y, z
    return np.array(out, np.int64)


def _undo_residuals(rows: list[Ints]) -> None:
    n = min(len(row) for row in rows[:6])
    one, two, third, right, left, foot = (row[:n] for row in rows[:6])
    three = two - one - third
    rows[2] = three
    rows[3] = -right - ((one + two) >> 1)
    rows[4] = ((one - three) >> 1) - left
    rows[5] = ((two + three) >> 1) - foot


def _median(root: Element) -> Wave | None:
    """Return the cart's averaged beats, None if it stored none."""
    group = markup.find(root, "waveforms", "repbeats")
    rate = number(markup.attribute(group, "samplespersec"))
    step_uV = number(markup.attribute(group, "resolution"))
    names: list[str] = []
    rows: list[npt.NDArray[np.float32]] = []
    for beat in () if group is None else group.findall("repbeat"):
        content = markup.base64_bytes(markup.text(beat, "waveform"))
        if content and step_uV:
            names.append(markup.attribute(beat, "leadname"))
            rows.append(scaled(np.frombuffer(content[: len(content) // 2 * 2], "<i2"), step_uV / 1000))
    if not rows or rate is None or step_uV is None:
        return None
    length = max(len(row) for row in rows)
    check_wave(len(rows), length, rate)
    values = np.full((len(rows), length), np.nan, np.float32)
    for out, row in zip(values, rows, strict=True):
        out[: len(row)] = row
    return Wave("median", Lazy.of(values), tuple(names), rate, (step_uV / 1000,) * len(rows), median=True)


# --- what the cart said -----------------------------------------------------------------------------------


def _interpretations(root: Element, part: str) -> tuple[Prior, ...]:
    priors = []
    found = list(markup.find_all(root.find("interpretations"), "interpretation"))
    for interpretation in found:
        items: list[Item] = []
        numbers = interpretation.find("globalmeasurements")
        if numbers is None:
            numbers = interpretation.find("interpretationmeasurements")
        for id, code, unit, names in _MEASURED:
            value = next(
                (v for v in (number(markup.text(numbers, name)) for name in names) if v is not None), None
            )
            items += measured(id, code, value, unit, part)
        said = [
            re.sub(r"^\W+|\W+$", "", markup.text(interpretation, "severity")),
            *(
                " ".join(filter(None, (markup.text(s, "leftstatement"), _reason(s))))
                for s in interpretation.findall("statement")
            ),
        ]
        items += stated(said, part, "the cart")
        version = interpretation.get("criteriaversion", "")
        signed = markup.text(interpretation, "mdsignatureline")
        priors.append(
            Prior("Philips ECG analysis" + (f" ({signed})" if signed else ""), tuple(items), version)
        )
    return tuple(priors)


def _reason(statement: Element) -> str:
    reason = markup.text(statement, "rightstatement")
    return f"({reason})" if reason else ""
