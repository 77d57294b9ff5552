"""GE MUSE XML (RestingECG), read and written.

Eight leads are stored, I, II and V1 to V6, as Base64 of 16-bit samples; the other four follow
from them. The fiducials are sample numbers in the averaged beat. The reader was built from the
format's description: no file of a real device was at hand, and every recording says so.
"""

from __future__ import annotations

import base64
import re
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.doors.ecg import markup
from carna.doors.ecg.leads import STANDARD, canonical, millivolts
from carna.doors.ecg.recording import (
    Prior,
    Recording,
    Wave,
    check_wave,
    iso_time,
    measured,
    number,
    part_uid,
    quantised,
    scaled,
    sex_of,
    stated,
    study_uid,
)
from carna.doors.files import Blob
from carna.errors import InputError
from carna.findings import Item
from carna.study import Ecg, Lazy, Patient

__all__ = ["read_muse", "write_muse"]

_UNSEEN = "read by the description of MUSE XML; no file of a real device was at hand to check it"
_MEASURED = (
    ("VentricularRate", "ventricular_rate", codes.VENTRICULAR_RATE, "/min"),
    ("AtrialRate", "atrial_rate", codes.ATRIAL_RATE, "/min"),
    ("PRInterval", "pr_interval", codes.PR_INTERVAL, "ms"),
    ("QRSDuration", "qrs_duration", codes.QRS_DURATION, "ms"),
    ("QTInterval", "qt_interval", codes.QT_INTERVAL, "ms"),
    ("QTCorrected", "qtc_interval", codes.QTC_INTERVAL, "ms"),
    ("PAxis", "p_axis", codes.P_AXIS, "deg"),
    ("RAxis", "qrs_axis", codes.QRS_AXIS, "deg"),
    ("TAxis", "t_axis", codes.T_AXIS, "deg"),
    ("QRSCount", "beat_count", codes.BEAT_COUNT, "{beats}"),
)
_STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def read_muse(blob: Blob) -> Recording:
    """Return the recording of a MUSE XML file: rhythm, averaged beat, measurements, statements.

    Raises
    ------
    InputError
        If there is no waveform, or one is damaged.
    """
    data = blob.load()
    root = markup.parse(data)
    if root.tag != "RestingECG":
        raise InputError(f"an XML file of {root.tag}", needed="RestingECG")
    study = study_uid(data)
    waves: list[Wave] = []
    for waveform in root.findall("Waveform"):
        median = markup.text(waveform, "WaveformType").lower() == "median"
        stem = "median" if median else "rhythm"
        taken = sum(w.median == median for w in waves)
        waves.append(_wave(waveform, f"{stem} {taken + 1}" if taken else stem, median))
    waves.sort(key=lambda wave: wave.median)
    if not waves:
        raise InputError("no Waveform", needed="at least one", fix="export the ECG with its waveform")
    person, test = root.find("PatientDemographics"), root.find("TestDemographics")
    name = "^".join(_unmasked(markup.text(person, part)) for part in ("PatientLastName", "PatientFirstName"))
    sex = sex_of(markup.text(person, "Gender"))
    years = number(markup.text(person, "PatientAge"))
    part = part_uid(study, waves[0].name)
    height, weight = (
        number(markup.text(person, f"{w}CM" if w == "Height" else f"{w}KG")) for w in ("Height", "Weight")
    )
    return Recording(
        study,
        "MUSE XML",
        blob.file,
        tuple(waves),
        Patient(
            _unmasked(markup.text(person, "PatientID")),
            "",
            name.strip("^"),
            _american(person, "DateofBirth"),
            sex,
        ),
        iso_time(_american(test, "AcquisitionDate"), markup.text(test, "AcquisitionTime")),
        " ".join(filter(None, ("GE", markup.text(test, "AcquisitionDevice")))),
        age_a=_years(years, markup.text(person, "AgeUnits")),
        height_cm=height,
        weight_kg=weight,
        priors=_said(root, part),
        notes=(_UNSEEN,),
    )


def _unmasked(text: str) -> str:
    """Return "" for a value that was masked with X."""
    return "" if re.fullmatch(r"[Xx*\-/ ]*", text) else text


def _american(element: Element | None, name: str) -> str:
    match = re.fullmatch(r"(\d\d)-(\d\d)-(\d{4})", markup.text(element, name))
    return iso_time(f"{match[3]}-{match[1]}-{match[2]}") if match else ""


def _years(age: float | None, unit: str) -> float | None:
    per_year = {"": 1.0, "YEARS": 1.0, "MONTHS": 12.0, "WEEKS": 52.1775, "DAYS": 365.25, "HOURS": 8766.0}
    return None if age is None or unit.upper() not in per_year else age / per_year[unit.upper()]


def _wave(waveform: Element, name: str, median: bool) -> Wave:
    base = number(markup.text(waveform, "SampleBase"))
    power = number(markup.text(waveform, "SampleExponent")) or 0.0
    if base is None or not -6 <= power <= 6:
        raise InputError("a waveform without its sampling rate", needed="SampleBase and SampleExponent")
    rate = base * 10.0**power
    rows: dict[str, npt.NDArray[np.float64]] = {}
    steps: dict[str, float] = {}
    notes: list[str] = []
    for lead in waveform.findall("LeadData"):
        id, step = _step(lead)
        content = markup.base64_bytes(markup.text(lead, "WaveFormData"))
        samples = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
        start = int(number(markup.text(lead, "LeadOffsetFirstSample")) or 0)
        total = number(markup.text(lead, "LeadSampleCountTotal"))
        if total is not None and int(total) != len(samples):
            notes.append(f"lead {id} holds {len(samples)} samples where the file announces {int(total)}")
        if not 0 <= start <= 1 << 24:
            raise InputError(f"lead {id} that begins at sample {start}", needed="0 or a little more")
        rows[id] = np.concatenate([np.full(start, np.nan), scaled(samples, step)])
        steps[id] = step
    if not rows:
        raise InputError("a waveform without leads", needed="LeadData")
    length = max(len(row) for row in rows.values())
    check_wave(len(rows), length, rate)
    even = {id: np.concatenate([row, np.full(length - len(row), np.nan)]) for id, row in rows.items()}
    if {"I", "II"} <= even.keys():
        one, two = even["I"], even["II"]
        derived = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
        if missing := [id for id in derived if id not in even]:
            even |= {id: derived[id] for id in missing}
            steps |= {id: min(steps["I"], steps["II"]) * (1.0 if id == "III" else 0.5) for id in missing}
            notes.append(f"computed from I and II, as the format means: {', '.join(missing)}")
    order = [id for id in STANDARD if id in even] + [id for id in even if id not in STANDARD]
    values = np.stack([even[id] for id in order]).astype(np.float32)
    facts = {
        key: found
        for key in ("HighPassFilter", "LowPassFilter", "ACFilter")
        if (found := markup.text(waveform, key))
    }
    lsb = tuple(steps[id] for id in order)
    return Wave(name, Lazy.of(values), tuple(order), rate, lsb, median, tuple(notes), facts)


def _step(lead: Element) -> tuple[str, float]:
    sent = markup.text(lead, "LeadID")
    step = number(markup.text(lead, "LeadAmplitudeUnitsPerBit"))
    factor = millivolts(markup.text(lead, "LeadAmplitudeUnits"))
    if step is None or factor is None or step <= 0:
        raise InputError(f"lead {sent or '?'} without a usable scale", needed="units per bit in MICROVOLTS")
    return canonical(sent) or sent, step * factor


def _said(root: Element, part: str) -> tuple[Prior, ...]:
    priors = []
    for numbers, words, who in (
        ("RestingECGMeasurements", "Diagnosis", "MUSE"),
        ("OriginalRestingECGMeasurements", "OriginalDiagnosis", "MUSE 12SL"),
    ):
        items: list[Item] = []
        for tag, id, code, unit in _MEASURED:
            items += measured(id, code, number(markup.text(root, numbers, tag)), unit, part)
        items += stated(_sentences(root.find(words)), part, "the cart")
        if items:
            version = markup.text(root, "TestDemographics", "AnalysisSoftwareVersion")
            priors.append(Prior(who, tuple(items), version))
    return tuple(priors)


def _sentences(diagnosis: Element | None) -> list[str]:
    """Return the lines of a diagnosis; a flag ENDSLINE closes one."""
    lines, open_line = [], ""
    for statement in markup.find_all(diagnosis, "DiagnosisStatement"):
        open_line = f"{open_line} {markup.text(statement, 'StmtText')}".strip()
        if any((flag.text or "").strip() == "ENDSLINE" for flag in statement.findall("StmtFlag")):
            lines.append(open_line)
            open_line = ""
    return [line for line in (*lines, open_line) if line]


def write_muse(ecg: Ecg, *, patient: str = "") -> bytes:
    """Return a MUSE XML file with the eight leads it stores.

    Raises
    ------
    InputError
        If one of I, II and V1 to V6 is missing, or samples were not recorded.
    """
    lost = [lead for lead in _STORED if lead not in ecg.leads]
    if lost:
        raise InputError(f"no lead {', '.join(lost)}", needed=", ".join(_STORED), fix="write WFDB or EDF")
    whole, steps = quantised(ecg)
    leads = []
    for lead in _STORED:
        n = ecg.leads.index(lead)
        data = whole[n].astype("<i2").tobytes()
        leads.append(
            f"<LeadData><LeadByteCountTotal>{len(data)}</LeadByteCountTotal><LeadOffsetFirstSample>0"
            f"</LeadOffsetFirstSample><LeadSampleCountTotal>{len(data) // 2}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{steps[n] * 1000:.15g}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{lead}</LeadID>"
            f"<WaveFormData>{base64.b64encode(data).decode()}</WaveFormData></LeadData>"
        )
    kind = "Rhythm" if ecg.kind == "rhythm" else "Median"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<RestingECG>'
        f"<PatientDemographics><PatientID>{escape(patient)}</PatientID></PatientDemographics>"
        f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{ecg.rate_hz:.12g}</SampleBase>"
        f"<SampleExponent>0</SampleExponent>{''.join(leads)}</Waveform></RestingECG>\n"
    )
    return text.encode()
