"""HL7 annotated ECG (aECG, FDA's format for trials), read and written.

A sample is origin + scale x digit. Sequence sets of a series are laid out along its clock, so
leads that were recorded one after the other are NaN where they were not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.doors.ecg import markup
from carna.doors.ecg.aecg_annotations import (
    BEATS,
    MEASURED,
    MEDIAN_STEP_MV,
    WAVES,
    annotation_sets,
    median_curves,
)
from carna.doors.ecg.events import WAVE, Gathered
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
from carna.findings import Findings, Item
from carna.study import Ecg, Lazy, Patient

__all__ = ["read_aecg", "write_aecg"]

_RHYTHMS: Mapping[str, Concept] = MappingProxyType(
    {
        "SINUS_RHY": codes.SINUS_RHYTHM,
        "SINUS_BRADY": codes.SINUS_BRADYCARDIA,
        "SINUS_TACHY": codes.SINUS_TACHYCARDIA,
        "ATR_FIB": codes.ATRIAL_FIBRILLATION,
        "ATR_FLUT": codes.ATRIAL_FLUTTER,
    }
)


def read_aecg(blob: Blob) -> Recording:
    """Return the recording of an aECG file.

    Raises
    ------
    InputError
        If it holds no series with a clock and a lead in volts.
    """
    data = blob.load()
    root = markup.parse(data)
    if root.tag != "AnnotatedECG":
        raise InputError(f"an XML file of {root.tag}", needed="AnnotatedECG")
    study = study_uid(data)
    waves: list[Wave] = []
    priors: list[Prior] = []
    start = ""
    notes: list[str] = []
    for series in (*markup.find_all(root, "series"), *markup.find_all(root, "derivedSeries")):
        median = markup.attribute(series, "code", "code") == "REPRESENTATIVE_BEAT"
        stem = "median" if median else "rhythm"
        taken = sum(wave.name.split(" ")[0] == stem for wave in waves)
        name = f"{stem} {taken + 1}" if taken else stem
        laid = _laid_out(series, name, median, notes)
        if laid is None:
            continue
        wave, clock = laid
        waves.append(wave)
        start = start or clock
        priors += _annotated(series, part_uid(study, name), wave, clock)
    if not waves:
        raise InputError(
            "no series with samples", needed="a sequence set with a clock and a lead in uV, mV or V"
        )
    center = next((v for v in (_time_of(root, p) for p in ("low", "center", "high")) if v), "")
    return Recording(
        study,
        "HL7 aECG",
        blob.file,
        tuple(waves),
        _subject(root),
        _iso(start) or center,
        _device(root),
        age_a=_age(root),
        priors=tuple(priors),
        notes=tuple(notes),
    )


def _subject(root: Element) -> Patient:
    subject = next(markup.find_all(root, "trialSubject"), None)
    person, id = markup.find(subject, "subjectDemographicPerson"), markup.find(subject, "id")
    inner, outer = markup.attribute(id, "extension"), markup.attribute(id, "root")
    birth = iso_time(markup.attribute(person, "value", "birthTime")[:8])
    sex = sex_of(markup.attribute(person, "code", "administrativeGenderCode"))
    return Patient(inner or outer, outer if inner else "", _name_of(person), birth, sex)


def _age(root: Element) -> float | None:
    """Return the age in years that LOINC codes of reported age state, None if it is not stated."""
    for about in markup.find_all(root, "relatedObservation"):
        years = markup.attribute(about, "unit", "value") in ("a", "")
        if years and markup.attribute(about, "code", "code") in ("21612-7", "30525-0"):
            return number(markup.attribute(about, "value", "value"))
    return None


def _device(root: Element) -> str:
    author = next(markup.find_all(root, "seriesAuthor"), None)
    maker = markup.text(author, "manufacturerOrganization", "name")
    model = markup.text(author, "manufacturedSeriesDevice", "manufacturerModelName")
    return " ".join(filter(None, (maker, model)))


def _name_of(person: Element | None) -> str:
    name = markup.find(person, "name")
    return "" if name is None else " ".join("".join(name.itertext()).split())


def _time_of(root: Element, which: str) -> str:
    return _iso(markup.attribute(root, "value", "effectiveTime", which))


def _iso(stamp: str) -> str:
    return iso_time(stamp[:8], stamp[8:14])


def _clock(stamp: str) -> datetime | None:
    match = re.match(r"(\d{8})(\d{0,6})(\.\d+)?", stamp)
    if match is None:
        return None
    try:
        whole = datetime.strptime(match[1] + match[2].ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return whole + timedelta(seconds=float(match[3] or 0))


def _moment(element: Element | None, clock: str) -> float | None:
    """Return the s since the clock's beginning that an element's value and unit stand for."""
    at = _since(markup.attribute(element, "value"), clock)
    factor = {"ms": 1e-3, "us": 1e-6}.get(markup.attribute(element, "unit"), 1.0)
    return None if at is None else at * factor


def _since(stamp: str, start: str) -> float | None:
    """Return s from one time stamp to another; plain numbers are s already."""
    if not stamp:
        return None
    one, zero = _clock(stamp), _clock(start)
    if one is not None and zero is not None:
        return (one - zero).total_seconds()
    value = number(stamp)
    return value if value is not None and abs(value) < 1e6 else None


# --- samples ----------------------------------------------------------------------------------------------

_Piece = tuple[float, str, float, npt.NDArray[np.float32]]


def _laid_out(series: Element, name: str, median: bool, notes: list[str]) -> tuple[Wave, str] | None:
    """Return a series as one wave on its own clock, and the time stamp of its beginning."""
    pieces: list[_Piece] = []
    rate, start = 0.0, ""
    for component in series.findall("component"):
        for group in component.findall("sequenceSet"):
            found = _sequences(group, start, notes)
            if found is None:
                continue
            hz, start, rows = found
            if rate and abs(hz - rate) > 1e-6 * rate:
                raise InputError(f"a series at {rate:g} and {hz:g} Hz", needed="one rate")
            rate = hz
            pieces += rows
    if not pieces:
        return None
    leads = tuple(dict.fromkeys(lead for _, lead, _, _ in pieces))
    first = min(at for at, _, _, _ in pieces)
    places = [(round((at - first) * rate), lead, step, row) for at, lead, step, row in pieces]
    length = max(at + len(row) for at, _, _, row in places)
    held = sum(len(row) for row in (row for _, _, _, row in places))
    if length * len(leads) > 64 * held + (1 << 22):
        raise InputError(
            f"sequence sets {length / rate:.0f} s apart", needed="one recording", fix="split the file"
        )
    check_wave(len(leads), length, rate)
    values = np.full((len(leads), length), np.nan, np.float32)
    steps = dict.fromkeys(leads, 0.0)
    for at, lead, step, row in places:
        values[leads.index(lead), at : at + len(row)] = row
        steps[lead] = step
    facts = _filters(series)
    return Wave(name, Lazy.of(values), leads, rate, tuple(steps.values()), median, (), facts), start


def _sequences(group: Element, start: str, notes: list[str]) -> tuple[float, str, list[_Piece]] | None:
    """Return rate, the series' first time stamp and each lead's samples with its offset, s."""
    rate, at, begin = 0.0, 0.0, start
    rows: list[_Piece] = []
    for component in group.findall("component"):
        sequence = component.find("sequence")
        code = markup.attribute(sequence, "code", "code")
        value = markup.find(sequence, "value")
        if code.startswith("TIME_"):
            step = number(markup.attribute(value, "value", "increment"))
            unit = {"s": 1.0, "ms": 1e-3, "us": 1e-6}.get(markup.attribute(value, "unit", "increment"))
            if step is None or unit is None or step <= 0:
                raise InputError(
                    "a sequence set without a usable increment", needed="an increment in s or ms"
                )
            rate = float(f"{1 / (step * unit):.9g}")
            head = markup.attribute(value, "value", "head")
            begin = start or head
            at = _since(head, begin) or 0.0
        elif value is not None:
            row = _digits(value, code, notes)
            if row is not None:
                rows.append((0.0, code.removeprefix("MDC_ECG_LEAD_"), *row))
    if not rows:
        return None
    if not rate:
        raise InputError("a sequence set without a clock", needed="TIME_ABSOLUTE or TIME_RELATIVE")
    return rate, begin, [(at, lead, step, row) for _, lead, step, row in rows]


def _digits(value: Element, code: str, notes: list[str]) -> tuple[float, npt.NDArray[np.float32]] | None:
    scale = number(markup.attribute(value, "value", "scale"))
    factor = millivolts(markup.attribute(value, "unit", "scale"))
    words = markup.text(value, "digits").split()
    if scale is None or factor is None or not words:
        notes.append(f"{code or 'a sequence'} is no voltage and was left out")
        return None
    zero = number(markup.attribute(value, "value", "origin")) or 0.0
    zero_factor = millivolts(markup.attribute(value, "unit", "origin")) or factor
    digits = np.array(words, np.float64)
    return abs(scale * factor), scaled(digits, scale * factor, zero * zero_factor)


def _filters(series: Element) -> dict[str, str]:
    facts: dict[str, str] = {}
    for outer in markup.find_all(series, "controlVariable"):
        name = markup.attribute(outer, "code", "code")
        for component in outer.findall("component"):
            inner = component.find("controlVariable")
            cut = number(markup.attribute(inner, "value", "value"))
            if cut is not None and "FILTER" in name:
                facts[name.removeprefix("MDC_ECG_CTL_VBL_ATTR_")] = f"{cut:g} Hz"
    return facts


# --- annotations ------------------------------------------------------------------------------------------


def _annotated(series: Element, part: str, wave: Wave, clock: str) -> Iterator[Prior]:
    prefix = "" if wave.name == "rhythm" else wave.name.replace(" ", "_") + "."
    leads = [canonical(lead) or lead for lead in wave.leads]
    for subject in series.findall("subjectOf"):
        for group in subject.findall("annotationSet"):
            gathered = Gathered()
            items: list[Item] = []
            said: list[str] = []
            beat = 0
            for component in group.findall("component"):
                annotation = component.find("annotation")
                if annotation is None:
                    continue
                is_beat = markup.attribute(annotation, "code", "code") == "MDC_ECG_BEAT"
                beat += is_beat
                stem = f"{prefix}beat.{beat}." if is_beat else prefix
                for found in annotation.iter("annotation"):
                    items += _one(found, stem, part, clock, gathered, said)
            items += gathered.items(part, leads, prefix)
            items += stated(said, part, "the annotation set", f"{prefix}statement")
            device = next(markup.find_all(group, "assignedDevice"), None)
            model = markup.text(device, "manufacturerModelName")
            version = markup.text(device, "softwareName")
            unique = {item.id: item for item in items}
            yield Prior(
                " ".join(filter(None, ("aECG annotation set", model))), tuple(unique.values()), version
            )


def _one(
    annotation: Element, stem: str, part: str, clock: str, into: Gathered, said: list[str]
) -> Iterator[Item]:
    """Take one annotation: yield a measurement, gather a mark or a sentence."""
    code = markup.attribute(annotation, "code", "code").removeprefix("MDC_ECG_")
    value = markup.find(annotation, "value")
    word = markup.attribute(value, "code")
    low, high, lead = _extent(annotation, clock)
    if code.upper() in MEASURED:
        id, concept, unit = MEASURED[code.upper()]
        amount = number(markup.attribute(value, "value"))
        if amount is not None and markup.attribute(value, "unit") == "s" and unit == "ms":
            amount *= 1000
        yield from measured(stem + id, concept, amount, unit, part)
    elif code in ("WAVC", "WAVC_TYPE") and word == "MDC_ECG_WAVC_RWAVE":
        peak = next((a for a in annotation.iter("annotation") if _is_peak(a)), annotation)
        at, _, lead = _extent(peak, clock)
        if at is not None:
            into.add("peaks.r", codes.R_WAVE, lead, at)
    elif code in ("WAVC", "WAVC_TYPE") and (wave := WAVES.get(word.removeprefix("MDC_ECG_WAVC_"))):
        if low is not None and high is not None and high >= low:
            into.add(f"waves.{wave}", WAVE[wave], lead, low, high)
        elif low is not None:
            into.add(f"starts.{wave}", WAVE[wave], lead, low)
        elif high is not None:
            into.add(f"ends.{wave}", WAVE[wave], lead, high)
    elif code == "BEAT" and low is not None:
        into.add(
            "beats",
            BEATS.get(word.removeprefix("MDC_ECG_BEAT_"), codes.UNCLASSIFIABLE_BEAT),
            lead,
            low,
        )
    elif code == "RHY":
        rhythm = _RHYTHMS.get(word.removeprefix("MDC_ECG_RHY_"))
        if rhythm is not None and low is not None and high is not None and high >= low:
            into.add("rhythm", rhythm, "", low, high)
        else:
            said.append(markup.attribute(value, "displayName") or word)
    elif value is not None and markup.text(value) and markup.attribute(value, "type") in ("ST", "ED"):
        said.append(markup.text(value))


def _is_peak(annotation: Element) -> bool:
    return markup.attribute(annotation, "code", "value") == "MDC_ECG_WAVC_PEAK"


def _extent(annotation: Element, clock: str) -> tuple[float | None, float | None, str]:
    """Return where an annotation begins and ends, s from the beginning of the series, and its lead."""
    low = high = None
    lead = ""
    for boundary in markup.find_all(markup.find(annotation, "support", "supportingROI"), "boundary"):
        code = markup.attribute(boundary, "code", "code")
        value = markup.find(boundary, "value")
        if code.startswith("TIME_"):
            alone = value is not None and value.find("low") is None and value.find("high") is None
            low = _moment(value if alone else markup.find(value, "low"), clock)
            high = _moment(markup.find(value, "high"), clock)
        elif name := canonical(code):
            lead = name
    return low, high, lead


# --- writing ----------------------------------------------------------------------------------------------


def write_aecg(
    ecg: Ecg, *, patient: str = "", time: str = "", sex: str = "", findings: Iterable[Findings] = ()
) -> bytes:
    """Return an aECG file with one series, and the median beat derived from it if findings hold one.

    Parameters
    ----------
    patient : str
        Identifier of the subject.
    time : str
        Start, ISO 8601; without one the clock is relative.
    sex : str
        M, F or "".
    findings : iterable of Findings
        Each becomes an annotation set: beats, waves, and the numbers that aECG has a name for.

    Raises
    ------
    InputError
        If samples are missing, or a lead has no MDC name.
    """
    strange = [
        lead for lead in ecg.leads if lead not in STANDARD and not re.fullmatch(r"V[789]|V\dR|[XYZ]", lead)
    ]
    if strange:
        raise InputError(f"leads {', '.join(strange)}", needed="leads with an MDC name", fix="write WFDB")
    said = tuple(findings)
    whole, steps = quantised(ecg)
    stamp = re.sub(r"[-:T]", "", time).ljust(14, "0") if time else ""
    kind = "RHYTHM" if ecg.kind == "rhythm" else "REPRESENTATIVE_BEAT"
    head = f'<head value="{stamp}.000"/>' if stamp else '<head value="0" unit="s"/>'
    clock = ("TIME_ABSOLUTE", "GLIST_TS") if stamp else ("TIME_RELATIVE", "GLIST_PQ")
    rows = [
        _sequence(clock[0], clock[1], f'{head}<increment value="{1 / ecg.rate_hz!r}" unit="s"/>'),
    ]
    for lead, row, step in zip(ecg.leads, whole, steps, strict=True):
        rows.append(_lead(lead, row, step))
    uid = ecg.origin.uid
    notes = annotation_sets(said, uid) + _derived(said, uid)
    gender = f"<administrativeGenderCode code={quoteattr(sex)}/>" if sex else ""
    person = f"<subjectDemographicPerson>{gender}</subjectDemographicPerson>"
    subject = f"<id root={quoteattr('2.25.0')} extension={quoteattr(escape(patient))}/>{person}"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<code code="93000" codeSystem="2.16.840.1.113883.6.12"/>'
        "<componentOf><timepointEvent><componentOf><subjectAssignment><subject>"
        f"<trialSubject>{subject}</trialSubject>"
        "</subject></subjectAssignment></componentOf></timepointEvent></componentOf>"
        f'<component><series><code code="{kind}" codeSystem="2.16.840.1.113883.5.4"/>'
        f"<component><sequenceSet>{''.join(rows)}</sequenceSet></component>{notes}</series></component></AnnotatedECG>\n"
    )
    return text.encode()


def _lead(lead: str, digits: npt.NDArray[np.int64], step_mv: float) -> str:
    name = f"V{lead}" if lead in "XYZ" else lead.upper()
    scale = f'<origin value="0" unit="uV"/><scale value="{step_mv * 1000:.15g}" unit="uV"/>'
    body = f"{scale}<digits>{' '.join(map(str, digits.tolist()))}</digits>"
    return _sequence(f"MDC_ECG_LEAD_{name}", "SLIST_PQ", body)


def _derived(said: tuple[Findings, ...], part: str) -> str:
    """Return the median beat as a derived series on a clock of its own, "" if there is none."""
    curves = median_curves(said, part)
    if not curves:
        return ""
    x = curves[0][1].x
    step_s = float(x[-1] - x[0]) / (len(x) - 1) / 1000.0
    head = f'<head value="0" unit="s"/><increment value="{step_s:.9g}" unit="s"/>'
    rows = [_sequence("TIME_RELATIVE", "GLIST_PQ", head)]
    rows += [
        _lead(lead, np.round(c.y / MEDIAN_STEP_MV).astype(np.int64), MEDIAN_STEP_MV) for lead, c in curves
    ]
    notes = annotation_sets(said, part, median_starts_s=float(x[0]) / 1000.0)
    return (
        '<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT" codeSystem="2.16.840.1.113883.5.4"/>'
        f"<component><sequenceSet>{''.join(rows)}</sequenceSet></component>{notes}"
        "</derivedSeries></derivation>"
    )


def _sequence(code: str, kind: str, body: str) -> str:
    system = "2.16.840.1.113883.6.24" if code.startswith("MDC") else "2.16.840.1.113883.5.4"
    return (
        f'<component><sequence><code code="{code}" codeSystem="{system}"/>'
        f'<value xsi:type="{kind}">{body}</value></sequence></component>'
    )
