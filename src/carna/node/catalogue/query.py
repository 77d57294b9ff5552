"""Questions to the catalogue as DICOM asks them (PS3.4 C.2.2.2): QIDO and C-FIND share this page.

Matching is by single value, by list of UIDs, by ``*`` and ``?``, and by range of dates and times. Names are
compared without case, marks and signs. An attribute that is asked for and not kept comes back empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, false, func, literal, or_, select, true

from carna.errors import InputError
from carna.node.catalogue.intake import folded
from carna.node.catalogue.schema import INSTANCE, PATIENT, SERIES, STUDY

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]
LEVELS: Final[tuple[Level, ...]] = ("PATIENT", "STUDY", "SERIES", "IMAGE")

# Which column answers which attribute, by the level it belongs to.
COLUMNS: Final[Mapping[Level, Mapping[str, ColumnElement[Any]]]] = {
    "PATIENT": {
        "PatientID": PATIENT.c.patient_id,
        "PatientName": PATIENT.c.name,
        "PatientBirthDate": PATIENT.c.birth_date,
        "PatientSex": PATIENT.c.sex,
        "IssuerOfPatientID": PATIENT.c.issuer,
    },
    "STUDY": {
        "StudyInstanceUID": STUDY.c.uid,
        "StudyDate": STUDY.c.date,
        "StudyTime": STUDY.c.time,
        "AccessionNumber": STUDY.c.accession,
        "StudyID": STUDY.c.study_id,
        "StudyDescription": STUDY.c.description,
        "ReferringPhysicianName": STUDY.c.referring,
        "ModalitiesInStudy": STUDY.c.modalities,
        "NumberOfStudyRelatedSeries": STUDY.c.series_count,
        "NumberOfStudyRelatedInstances": STUDY.c.instance_count,
    },
    "SERIES": {
        "SeriesInstanceUID": SERIES.c.uid,
        "Modality": SERIES.c.modality,
        "SeriesNumber": SERIES.c.number,
        "SeriesDescription": SERIES.c.description,
        "BodyPartExamined": SERIES.c.body_part,
        "SeriesDate": SERIES.c.date,
        "SeriesTime": SERIES.c.time,
        "NumberOfSeriesRelatedInstances": SERIES.c.instance_count,
    },
    "IMAGE": {
        "SOPInstanceUID": INSTANCE.c.uid,
        "SOPClassUID": INSTANCE.c.sop_class,
        "InstanceNumber": INSTANCE.c.number,
        "Rows": INSTANCE.c.rows,
        "Columns": INSTANCE.c.columns,
        "NumberOfFrames": INSTANCE.c.frames,
        "AvailableTransferSyntaxUID": INSTANCE.c.transfer_syntax,
    },
}
_UIDS: Final = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"})
_RANGES: Final = frozenset({"StudyDate", "StudyTime", "PatientBirthDate", "SeriesDate", "SeriesTime"})
_NAMES: Final = frozenset({"PatientName", "ReferringPhysicianName"})
_ORDER: Final[Mapping[Level, tuple[ColumnElement[Any], ...]]] = {
    "PATIENT": (PATIENT.c.patient_id,),
    "STUDY": (STUDY.c.date.desc(), STUDY.c.time.desc(), STUDY.c.id),
    "SERIES": (SERIES.c.id,),
    "IMAGE": (INSTANCE.c.id,),
}
MOST: Final = 10_000  # answers to one question


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for.

    Parameters
    ----------
    level : str
        What the answers are.
    matching : mapping
        Attribute keyword to what its value must match; an empty value matches all.
    limit, offset : int
    loosely : bool
        Whether a name may match in any of its parts (QIDO's fuzzymatching).
    """

    level: Level
    matching: Mapping[str, str]
    limit: int = MOST
    offset: int = 0
    loosely: bool = False


def find(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Return the answers: every attribute of the level and of those above it, by keyword.

    Raises
    ------
    InputError
        A range or a limit that is none.
    """
    if question.limit < 0 or question.offset < 0:
        raise InputError("a negative limit or offset", needed="0 or more")
    asked = _base(question.level)
    for keyword, value in question.matching.items():
        column = _column(question.level, keyword)
        if column is not None and value not in ("", "*"):
            asked = asked.where(_matches(keyword, column, value, question.loosely))
        elif keyword == "Modality" and question.level == "STUDY" and value not in ("", "*"):
            asked = asked.where(_matches("ModalitiesInStudy", STUDY.c.modalities, value, False))
    asked = asked.order_by(*_ORDER[question.level])
    asked = asked.limit(min(question.limit, MOST)).offset(question.offset)
    return [_answer(row) for row in connection.execute(asked)]


def instances(connection: Connection, uids: Mapping[str, Sequence[str]]) -> Sequence[Row[Any]]:
    """Return the rows of the instances under some UIDs, in the order of their series and numbers.

    Parameters
    ----------
    connection : Connection
    uids : mapping
        Keyword (``StudyInstanceUID``, ``SOPInstanceUID``, ``PatientID`` ...) to values; each narrows.
    """
    asked = (
        select(
            INSTANCE,
            SERIES.c.uid.label("series_uid"),
            STUDY.c.uid.label("study_uid"),
            STUDY.c.id.label("study_id"),
        )
        .select_from(INSTANCE.join(SERIES).join(STUDY).join(PATIENT, STUDY.c.patient_id == PATIENT.c.id))
        .order_by(SERIES.c.id, INSTANCE.c.id)
    )
    for keyword, values in uids.items():
        column = _column("IMAGE", keyword)
        if column is None:
            raise InputError(f"no level is told by {keyword}", needed="a UID or a patient's ID")
        if any(values):
            asked = asked.where(column.in_(list(values)))
    return connection.execute(asked).all()


def _base(level: Level) -> Select[Any]:
    columns = [c.label(k) for one in LEVELS[: LEVELS.index(level) + 1] for k, c in COLUMNS[one].items()]
    joined = PATIENT
    if level == "PATIENT":
        return select(*columns).where(PATIENT.c.merged_into.is_(None))
    whole: Any = STUDY.join(joined, STUDY.c.patient_id == PATIENT.c.id)
    if level in ("SERIES", "IMAGE"):
        whole = SERIES.join(whole, SERIES.c.study_id == STUDY.c.id)
    if level == "IMAGE":
        whole = INSTANCE.join(whole, INSTANCE.c.series_id == SERIES.c.id)
    return select(*columns).select_from(whole)


def _column(level: Level, keyword: str) -> ColumnElement[Any] | None:
    for one in LEVELS[: LEVELS.index(level) + 1]:
        if keyword in COLUMNS[one]:
            return COLUMNS[one][keyword]
    return None


def _matches(keyword: str, column: ColumnElement[Any], value: str, loosely: bool) -> ColumnElement[bool]:
    if keyword == "PatientName":
        return _named(value, loosely)
    if keyword in _UIDS:
        return column.in_(re.split(r"[\\,]", value))
    if keyword in _RANGES and "-" in value:
        begin, _, end = value.partition("-")
        if not all(re.fullmatch(r"[\d.]*", x) for x in (begin, end)):
            raise InputError(f"{keyword} = {value!r}", needed="a date, or two with - between them")
        parts = [column >= begin if begin else true(), column <= f"{end}~" if end else true()]
        return and_(column != "", *parts)
    if keyword == "ModalitiesInStudy":
        inside = literal("\\") + column + "\\"
        return or_(*(inside.like(f"%\\{_like(v)}\\%", escape="!") for v in re.split(r"[\\,]", value)))
    if keyword in _NAMES:
        return func.lower(column).like(_like(value.lower()) + ("%" if loosely else ""), escape="!")
    if "*" in value or "?" in value:
        return column.like(_like(value), escape="!")
    if keyword in ("Rows", "Columns", "NumberOfFrames") or keyword.startswith("NumberOf"):
        return column == int(value) if value.isdigit() else false()
    return column == value


def _named(value: str, loosely: bool) -> ColumnElement[bool]:
    column: ColumnElement[str] = PATIENT.c.name_folded
    wild = re.split(r"([*?])", value)
    pattern = "".join({"*": "%", "?": "_"}.get(p, folded(p)) for p in wild)
    if loosely:
        parts = [p for p in re.split(r"[\s^%]+", pattern) if p]
        return and_(*(column.like(f"%{p}%") for p in parts)) if parts else true()
    return column.like(pattern) if "%" in pattern or "_" in pattern else column == pattern


def _like(value: str) -> str:
    safe = re.sub(r"([%_!])", r"!\1", value)
    return safe.replace("*", "%").replace("?", "_")


def _answer(row: Row[Any]) -> dict[str, Any]:
    found = dict(row._mapping)
    if str(found.get("IssuerOfPatientID", "")).startswith("study:"):
        found["IssuerOfPatientID"] = ""  # ours, to keep people without a number apart
    return found
