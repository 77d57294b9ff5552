"""Intake: one instance at a time joins the catalogue, or is put aside with the reason.

What never happens: that an instance under a known name replaces another, that a study changes its patient,
that two people of one number become one. Such a thing is kept, put aside and shown; a person decides.
"""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from pydicom.dataset import Dataset
from sqlalchemy import Connection, Table, func, insert, select, update

from carna.node.catalogue.schema import ASIDE, EVENT, INSTANCE, PATIENT, SERIES, STUDY


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the store that waits for its place in the catalogue."""

    digest: str
    size: int
    transfer_syntax: str
    source: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of it: ``new``, ``same`` (it was here already) or ``aside`` with the reason.

    ``grown`` says that its study had been decided on before and must be looked at again.
    """

    outcome: Literal["new", "same", "aside"]
    study: str
    why: str = ""
    grown: bool = False


def take(connection: Connection, head: Dataset, kept: Kept) -> Taken:
    """Give an instance its place.

    Parameters
    ----------
    connection : Connection
        In a transaction; the caller commits.
    head : Dataset
        Its header.
    kept : Kept

    Returns
    -------
    Taken
    """
    uid, study_uid = _of(head, "SOPInstanceUID"), _of(head, "StudyInstanceUID")
    now = time.time()
    known = connection.execute(select(INSTANCE.c.digest).where(INSTANCE.c.uid == uid)).scalar()
    if known == kept.digest:
        return Taken("same", study_uid)
    if known is not None:
        return _aside(
            connection, head, kept, "another content under a known UID", f"kept before: {known}", now
        )
    study = connection.execute(select(STUDY).where(STUDY.c.uid == study_uid)).first()
    patient, why = _patient(connection, head, None if study is None else int(study.patient_id))
    if why:
        return _aside(connection, head, kept, "another patient", why, now)
    if study is None:
        study_id, grown = _study(connection, head, patient, now), False
    else:
        study_id, grown = int(study.id), study.state != "receiving"
    series_id, why = _series(connection, head, study_id)
    if why:
        return _aside(connection, head, kept, "a series of another study", why, now)
    connection.execute(
        insert(INSTANCE).values(
            series_id=series_id,
            uid=uid,
            sop_class=_of(head, "SOPClassUID"),
            number=_of(head, "InstanceNumber"),
            transfer_syntax=kept.transfer_syntax,
            rows=_int(head, "Rows"),
            columns=_int(head, "Columns"),
            frames=_int(head, "NumberOfFrames"),
            digest=kept.digest,
            size=kept.size,
            name=kept.name,
            source=kept.source,
            at=now,
            described=None,
        )
    )
    _count(connection, head, study_id, series_id, now)
    return Taken("new", study_uid, grown=grown)


def said(connection: Connection, kind: str, of: str, words: str = "") -> None:
    """Write down that something changed, for those who watch."""
    connection.execute(insert(EVENT).values(kind=kind, of=of, said=words, at=time.time()))


def folded(name: str) -> str:
    """Return a person's name without case, marks and signs: what must agree for two to be one.

    Ideographic and phonetic groups (after ``=``) are left out where an alphabetic one is there.

    >>> folded("Müller^Jörg ") == folded("MULLER^JORG")
    True
    """
    first = next((group for group in name.split("=") if group.strip("^ ")), "")
    plain = unicodedata.normalize("NFKD", first).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return "^".join(part for part in (re.sub(r"[\W_]+", " ", p).strip() for p in plain.split("^")) if part)


def _patient(connection: Connection, head: Dataset, of_study: int | None) -> tuple[int, str]:
    """Return the row of the patient, made where new, and why this may be somebody else."""
    number, issuer = _of(head, "PatientID"), _of(head, "IssuerOfPatientID")
    name, born, sex = _of(head, "PatientName"), _of(head, "PatientBirthDate"), _of(head, "PatientSex")
    found = None
    if number:  # without a number nobody is known: each study is a person of its own
        where = (PATIENT.c.patient_id == number) & (PATIENT.c.issuer == issuer)
        found = connection.execute(select(PATIENT).where(where)).first()
    elif of_study is not None:
        found = connection.execute(select(PATIENT).where(PATIENT.c.id == of_study)).first()
        if found is not None and found.patient_id:
            return of_study, f"no patient ID, the study's is {found.patient_id}"
    if found is None:
        if of_study is not None:
            theirs = connection.execute(select(PATIENT.c.patient_id).where(PATIENT.c.id == of_study)).scalar()
            return of_study, f"the study belongs to patient {theirs or 'without ID'}, this is {number}"
        row = {"patient_id": number, "issuer": issuer, "name": name, "name_folded": folded(name)}
        row |= {"birth_date": born, "sex": sex}
        if not number:
            row["issuer"] = f"study:{_of(head, 'StudyInstanceUID')}"
        return _inserted(connection, PATIENT, row), ""
    if found.name_folded and folded(name) and found.name_folded != folded(name):
        return int(found.id), f"patient {number} is {found.name!r}, this says {name!r}"
    if found.birth_date and born and found.birth_date != born:
        return int(found.id), f"patient {number} was born {found.birth_date}, this says {born}"
    if found.sex in ("M", "F") and sex in ("M", "F") and found.sex != sex:
        return int(found.id), f"patient {number} is {found.sex}, this says {sex}"
    row_id = int(found.merged_into or found.id)
    if of_study is not None and of_study not in (row_id, int(found.id)):
        return of_study, f"the study belongs to another patient than {number}"
    _fill(connection, found, {"name": name, "name_folded": folded(name), "birth_date": born, "sex": sex})
    return row_id, ""


def _fill(connection: Connection, found: Any, told: dict[str, str]) -> None:
    """Write down what was not known of a patient before."""
    new = {key: value for key, value in told.items() if value and not getattr(found, key)}
    if new:
        connection.execute(update(PATIENT).where(PATIENT.c.id == found.id).values(**new))


def _study(connection: Connection, head: Dataset, patient: int, now: float) -> int:
    row = {
        "patient_id": patient,
        "uid": _of(head, "StudyInstanceUID"),
        "date": _of(head, "StudyDate"),
        "time": _of(head, "StudyTime"),
        "accession": _of(head, "AccessionNumber"),
        "study_id": _of(head, "StudyID"),
        "description": _of(head, "StudyDescription"),
        "referring": _of(head, "ReferringPhysicianName"),
        "first_at": now,
        "last_at": now,
    }
    return _inserted(connection, STUDY, row)


def _series(connection: Connection, head: Dataset, study_id: int) -> tuple[int, str]:
    uid = _of(head, "SeriesInstanceUID")
    found = connection.execute(select(SERIES.c.id, SERIES.c.study_id).where(SERIES.c.uid == uid)).first()
    if found is not None:
        why = "" if found.study_id == study_id else f"series {uid} is part of another study"
        return int(found.id), why
    row = {
        "study_id": study_id,
        "uid": uid,
        "modality": _of(head, "Modality"),
        "number": _of(head, "SeriesNumber"),
        "description": _of(head, "SeriesDescription"),
        "body_part": _of(head, "BodyPartExamined"),
        "date": _of(head, "SeriesDate"),
        "time": _of(head, "SeriesTime"),
    }
    number = _inserted(connection, SERIES, row)
    modalities = connection.execute(
        select(SERIES.c.modality).where(SERIES.c.study_id == study_id).distinct()
    ).scalars()
    joined = "\\".join(sorted(m for m in modalities if m))
    count = select(func.count()).where(SERIES.c.study_id == study_id).scalar_subquery()
    connection.execute(
        update(STUDY).where(STUDY.c.id == study_id).values(modalities=joined, series_count=count)
    )
    return number, ""


def _count(connection: Connection, head: Dataset, study_id: int, series_id: int, now: float) -> None:
    connection.execute(
        update(SERIES).where(SERIES.c.id == series_id).values(instance_count=SERIES.c.instance_count + 1)
    )
    connection.execute(
        update(STUDY)
        .where(STUDY.c.id == study_id)
        .values(instance_count=STUDY.c.instance_count + 1, last_at=now, state="receiving")
    )


def _aside(connection: Connection, head: Dataset, kept: Kept, why: str, detail: str, now: float) -> Taken:
    """Put an instance aside, once however often it is sent."""
    uid, study = _of(head, "SOPInstanceUID"), _of(head, "StudyInstanceUID")
    put_aside(connection, kept, why, detail, uid=uid, study=study, now=now)
    return Taken("aside", study, f"{why}: {detail}")


def put_aside(
    connection: Connection, kept: Kept, why: str, detail: str, *, uid: str = "", study: str = "", now: float
) -> None:
    """Put a kept file aside for a person to decide on."""
    here = select(ASIDE.c.id).where((ASIDE.c.digest == kept.digest) & (ASIDE.c.state == "waiting"))
    if connection.execute(here).first() is None:
        row = {"uid": uid, "study_uid": study, "digest": kept.digest, "why": why, "detail": detail}
        row |= {"name": kept.name, "source": kept.source}
        connection.execute(insert(ASIDE).values(**row, at=now))
        said(connection, "aside", study or kept.digest, f"{why}: {detail}")


def _inserted(connection: Connection, table: Table, row: dict[str, Any]) -> int:
    key = connection.execute(insert(table).values(**row)).inserted_primary_key
    assert key is not None  # every table has a key that the database counts
    return int(key[0])


def _of(head: Dataset, keyword: str) -> str:
    """Return a value as DICOM writes it; "" where it is missing or unreadable."""
    try:
        value = head.get(keyword)
    except (ValueError, TypeError, NotImplementedError, LookupError):
        return ""
    return "" if value is None else str(value).strip("\0 ")


def _int(head: Dataset, keyword: str) -> int:
    try:
        return max(0, int(_of(head, keyword) or 0))
    except ValueError:
        return 0
