"""FHIR resources without the person: what is not known to be harmless goes.

JSON of any version. A leaf stays for one of four reasons: it is a number or a truth value; its key holds
codes and its coding system is a published one; it is a date, and dates are kept or moved; it is a reference,
whose target has got a new id. Everything else is somebody's words: it is cleaned where descriptions are,
else it goes. Extensions and narratives go always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final
from uuid import UUID

from carna.doors.deidentify.clock import Shift
from carna.doors.deidentify.profile import Profile
from carna.doors.deidentify.project import Project
from carna.doors.deidentify.words import Known, known, safe
from carna.doors.fhir.tree import Node, nodes, resources, text

_SYSTEM: Final = "urn:carna:pseudonym"
# Keys under which people are told, or their own words.
_PERSONAL: Final = frozenset((
    "address", "telecom", "photo", "contact", "name", "alias", "maritalStatus", "multipleBirthBoolean",
    "multipleBirthInteger", "communication", "link", "extension", "modifierExtension", "fhir_comments",
    "identifier", "birthDate", "animal", "position", "qualification", "signature", "data", "hash",
    "masterIdentifier", "source", "requisition", "accession", "endpoint", "ifNoneExist", "ifMatch",
    "serialNumber", "udi", "udiCarrier", "lotNumber", "careManager",
))  # fmt: skip
# Keys whose values are words of a fixed list.
_CODED: Final = frozenset((
    "resourceType", "status", "code", "unit", "currency", "type", "class", "intent", "clinicalStatus",
    "verificationStatus", "outcome", "category", "mode", "priority", "comparator", "periodUnit",
    "periodUnits", "contentType", "lifecycleStatus", "criticality", "severity", "kind", "method",
    "interpretation", "version", "durationUnit", "achievementStatus", "wasNotGiven", "statusReason",
    "language", "fhirVersion",
))  # fmt: skip
_WORD: Final = re.compile(r"[A-Za-z0-9{}\[\]./%*'^_#<>=+\-]{1,64}")
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?)?)?"
)
_CLOCK: Final = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?")
_PUBLISHED: Final = (
    "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org", "http://hl7.org/",
    "http://terminology.hl7.org/", "http://www.nlm.nih.gov/research/umls/", "http://dicom.nema.org/",
    "urn:iso:", "urn:oid:1.2.840.10008", "urn:oid:2.16.840.1.113883.6.", "http://www.whocc.no/atc",
    "urn:std:iso:11073", "urn:ietf:bcp:", "http://standardhealthrecord.org/", "http://fhir.org/",
    "https://bluebutton.cms.gov/resources/",
)  # fmt: skip
# A resource is not valid without these; they say nothing then.
_REQUIRED_DATES: Final = frozenset(("created", "occurrenceDateTime"))
_SUBJECTS: Final = ("subject", "patient", "beneficiary", "individual", "for")


@final
@dataclass(frozen=True, slots=True)
class People:
    """Who is told of in some documents that belong together.

    Parameters
    ----------
    persons : mapping
        By each reference to a patient, what their pseudonym follows from.
    names, numbers : mapping
        Names in DICOM's writing and numbers, by person; under "" those of everybody else.
    """

    persons: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[str, ...]]


@final
@dataclass(frozen=True, slots=True)
class _Run:
    profile: Profile
    project: Project
    known: Known
    persons: Mapping[str, str]
    shift: Shift


def deidentify_fhir(
    document: Node, profile: Profile, project: Project, people: People | None = None
) -> dict[str, Any]:
    """Return a resource or a bundle without the persons in it.

    A patient's pseudonym follows from the medical record number (identifier of type MR, else the first one,
    else the id): it is that of the DICOM objects that carry the number as Patient ID without an issuer.

    Parameters
    ----------
    document : mapping
        Parsed JSON.
    people : People or None
        Those of all documents that refer to each other; by default those of this one.

    Returns
    -------
    dict
        Ids, references and dates agree with every other file of the project.
    """
    people = people or people_of([document])
    named = {r for _, one in resources(document) for r in _subjects(one)}
    here = {people.persons[r] for r in named if r in people.persons}
    here |= {_person(one, url) for url, one in resources(document) if one.get("resourceType") == "Patient"}
    names = [name for person in ("", *here) for name in people.names.get(person, ())]
    numbers = [number for person in ("", *here) for number in people.numbers.get(person, ())]
    strangers = known(
        tuple(sorted({n for n in names if n and not project.knows(n)})),
        tuple(sorted({n for n in numbers if not project.knows(n)})),
    )
    only = next(iter(here)) if len(here) == 1 else ""
    run = _Run(profile, project, strangers, people.persons, Shift(project.shift(only)))
    return dict(_resource(document, run))


def people_of(documents: Iterable[Node]) -> People:
    """Return who is told of in documents: patients by every reference, and everybody's names and numbers."""
    persons: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, tuple[str, ...]] = {}
    for url, one in (found for document in documents for found in resources(document)):
        person = _person(one, url) if one.get("resourceType") == "Patient" else ""
        if person:
            id = text(one, "id")
            persons |= {key: person for key in (url, f"Patient/{id}", f"urn:uuid:{id}") if key}
        told = [
            str(n["value"]) for key in ("identifier", "telecom") for n in nodes(one, key) if n.get("value")
        ]
        names[person] = names.get(person, ()) + tuple(_dicom_name(name) for name in nodes(one, "name"))
        numbers[person] = numbers.get(person, ()) + tuple(told)
    return People(persons, names, numbers)


def _person(patient: Node, url: str) -> str:
    return _number(patient) or text(patient, "id") or url


def _subjects(resource: Node) -> list[str]:
    """Return the references of a resource to the one it is about."""
    return [r for key in _SUBJECTS for target in nodes(resource, key) if (r := text(target, "reference"))]


def _number(patient: Node) -> str:
    """Return the medical record number, else the first identifier's value."""
    every = nodes(patient, "identifier")
    records = [
        id
        for id in every
        for kind in nodes(id, "type")
        for code in nodes(kind, "coding")
        if code.get("code") == "MR"
    ]
    return next((number for id in (*records, *every) if (number := text(id, "value"))), "")


def _dicom_name(name: Node) -> str:
    given = name.get("given")
    family = name.get("family")
    parts = [
        *(family if isinstance(family, list) else [family]),
        *(given if isinstance(given, list) else [given]),
    ]
    return "^".join(p for p in parts if isinstance(p, str)) or text(name, "text").replace(" ", "^")


def _resource(resource: Node, run: _Run) -> dict[str, Any]:
    """Return one resource; its dates move as its patient's do."""
    kind = text(resource, "resourceType")
    if kind == "Bundle":
        return _members(resource, run)
    person = _person(resource, "") if kind == "Patient" else ""
    person = person or next((run.persons.get(r, r.rpartition("/")[2]) for r in _subjects(resource)), "")
    if person:
        run = replace(run, shift=Shift(run.project.shift(person)))
    out = _members(resource, run)
    if kind == "Patient":
        pseudonym = run.project.pseudonym(person)
        out["identifier"] = [{"system": _SYSTEM, "value": pseudonym}]
        out["name"] = [{"text": pseudonym}]
    elif kind in ("Organization", "Practitioner", "Location"):
        out["identifier"] = [{"system": _SYSTEM, "value": _id(text(resource, "id"), run)}]
    return out


def _members(one: Node, run: _Run) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in one.items():
        if key.startswith("_") or key in _PERSONAL or (key == "text" and isinstance(value, dict)):
            continue
        if key in ("gender", "deceasedBoolean") and not run.profile.retain_patient_characteristics:
            continue
        kept = _value(key, value, run)
        if kept not in (None, {}, []):
            out[key] = kept
    return out


def _value(key: str, value: Any, run: _Run) -> Any:
    if isinstance(value, list):
        kept = [_value(key, one, run) for one in value]
        return [one for one in kept if one not in (None, {}, [])]
    if isinstance(value, dict):
        if "resourceType" in value:
            return _resource(value, run)
        if _is_coding(value):
            return _coding(value, run)
        out = _concept(value, run) if "coding" in value else _members(value, run)
        refers = "reference" in value or ("display" in value and "system" not in value)
        # What a resource must refer to, it still does, though nothing is left to be said of it.
        return out or ({"display": "REMOVED"} if refers else {})
    if isinstance(value, str):
        return _string(key, value, run)
    return value


def _is_coding(value: Node) -> bool:
    """Whether an object is a Coding: it has a code or its system, and is no quantity."""
    return ("code" in value or "display" in value) and "system" in value and "value" not in value


def _coding(value: Node, run: _Run) -> dict[str, Any]:
    system, code = text(value, "system"), text(value, "code")
    if system == "urn:ietf:rfc:3986":
        # A class of objects is written as a UID, with or without its prefix.
        uid = _oid(code, run)
        return {"system": system, "code": uid} if uid else {}
    if not system.startswith(_PUBLISHED) or (len(code) == 18 and run.known.scrub(code) != code):
        return {}
    out = {key: value[key] for key in ("system", "version", "code", "userSelected") if key in value}
    return {**out, "display": run.known.scrub(text(value, "display"))} if "display" in value else out


def _concept(value: Node, run: _Run) -> dict[str, Any]:
    """Return a CodeableConcept; its text stays where it is what one of its codes is called."""
    out = _members({k: v for k, v in value.items() if k != "text"}, run)
    said = text(value, "text")
    shown = {text(code, "display") for code in nodes(out, "coding")}
    kept = run.known.scrub(said) if said in shown else _words(said, run)
    return {**out, "text": kept} if kept else out


def _string(key: str, value: str, run: _Run) -> Any:
    if key == "id":
        return _id(value, run)
    if key == "reference":
        return _reference(value, run)
    if key == "fullUrl":
        return value if not value else _reference(value, run) or f"urn:uuid:{_uuid(value, run)}"
    figure = value.isdecimal() and key in ("code", "version", "value", "display")
    if _DATE.fullmatch(value) and not figure:
        return _date(key, value, run)
    if _CLOCK.fullmatch(value):
        return value if run.profile.retain_full_dates else None
    if key in ("url", "profile", "system"):
        short = re.fullmatch(r"[A-Z][A-Za-z]+", value) is not None
        return value if value.startswith(_PUBLISHED) or short else None
    if key == "uid" or value.startswith("urn:oid:"):
        return _oid(value, run)
    if key in _CODED or key in ("gender", "use"):
        return value if _WORD.fullmatch(value) and value == run.known.scrub(value) else None
    return _words(value, run)


def _words(value: str, run: _Run) -> str | None:
    return (safe(run.known.scrub(value)) or None) if run.profile.clean_descriptors else None


def _id(value: str, run: _Run) -> str:
    if run.project.knows(value):
        return value
    person = run.persons.get(f"Patient/{value}")
    if person is not None:
        return run.project.pseudonym(person)
    try:
        return str(_uuid(f"urn:uuid:{UUID(value)}", run))
    except ValueError:
        return run.project.pseudonym(f"id\0{value}")


def _reference(value: str, run: _Run) -> str | None:
    if value.startswith("#"):
        return "#" + _id(value[1:], run)
    if value.startswith("urn:uuid:"):
        return f"urn:uuid:{_uuid(value, run)}"
    if value.startswith("urn:oid:"):
        return _oid(value, run)
    found = re.search(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[\w.\-]+)?$", value)
    if found is None:
        return None
    base = "https://removed.invalid/fhir/" if "://" in value else ""
    return f"{base}{found[1]}/{_id(found[2], run)}"


def _uuid(value: str, run: _Run) -> UUID:
    """Return the UUID in place of another; as UIDs, the project's own stay."""
    try:
        number = UUID(value.removeprefix("urn:uuid:")).int
    except ValueError:
        return UUID(int=int(run.project.uid(f"url {value}")[5:]))
    return UUID(int=int(run.project.uid(f"2.25.{number}")[5:]))


def _oid(value: str, run: _Run) -> str | None:
    uid = value.removeprefix("urn:oid:")
    if not re.fullmatch(r"[0-9.]{3,64}", uid):
        return None
    keeps = run.profile.retain_uids or uid.startswith("1.2.840.10008.")
    return value if keeps else value.replace(uid, run.project.uid(uid))


def _date(key: str, value: str, run: _Run) -> str | None:
    if run.profile.retain_full_dates:
        return value
    required = "1900-01-01" if key in _REQUIRED_DATES else None
    if not run.profile.retain_modified_dates:
        return required
    found = _DATE.fullmatch(value)
    assert found is not None
    year, month, day, clock, fraction, zone = found.groups()
    digits = "".join(p for p in (year, month, day, clock) if p).replace(":", "")
    moved = run.shift.moment(digits)
    if moved is None:
        return required
    parts = "-".join(p for p in (moved[:4], moved[4:6], moved[6:8]) if p)
    if not clock:
        return parts
    time = ":".join(moved[n : n + 2] for n in range(8, len(moved), 2))
    # An offset says where; one has to be said, so it is that of nowhere in particular.
    return f"{parts}T{time}{fraction or ''}{'Z' if zone else ''}"
