"""FHIR: patients and their records, from JSON of any version between DSTU2 and R5.

A file holds one resource, a Bundle, or one resource a line (NDJSON). The reader is tolerant on
purpose: it takes what it understands of each resource and counts the kinds it doesn't read.
Single resources and NDJSON files of one folder belong together, a Bundle stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import final

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery, Door
from carna.doors.fhir.records import TEST, gather, labelled, patient_of
from carna.doors.fhir.tree import Node, node, nodes, parse, resources, text
from carna.doors.files import Blob, derived_uid
from carna.errors import InputError
from carna.progress import Progress
from carna.study import Origin, Patient, Record

__all__ = ["DOOR"]


# What else a resource may be about, and what is about nobody.
_NO_PATIENTS = ("Group", "Device", "Location", "Practitioner", "Organization", "Substance")
_ABOUT_NOBODY = ("Patient", "Medication", "Organization", "Practitioner", "Location", "OperationOutcome")


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Resources whose references mean each other, and the files they came from."""

    blobs: list[Blob]
    found: list[tuple[str, Node]]


def _claims(blob: Blob) -> bool:
    looks = blob.suffix in (".json", ".ndjson") or blob.head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{"
    return looks and b'"resourceType"' in blob.head


def _lines(blob: Blob) -> list[bytes]:
    """Return the documents of a file: one a line in NDJSON."""
    data = blob.load()
    return [line for line in data.splitlines() if line.strip()] if blob.suffix == ".ndjson" else [data]


def _keys(url: str, resource: Node) -> list[str]:
    """Return every reference that may name a resource."""
    kind, id = text(resource, "resourceType"), text(resource, "id")
    return [
        key for key in (url, f"{kind}/{id}" if id else "", f"urn:uuid:{id}" if id else "", f"#{id}") if key
    ]


def _subject(resource: Node) -> tuple[str, str]:
    """Return the reference to a resource's patient, and the id it would give an unknown one."""
    for key in ("subject", "patient"):
        reference = node(resource, key)
        identifier = text(node(reference, "identifier"), "value")
        written = text(reference, "reference")
        if written or identifier:
            segments = written.split("/_history/")[0].split("/")
            relative = "/".join(segments[-2:]) if len(segments) > 2 else written.split("/_history/")[0]
            return (written or identifier, identifier or relative.rpartition("/")[2])
    return "", ""


def _owner(resource: Node, patients: dict[str, Patient]) -> Patient | None:
    """Return whose resource it is, None if it names nobody or no person."""
    reference, id = _subject(resource)
    if not reference:
        # With one patient in the file there's no doubt.
        people = {(p.id, p.issuer): p for p in patients.values()}
        return next(iter(people.values()), Patient("")) if len(people) < 2 else None
    if reference.startswith("#"):
        inside = (one for one in nodes(resource, "contained") if text(one, "id") == reference[1:])
        return next((patient_of(one) for one in inside), None)
    tail = "/".join(reference.split("/_history/")[0].split("/")[-2:])
    known = patients.get(reference) or patients.get(tail)
    return known or (None if tail.partition("/")[0] in _NO_PATIENTS else Patient(id))


def _arrivals(pool: _Pool) -> list[Arrival]:
    patients: dict[str, Patient] = {}
    medications: dict[str, Node] = {}
    for url, resource in pool.found:
        for key in _keys(url, resource):
            if text(resource, "resourceType") == "Patient":
                patients.setdefault(key, patient_of(resource))
            elif text(resource, "resourceType") == "Medication":
                medications.setdefault(key, resource)
    people = {(p.id, p.issuer): p for p in patients.values()}
    here = set(people)
    mine: dict[tuple[str, str], list[Node]] = {key: [] for key in people}
    homeless = 0
    for _, resource in pool.found:
        if text(resource, "resourceType") in _ABOUT_NOBODY:
            continue
        owner = _owner(resource, patients)
        if owner is None:
            homeless += 1
        else:
            people.setdefault((owner.id, owner.issuer), owner)
            mine.setdefault((owner.id, owner.issuer), []).append(resource)
    content = derived_uid(*(blob.uid() for blob in pool.blobs))
    label = pool.blobs[0].file + (f" and {len(pool.blobs) - 1} more" if len(pool.blobs) > 1 else "")
    made: list[Arrival] = []
    for who, person in people.items():
        test = any(labelled(resource, TEST) for resource in mine[who])
        patient = replace(person, synthetic=person.synthetic or test)
        found = gather(mine[who], patient.birth_date, medications)
        notes = () if who in here else ("the patient's own resource is not here",)
        if homeless:
            notes = (*notes, f"{homeless} resources name no patient and were left out")
        uid = derived_uid(content, *who)
        origin = Origin(
            derived_uid(uid, "record"),
            "",
            label,
            time=found.time,
            format="FHIR",
            notes=(*notes, *found.notes),
        )
        record = Record(origin, found.age_a, patient.sex, found.height_cm, found.weight_kg, found.entries)
        first = pool.blobs[0].name
        made.append(Arrival(patient, uid, record, time=found.time, description="FHIR record", file=first))
    return made


def _read(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    pools: dict[str, _Pool] = {}
    problems: list[Problem] = []
    for blob in progress.over(blobs, len(blobs), "FHIR"):
        try:
            documents = [parse(line) for line in _lines(blob)]
        except InputError as error:
            problems.append(
                Problem(
                    blob.name, error.found, error.needed, error.fix or "export the resources again as JSON"
                )
            )
            continue
        except OSError as error:
            problems.append(
                Problem(
                    blob.name,
                    f"it can't be read: {error}",
                    "a readable file",
                    "give yourself the right to read it",
                )
            )
            continue
        found = [one for document in documents for one in resources(document)]
        if not any(text(resource, "resourceType") for _, resource in found):
            problems.append(
                Problem(blob.name, "JSON without a FHIR resource", "a resource or a Bundle", "leave it out")
            )
            continue
        bundle = len(documents) == 1 and documents[0].get("resourceType") == "Bundle"
        folder = str(PurePosixPath(blob.name).parent) + "/"
        pool = pools.setdefault(blob.name if bundle else folder, _Pool([], []))
        pool.blobs.append(blob)
        pool.found.extend(found)
    arrivals: list[Arrival] = []
    for pool in pools.values():
        made = _arrivals(pool)
        if not made:
            name = pool.blobs[0].name
            problems.append(
                Problem(
                    name,
                    "FHIR resources of no patient",
                    "a Patient, or resources that name one",
                    "export the Patient too",
                )
            )
        arrivals += made
    return Delivery(tuple(arrivals), tuple(problems))


DOOR = Door("fhir", _claims, _read)
