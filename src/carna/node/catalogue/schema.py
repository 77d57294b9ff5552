"""The tables of the catalogue, for SQLite and PostgreSQL alike.

::

    patient -< study -< series -< instance -> a file of the store, by its digest
    aside      what arrived and may not join a study: another content under a known name, another patient
    run        one application order on one version of a study ; delivery: one result on its way to one place
    event      what changed, in order: pages that watch read on from the last they saw
    account, token, audit    who may do what, and who did

Times are seconds since 1970, UTC. Dates and times of examinations stay as DICOM writes them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData()


def _key() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _of(table: str) -> Column[int]:
    return Column(f"{table}_id", Integer, ForeignKey(f"{table}.id"), nullable=False, index=True)


def _text(name: str, *, index: bool = False) -> Column[str]:
    return Column(name, String, nullable=False, default="", index=index)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, default=0)


def _time(name: str, *, index: bool = False) -> Column[float]:
    return Column(name, Float, nullable=False, default=0.0, index=index)


PATIENT: Final = Table(
    "patient",
    METADATA,
    _key(),
    _text("patient_id"),
    _text("issuer"),
    _text("name"),
    _text("name_folded", index=True),
    _text("birth_date"),
    _text("sex"),
    Column("merged_into", Integer, ForeignKey("patient.id"), nullable=True),
    UniqueConstraint("patient_id", "issuer", name="patient_identity"),
)

STUDY: Final = Table(
    "study",
    METADATA,
    _key(),
    _of("patient"),
    Column("uid", String, nullable=False, unique=True),
    _text("date"),
    _text("time"),
    _text("accession", index=True),
    _text("study_id"),
    _text("description"),
    _text("referring"),
    _text("modalities"),
    _text("priority"),
    _count("series_count"),
    _count("instance_count"),
    _time("first_at"),
    _time("last_at", index=True),
    Column("state", String, nullable=False, default="receiving", index=True),
    _text("decided"),
    Index("study_newest", "date", "time"),
)

SERIES: Final = Table(
    "series",
    METADATA,
    _key(),
    _of("study"),
    Column("uid", String, nullable=False, unique=True),
    _text("modality", index=True),
    _text("number"),
    _text("description"),
    _text("body_part"),
    _text("date"),
    _text("time"),
    _count("instance_count"),
)

INSTANCE: Final = Table(
    "instance",
    METADATA,
    _key(),
    _of("series"),
    Column("uid", String, nullable=False, unique=True),
    _text("sop_class"),
    _text("number"),
    _text("transfer_syntax"),
    _count("rows"),
    _count("columns"),
    _count("frames"),
    Column("digest", String, nullable=False, index=True),
    _count("size"),
    _text("name"),
    _text("source"),
    _time("at"),
    Column("described", LargeBinary, nullable=True),
)

ASIDE: Final = Table(
    "aside",
    METADATA,
    _key(),
    _text("uid"),
    _text("study_uid"),
    _text("digest", index=True),
    _text("why"),
    _text("detail"),
    _text("name"),
    _text("source"),
    _time("at"),
    Column("state", String, nullable=False, default="waiting", index=True),
)

RUN: Final = Table(
    "run",
    METADATA,
    _key(),
    Column("uid", String, nullable=False, unique=True),
    _text("study_uid", index=True),
    _text("version"),
    _text("order"),
    _text("state", index=True),
    _text("why"),
    Column("progress", Float, nullable=False, default=0.0),
    _count("tries"),
    _text("result"),
    _time("asked_at"),
    _time("begun_at"),
    _time("ended_at"),
)

DELIVERY: Final = Table(
    "delivery",
    METADATA,
    _key(),
    _text("run_uid", index=True),
    _text("place"),
    _text("file"),
    _text("uid"),
    _text("digest"),
    _text("state", index=True),
    _text("why"),
    _count("tries"),
    _time("at"),
    UniqueConstraint("run_uid", "place", "file", name="delivery_once"),
)

EVENT: Final = Table(
    "event",
    METADATA,
    _key(),
    _text("kind"),
    _text("of"),
    _text("said"),
    _time("at"),
)

ACCOUNT: Final = Table(
    "account",
    METADATA,
    _key(),
    Column("name", String, nullable=False, unique=True),
    _text("hash"),
    _text("role"),
    _text("projects"),
    _text("state"),
    _time("at"),
)

TOKEN: Final = Table(
    "token",
    METADATA,
    _key(),
    _of("account"),
    _text("name"),
    Column("digest", String, nullable=False, unique=True),
    _text("scope"),
    _time("until"),
    _time("at"),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    _key(),
    _time("at"),
    _text("who"),
    _text("did", index=True),
    _text("to"),
    _text("outcome"),
    Column("detail", Text, nullable=False, default=""),
    _text("chain"),
)
