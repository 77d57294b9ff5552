"""One patient's resources put together as a `Record`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import final

from carna.doors.fhir.tree import Node, node, nodes, text
from carna.doors.fhir.values import age_a, codings, moment, value_of, words
from carna.errors import UnitError
from carna.study import Entry, Patient
from carna.study.parts import Sex
from carna.units import convert

_SEX: dict[str, Sex] = {"male": "male", "female": "female", "other": "other"}
_HEIGHT = (("LN", "8302-2"), ("LN", "3137-7"), ("LN", "8308-9"))
_WEIGHT = (("LN", "29463-7"), ("LN", "3141-9"))
_UNDONE = ("entered-in-error", "cancelled", "refuted", "draft", "registered")
_TIMES = {
    "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate", "assertedDate", "dateRecorded"),
    "Procedure": ("performedDateTime", "performedPeriod", "occurrenceDateTime", "occurrencePeriod"),
    "MedicationRequest": ("authoredOn",),
    "MedicationOrder": ("dateWritten",),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod", "dateAsserted"),
    "Encounter": ("period", "actualPeriod"),
}
# Security labels of HL7's ActReason: test data, and research that is no clinical result.
TEST, _RESEARCH = "HTEST", "HRESCH"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What a record holds, before it gets an origin."""

    age_a: float | None
    height_cm: float | None
    weight_kg: float | None
    entries: tuple[Entry, ...]
    time: str
    notes: tuple[str, ...] = field(default=())


def labelled(resource: Node, code: str) -> bool:
    """Whether a security label or tag of a resource has this code."""
    meta = node(resource, "meta")
    return any(text(label, "code") == code for label in (*nodes(meta, "security"), *nodes(meta, "tag")))


def patient_of(resource: Node) -> Patient:
    """Return the patient of a Patient resource; the medical record number comes before other ids."""
    identifiers = [i for i in nodes(resource, "identifier") if text(i, "value")]

    def is_record_number(identifier: Node) -> bool:
        return any(text(c, "code") == "MR" for c in nodes(node(identifier, "type"), "coding"))

    chosen = next((i for i in identifiers if is_record_number(i)), identifiers[0] if identifiers else {})
    made_up = any("synthea" in text(i, "system") for i in identifiers)
    return Patient(
        id=text(chosen, "value") or text(resource, "id"),
        issuer=text(chosen, "system") or text(node(chosen, "assigner"), "display"),
        name=_name(resource),
        birth_date=text(resource, "birthDate"),
        sex=_SEX.get(text(resource, "gender")),
        synthetic=made_up or labelled(resource, TEST),
    )


def _name(resource: Node) -> str:
    """Return the official name, or the first, as DICOM writes it: family^given."""
    names = nodes(resource, "name")
    chosen = next((n for n in names if text(n, "use") == "official"), names[0] if names else {})

    def joined(key: str) -> str:
        value = chosen.get(key)
        many = value if isinstance(value, list) else [value]
        return " ".join(one for one in many if isinstance(one, str))

    return "^".join(part for part in (joined("family"), joined("given")) if part) or text(chosen, "text")


def gather(resources: Iterable[Node], birth_date: str, medications: dict[str, Node]) -> Gathered:
    """Return the record of one patient's resources, the same for every version of FHIR.

    Parameters
    ----------
    resources : iterable of resources
    birth_date : str
    medications : mapping
        Medication resources by every reference that may name them.
    """
    entries: list[Entry] = []
    notes: list[str] = []
    left = Counter[str]()
    seen: list[str] = []
    for resource in resources:
        kind = text(resource, "resourceType")
        time = _time(resource, kind)
        if kind in ("Observation", "Encounter") and moment(time):
            seen.append(time)
        if kind not in _TIMES or kind == "Encounter":
            left[kind or "something without a resourceType"] += 1
        elif _status(resource, "status") in _UNDONE or _status(resource, "verificationStatus") in _UNDONE:
            notes.append(
                f"{kind} left out: {_status(resource, 'verificationStatus') or _status(resource, 'status')}"
            )
        elif kind == "Observation":
            entries += _observed(resource, time, notes)
            if _status(resource, "status") == "preliminary":
                notes.append("an observation is preliminary")
            if labelled(resource, _RESEARCH):
                notes.append("an observation is labelled as research")
        else:
            entries += _stated(resource, kind, time, medications)
    notes = [f"{note} ({n} times)" if n > 1 else note for note, n in Counter(notes).items()]
    notes += [f"{n} {kind} not read" for kind, n in sorted(left.items()) if kind != "Encounter"]
    entries.sort(key=lambda e: (moment(e.time) or _NEVER, e.name, e.codes, str(e.value)))
    reference = max(seen, key=lambda t: moment(t) or _NEVER, default="")
    age = age_a(birth_date, reference)
    if age is not None:
        notes.append(f"age at {reference[:10]}, the latest observation or encounter")
        notes += (
            ["the date of birth is not complete: the age is off by up to a year"]
            if len(birth_date) < 10
            else []
        )
    height = _latest(entries, _HEIGHT, "cm")
    return Gathered(age, height, _latest(entries, _WEIGHT, "kg"), tuple(entries), reference, tuple(notes))


_NEVER = datetime.min.replace(tzinfo=UTC)


def _time(resource: Node, kind: str) -> str:
    for key in _TIMES.get(kind, ()):
        found = text(resource, key) or text(node(resource, key), "start", "end")
        if found:
            return found
    return ""


def _status(resource: Node, key: str) -> str:
    """Return a status, which is a word up to STU3 and a CodeableConcept from R4."""
    return text(resource, key) or next((text(c, "code") for c in nodes(node(resource, key), "coding")), "")


def _observed(resource: Node, time: str, notes: list[str]) -> list[Entry]:
    found: list[Entry] = []
    components = nodes(resource, "component")
    for one in (resource, *components):
        code = node(one, "code")
        value = value_of(one, notes)
        if value is not None:
            found.append(Entry(words(code), codings(code), value[0], value[1], time))
        elif one is not resource or not components:
            why = words(node(one, "dataAbsentReason")) or "no value given"
            if not nodes(one, "hasMember") and not nodes(one, "related"):  # a panel has none of its own
                notes.append(f"{words(code) or 'an observation'}: no value ({why})")
    return found


def _stated(resource: Node, kind: str, time: str, medications: dict[str, Node]) -> list[Entry]:
    """Return the entry of a condition, a procedure or a medication; its value is its status."""
    code = _medication(resource, medications) if kind.startswith("Medication") else node(resource, "code")
    status = _status(resource, "status")
    if kind == "Condition":
        verified = _status(resource, "verificationStatus")
        parts = (_status(resource, "clinicalStatus"), verified if verified != "confirmed" else "")
        status = ", ".join(part for part in parts if part)
    if resource.get("notPerformed") is True or status == "not-done":
        status = "not done"
    taken = (resource.get("wasNotTaken"), text(resource, "taken"), status)
    if kind == "MedicationStatement" and (taken[0] is True or taken[1] == "n" or taken[2] == "not-taken"):
        status = "not taken"
    name, pairs = words(code), codings(code)
    return [Entry(name or kind, pairs, status, "", time)] if name or pairs else []


def _medication(resource: Node, medications: dict[str, Node]) -> Node:
    """Return what was given: said in place, or in a resource of its own (R5 wraps both)."""
    wrapped = node(resource, "medication")
    said = node(resource, "medicationCodeableConcept") or node(wrapped, "concept")
    if said:
        return said
    reference = node(resource, "medicationReference") or node(wrapped, "reference")
    named = text(reference, "reference")
    inside = {f"#{text(one, 'id')}": one for one in nodes(resource, "contained")}
    other = inside.get(named) or medications.get(named, {})
    return node(other, "code") or {"text": text(reference, "display")}


def _latest(entries: list[Entry], wanted: tuple[tuple[str, str], ...], unit: str) -> float | None:
    """Return the newest value of a measure, None if there is none; entries are in order of time."""
    for entry in reversed(entries):
        if isinstance(entry.value, float) and any(code in wanted for code in entry.codes):
            try:
                return convert(entry.value, entry.unit, unit)
            except UnitError:
                continue
    return None
