"""Findings as a FHIR transaction, R5 or R4B: each item an Observation, one DiagnosticReport a run.

Ids are derived from the content, so that sending the same findings twice changes nothing and other
findings never overwrite them. Dates are written without a time where the source has no time zone,
which FHIR asks for.

==================  =====================================================================================
`Measurement`       ``valueQuantity`` in UCUM
  Sd                extension iso21090-uncertainty on the quantity
  Interval          component 371884006 |+/-, range of measurement uncertainty| with ``valueRange``, its
                    level in the extension ``urn:carna:level``; Samples become the 95 % they span
  Unknown           extension ``urn:carna:no-uncertainty`` with the reason
`Absent`            ``dataAbsentReason``, the DICOM reason beside the one of FHIR, the sentence as text
`Statement`         ``valueCodeableConcept`` criteria met, not met, not assessable; ``method`` is the rule
`Region`            a component a segment and moment with its volume, mL; the pixels it is drawn on as
                    ImagingSelection (R5), by reference to the study (R4B)
`Curve`             ``valueSampledData``; in R4B only one evenly spaced in time
`Events`            a component a type with its count
`Field`             a component a segment of the 17; on a mesh it is left out
==================  =====================================================================================

What is left out is named in the report's narrative.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, assert_never, final

import numpy as np

from carna import codes
from carna.case import Case
from carna.codes import Concept
from carna.findings import (
    Absent,
    Curve,
    Events,
    Evidence,
    Field,
    Findings,
    Interval,
    Item,
    Measurement,
    Region,
    Samples,
    Sd,
    Shape,
    Statement,
    Uncertainty,
    Unknown,
)
from carna.findings.model import NAMESPACE
from carna.render import say
from carna.render.carries import left_out
from carna.render.dicom_common import references
from carna.render.words import words
from carna.study import Cine, Ecg, Image, Part, Patient, Picture, Planes, Slide, Study
from carna.units import convert, dimension, display

__all__ = ["CARRIES", "Version", "to_fhir"]

Version = Literal["R5", "R4B"]
Json = dict[str, Any]

# A region is told by its volumes, events by their number, a field by the 17 segments: not whole.
CARRIES: frozenset[type] = frozenset({Measurement, Curve, Statement, Absent})

UNCERTAINTY = "http://hl7.org/fhir/StructureDefinition/iso21090-uncertainty"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
LEVEL, NO_UNCERTAINTY, PROBABILITY_BY = (
    "urn:carna:level",
    "urn:carna:no-uncertainty",
    "urn:carna:calibration",
)
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
DICOM_UID = "urn:dicom:uid"
_REASONS = {
    codes.NOT_ATTEMPTED: "not-performed",
    codes.MEASUREMENT_FAILURE: "error",
    codes.CALCULATION_FAILURE: "error",
    codes.OUT_OF_RANGE: "error",
    codes.VALUE_UNKNOWN: "unknown",
    codes.VALUE_INDETERMINATE: "unknown",
}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


@final
@dataclass(frozen=True, slots=True)
class _Bundle:
    """The entries as they grow, and what every resource has in common."""

    version: Version
    one: Findings
    study: Study
    uid: str
    entries: dict[str, Json]
    tags: list[Json] = field(default_factory=list)

    def add(self, kind: str, name: str, body: Json) -> Json:
        """Add a resource with an id of the findings and its name; return a reference to it."""
        return self.put(kind, _uuid(self.one.derived_uid(self.uid, kind, name)), body)

    def put(self, kind: str, id: str, body: Json) -> Json:
        """Add a resource with a given id, once; return a reference to it."""
        resource = {"resourceType": kind, "id": id, "meta": {"security": self.tags}, **body}
        if not self.tags:
            del resource["meta"]
        self.entries.setdefault(
            f"urn:uuid:{id}",
            {
                "fullUrl": f"urn:uuid:{id}",
                "resource": {k: v for k, v in resource.items() if v not in (None, "", [], {})},
                "request": {"method": "PUT", "url": f"{kind}/{id}"},
            },
        )
        return {"reference": f"urn:uuid:{id}", "type": kind}


def to_fhir(findings: Findings | tuple[Findings, ...], case: Case, version: Version = "R5") -> Json:
    """Return a transaction Bundle as JSON values.

    Parameters
    ----------
    findings : Findings or tuple of Findings
    case : Case
        Holds every study the findings are on.
    version : "R5" or "R4B"

    Returns
    -------
    dict
        Patient, ImagingStudy (where DICOM images arrived), and for each run Device, Observation,
        ImagingSelection (R5), DiagnosticReport and Provenance.

    Raises
    ------
    InputError
        If the case does not hold a study of the findings.
    """
    entries: dict[str, Json] = {}
    for one in say.both(findings):
        study = say.study_of(one, case)
        _run(_Bundle(version, one, study, one.uid, entries, _tags(one)), case)
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries.values())}


def _run(bundle: _Bundle, case: Case) -> None:
    one, study = bundle.one, bundle.study
    patient = bundle.put("Patient", *_patient(case.patient))
    images = _imaging_study(bundle, patient)
    device = bundle.add("Device", "device", _device(one, bundle.version))
    day = _date(study.time)
    electric = any(isinstance(study.part(i.uid), Ecg) for i in one.manifest.inputs)
    kind = {"system": TERMINOLOGY + "observation-category", "code": "procedure" if electric else "imaging"}
    base: Json = {"status": one.status, "subject": patient, "effectiveDateTime": day}
    said = {item.id: _said(item, bundle.version) for item in one.items}
    ids = {i: _uuid(one.derived_uid(bundle.uid, "Observation", i)) for i, body in said.items() if body}
    results = []
    for item in one.items:
        if item.id not in ids:
            continue
        seen = [_seen(bundle, e, patient, images) for e in item.evidence]
        of = [{"reference": f"urn:uuid:{ids[i]}", "type": "Observation"} for i in item.of if i in ids]
        body = {
            "identifier": [{"system": "urn:carna:item", "value": item.id}],
            **base,
            "device": device,
            "category": [{"coding": [kind]}],
            "code": _concept(item.code),
            "bodySite": _concept(item.site) if item.site else None,
            "derivedFrom": seen + of,
            **(said[item.id] or {}),
        }
        results.append(bundle.add("Observation", item.id, body))
    missing = tuple(f"{i.id} ({type(i).__name__})" for i in one.items if i.id not in ids)
    left = tuple(dict.fromkeys(left_out(one, CARRIES) + missing))
    report = bundle.add("DiagnosticReport", "report", _report(bundle, base, results, left, images))
    bundle.add("Provenance", "provenance", _provenance(bundle, [report, *results], device))


def _uuid(uid: str) -> str:
    return str(uuid.UUID(int=int(uid.removeprefix("2.25."))))


def _date(iso: str) -> str | None:
    """Return the day of an ISO 8601 time, None if there is none."""
    found = _DATE.match(iso)
    return found.group() if found else None


def _instant(iso: str) -> str | None:
    """Return a time if it says its zone, which FHIR asks for."""
    return iso if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", iso) else None


def _tags(one: Findings) -> list[Json]:
    """Return security labels: research use and test data are told to every system by them."""
    system = TERMINOLOGY + "v3-ActReason"
    labels = (
        (not one.validated, "HRESCH", "healthcare research"),
        (one.synthetic, "HTEST", "test health data"),
    )
    return [{"system": system, "code": code, "display": text} for on, code, text in labels if on]


def _coding(concept: Concept) -> Json:
    """Return a coding; MDC as its one number, LOINC by the code whose check digit is right."""
    plain = [v for scheme, v in concept.also if scheme == concept.scheme == "MDC" and ":" not in v]
    value = plain[-1] if plain else concept.value
    if concept == codes.ECG_REPORT:
        value = next(v for scheme, v in concept.also if scheme == "LN")
    return {"system": codes.system_uri(concept.scheme), "code": value, "display": concept.meaning}


def _concept(concept: Concept, text: str = "") -> Json:
    """Return a concept; beside the code of another scheme stands LOINC's for the same thing."""
    loinc = [] if concept.scheme == "LN" else [v for scheme, v in concept.also if scheme == "LN"]
    also = [{"system": codes.system_uri("LN"), "code": value} for value in loinc]
    return {"coding": [_coding(concept), *also], "text": text or concept.meaning}


def _quantity(value: float, unit: str) -> Json:
    ucum = {"system": codes.system_uri("UCUM"), "code": unit}
    shown = display(unit)
    return {"value": float(value), **({"unit": shown} if shown else {}), **ucum}


def _patient(patient: Patient) -> tuple[str, Json]:
    id = str(uuid.uuid5(NAMESPACE, f"patient/{patient.issuer}/{patient.id}"))
    identifier: Json = {"value": patient.id}
    if patient.issuer:
        identifier["assigner"] = {"display": patient.issuer}
    family, *given = patient.name.split("^")
    name: Json = {"text": " ".join(n for n in patient.name.split("^") if n), "family": family}
    if any(given):
        name["given"] = [n for n in given if n]
    return id, {
        "identifier": [identifier] if patient.id else None,
        "name": [{k: v for k, v in name.items() if v}] if patient.name else None,
        "gender": patient.sex or "unknown",
        "birthDate": _date(patient.birth_date),
    }


def _device(one: Findings, version: Version) -> Json:
    """Return the application as a device: its name, version and settings (as TID 4019 has them)."""
    manifest = one.manifest
    settings = "; ".join(f"{name} = {value}" for name, value in manifest.settings.items())
    kind = {"text": "Software algorithm"}
    body: Json = {
        "identifier": [{"system": "urn:carna:application", "value": manifest.application}],
        "version": [{"value": manifest.version}],
        "note": [{"text": f"settings: {settings}"}] if settings else None,
    }
    if version == "R5":
        return {**body, "displayName": manifest.application, "type": [kind]}
    return {**body, "deviceName": [{"name": manifest.application, "type": "other"}], "type": kind}


def _images(study: Study) -> list[Part]:
    images = (p for p in study.parts if isinstance(p, Image | Planes | Cine | Picture | Slide))
    return [p for p in images if any(s.sop_class for s in p.origin.sources)]


def _imaging_study(bundle: _Bundle, patient: Json) -> Json | None:
    """Add the DICOM study the images are of; None where no DICOM image arrived."""
    study, parts = bundle.study, _images(bundle.study)
    if not parts:
        return None
    series = []
    for part in parts:
        system = {"system": codes.system_uri("DCM"), "code": part.origin.modality}
        instances = {s.uid: s.sop_class for s in part.origin.sources if s.sop_class}
        line: Json = {
            "uid": next((s.series for s in part.origin.sources if s.series), part.origin.uid),
            "modality": {"coding": [system]} if bundle.version == "R5" else system,
            "numberOfInstances": len(instances),
            "instance": [{"uid": uid, "sopClass": _sop_class(c)} for uid, c in instances.items()],
        }
        if part.origin.label:
            line["description"] = part.origin.label
        if part.origin.number is not None and part.origin.number >= 0:
            line["number"] = part.origin.number
        series.append(line)
    id = str(uuid.uuid5(NAMESPACE, f"study/{study.uid}"))
    body = {
        "identifier": [{"system": DICOM_UID, "value": f"urn:oid:{study.uid}"}],
        "status": "available",
        "subject": patient,
        "started": _date(study.time),
        "description": study.description,
        "numberOfSeries": len(series),
        "series": series,
    }
    return bundle.put("ImagingStudy", id, body)


def _sop_class(uid: str) -> Json:
    return {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{uid}"}


def _seen(bundle: _Bundle, where: Evidence, patient: Json, images: Json | None) -> Json:
    """Return a reference to what an item was seen in: a selection of images, else the part by its UID."""
    text = say.evidence(where, bundle.study, words("en"))
    part = bundle.study.part(where.part)
    found = references(where, bundle.study)
    if part is None or images is None or part not in _images(bundle.study) or not found:
        system = DICOM_UID if found else "urn:carna:part"
        value = f"urn:oid:{where.part}" if found else where.part
        return {"identifier": {"system": system, "value": value}, "display": text}
    if bundle.version == "R4B":
        return {**images, "display": text}
    frames: dict[str, list[int]] = {}
    for reference in found:
        frames.setdefault(reference.uid, []).extend([reference.frame] if reference.frame else [])
    classes = {r.uid: r.sop_class for r in found}
    instances = [
        {
            "uid": uid,
            "sopClass": _sop_class(classes[uid]),
            **({"subset": [str(n) for n in numbers]} if numbers else {}),
        }
        for uid, numbers in frames.items()
    ]
    body = {
        "status": "available",
        "subject": patient,
        "code": _concept(codes.SOURCE_OF_MEASUREMENT),
        "studyUid": bundle.study.uid,
        "derivedFrom": [images],
        "seriesUid": found[0].series,
        "instance": instances,
    }
    return {**bundle.add("ImagingSelection", f"{where.part}/{text}", body), "display": text}


def _said(item: Item, version: Version) -> Json | None:
    """Return what an Observation says of an item, None where it can't be said."""
    match item:
        case Measurement():
            method = {"method": _concept(item.method)} if item.method else {}
            return {
                **_with_uncertainty(_quantity(item.value, item.unit), item.uncertainty, item.unit),
                **method,
            }
        case Absent():
            reason = {
                "system": TERMINOLOGY + "data-absent-reason",
                "code": _REASONS.get(item.reason, "error"),
            }
            return {"dataAbsentReason": {"coding": [reason, _coding(item.reason)], "text": item.why}}
        case Statement():
            said: Json = {
                "valueCodeableConcept": _concept(codes.VERDICTS[item.verdict]),
                "method": {"text": item.rule},
            }
            if item.probability is not None:
                record = {"url": PROBABILITY_BY, "valueString": item.calibration}
                share = {**_quantity(item.probability, "1"), "extension": [record]}
                said["component"] = [{"code": _concept(codes.PROBABILITY), "valueQuantity": share}]
            return said
        case Region():
            return {"component": _volumes(item)}
        case Events():
            counts = np.bincount(item.type_index, minlength=len(item.types)).tolist()
            pairs = zip(item.types, counts, strict=True)
            lines = [{"code": _concept(t), "valueQuantity": _quantity(n, "{events}")} for t, n in pairs]
            return {"component": lines} if lines else None
        case Curve():
            sampled = _sampled(item, version)
            return {"valueSampledData": sampled} if sampled else None
        case Field():
            if item.on != "AHA17" or item.values.ndim != 1 or not np.isfinite(item.values).all():
                return None
            segments = zip(codes.AHA17, item.values.tolist(), strict=True)
            return {
                "component": [
                    {"code": _concept(c), "valueQuantity": _quantity(v, item.unit)} for c, v in segments
                ]
            }
        case Shape():
            return None
        case _:
            assert_never(item)


def _with_uncertainty(quantity: Json, uncertainty: Uncertainty, unit: str) -> Json:
    match uncertainty:
        case Sd(sd=sd):
            return {"valueQuantity": {**quantity, "extension": [{"url": UNCERTAINTY, "valueDecimal": sd}]}}
        case Interval(low=low, high=high, level=level):
            return {"valueQuantity": quantity, "component": [_range(low, high, level, unit)]}
        case Samples(values=values):
            low, high = np.percentile(values, (2.5, 97.5)).tolist()
            return {"valueQuantity": quantity, "component": [_range(low, high, 0.95, unit)]}
        case Unknown(why=why):
            return {"valueQuantity": {**quantity, "extension": [{"url": NO_UNCERTAINTY, "valueString": why}]}}
        case _:
            assert_never(uncertainty)


def _range(low: float, high: float, level: float, unit: str) -> Json:
    ends = {"low": _quantity(low, unit), "high": _quantity(high, unit)}
    stated = {**ends, "extension": [{"url": LEVEL, "valueDecimal": level}]}
    return {"code": _concept(codes.UNCERTAINTY_RANGE), "valueRange": stated}


def _volumes(item: Region) -> list[Json]:
    lines = []
    for segment in item.segments:
        known = item.volume_ml(segment.label)
        for t, volume in enumerate([] if known is None else np.atleast_1d(known).tolist()):
            moment = f", frame {item.frames[t] + 1}" if t < len(item.frames) else ""
            name = f"{codes.VOLUME.meaning} of {segment.code.meaning}{moment}"
            coded = {"coding": [_coding(codes.VOLUME), _coding(segment.code)], "text": name}
            lines.append({"code": coded, "valueQuantity": _quantity(volume, "mL")})
    return lines


def _sampled(item: Curve, version: Version) -> Json | None:
    """Return a curve as samples: spaced evenly where it is, by offsets in R5 where not."""
    if len(item.x) < 2:
        return None
    steps = np.diff(item.x)
    even = bool(np.allclose(steps, steps[0], rtol=1e-6)) and steps[0] > 0
    zero = {k: v for k, v in _quantity(0.0, item.y_unit).items() if k != "comparator"}
    base: Json = {"origin": zero, "dimensions": 1, "data": " ".join(repr(v) for v in item.y.tolist())}
    if version == "R4B":
        if not even or item.x[0] != 0 or dimension(item.x_unit) != dimension("ms"):
            return None
        return {**base, "period": convert(float(steps.mean()), item.x_unit, "ms")}
    if even and item.x[0] == 0:
        return {**base, "interval": float(steps.mean()), "intervalUnit": item.x_unit}
    return {**base, "intervalUnit": item.x_unit, "offsets": " ".join(repr(v) for v in item.x.tolist())}


def _report(
    bundle: _Bundle, base: Json, results: list[Json], left: tuple[str, ...], images: Json | None
) -> Json:
    one, text = bundle.one, words("en").text
    electric = any(isinstance(bundle.study.part(i.uid), Ecg) for i in one.manifest.inputs)
    told = (
        (not one.validated, "research_use"),
        (one.synthetic, "synthetic"),
        (one.status != "final", "preliminary"),
        (one.high_stakes, "high_stakes"),
    )
    banners = " ".join(text(key) for on, key in told if on)
    section = {"system": TERMINOLOGY + "v2-0074", "code": "EC" if electric else "RAD"}
    return {
        **base,
        "text": {"status": "generated", "div": _narrative(one, banners, left)},
        "identifier": [{"system": DICOM_UID, "value": f"urn:oid:{bundle.uid}"}],
        "category": [{"coding": [section]}],
        "code": _concept(codes.ECG_REPORT if electric else codes.IMAGING_MEASUREMENT_REPORT),
        "resultsInterpreter": [{"display": one.review.author}] if one.review else None,
        "result": results,
        ("study" if bundle.version == "R5" else "imagingStudy"): [images]
        if images and not electric
        else None,
        "conclusion": banners,
    }


def _narrative(one: Findings, banners: str, left: tuple[str, ...]) -> str:
    """Return the report for a person, as XHTML."""
    in_words = words("en")
    lines = []
    for item in one.items:
        match item:
            case Measurement():
                number = f"{say.value(item)} {in_words.unit(item.unit)}".rstrip()
                shown = f"{number}; {say.uncertainty(item.uncertainty, in_words)}"
            case Statement():
                shown = f"{in_words.text(item.verdict)}; {item.rule}"
            case Absent():
                shown = f"{in_words.text('absent')}: {item.why}"
            case Region() | Shape() | Field() | Curve() | Events():
                continue
            case _:
                assert_never(item)
        site = f", {item.site.meaning}" if item.site else ""
        lines.append(f"<li>{escape(item.code.meaning + site)}: {escape(shown)}</li>")
    listed = f"<ul>{''.join(lines)}</ul>" if lines else ""
    rest = f"<p>{escape(in_words.text('left_out'))}: {escape(', '.join(left))}</p>" if left else ""
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(banners)}</p>{listed}{rest}</div>'


def _provenance(bundle: _Bundle, targets: list[Json], device: Json) -> Json:
    """Return what made the report, from what, and who reviewed it."""
    manifest, review = bundle.one.manifest, bundle.one.review
    recorded = _instant(review.time if review else manifest.started)
    unknown = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}
    role = TERMINOLOGY + "provenance-participant-type"
    agents: list[Json] = [{"type": {"coding": [{"system": role, "code": "assembler"}]}, "who": device}]
    if review:
        verifier = {
            "type": {"coding": [{"system": role, "code": "verifier"}]},
            "who": {"display": review.author},
        }
        agents.append(verifier)
    sources: list[Json] = [
        {
            "role": "source",
            "what": {
                "identifier": {"system": "urn:carna:part", "value": i.uid},
                "display": f"{i.name} {i.sha256}".strip(),
            },
        }
        for i in manifest.inputs
    ]
    if bundle.one.parent:
        corrected = {"identifier": {"system": DICOM_UID, "value": f"urn:oid:{bundle.one.parent}"}}
        sources.append({"role": "revision", "what": corrected})
    return {
        "target": targets,
        **({"recorded": recorded} if recorded else {"_recorded": unknown}),
        "agent": agents,
        "entity": sources,
    }
