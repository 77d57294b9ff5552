"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("projects", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "aside",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_aside_digest"), "aside", ["digest"], unique=False)
    op.create_index(op.f("ix_aside_state"), "aside", ["state"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("did", sa.String(), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_audit_did"), "audit", ["did"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_uid", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_uid", "place", "file", name="delivery_once"),
    )
    op.create_index(op.f("ix_delivery_run_uid"), "delivery", ["run_uid"], unique=False)
    op.create_index(op.f("ix_delivery_state"), "delivery", ["state"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "patient",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_folded", sa.String(), nullable=False),
        sa.Column("birth_date", sa.String(), nullable=False),
        sa.Column("sex", sa.String(), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["merged_into"],
            ["patient.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("patient_id", "issuer", name="patient_identity"),
    )
    op.create_index(op.f("ix_patient_name_folded"), "patient", ["name_folded"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uid"),
    )
    op.create_index(op.f("ix_run_state"), "run", ["state"], unique=False)
    op.create_index(op.f("ix_run_study_uid"), "run", ["study_uid"], unique=False)
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("date", sa.String(), nullable=False),
        sa.Column("time", sa.String(), nullable=False),
        sa.Column("accession", sa.String(), nullable=False),
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("referring", sa.String(), nullable=False),
        sa.Column("modalities", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("series_count", sa.Integer(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_id"],
            ["patient.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uid"),
    )
    op.create_index(op.f("ix_study_accession"), "study", ["accession"], unique=False)
    op.create_index(op.f("ix_study_last_at"), "study", ["last_at"], unique=False)
    op.create_index(op.f("ix_study_patient_id"), "study", ["patient_id"], unique=False)
    op.create_index(op.f("ix_study_state"), "study", ["state"], unique=False)
    op.create_index("study_newest", "study", ["date", "time"], unique=False)
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index(op.f("ix_token_account_id"), "token", ["account_id"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("body_part", sa.String(), nullable=False),
        sa.Column("date", sa.String(), nullable=False),
        sa.Column("time", sa.String(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uid"),
    )
    op.create_index(op.f("ix_series_modality"), "series", ["modality"], unique=False)
    op.create_index(op.f("ix_series_study_id"), "series", ["study_id"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("sop_class", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("transfer_syntax", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("described", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["series_id"],
            ["series.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uid"),
    )
    op.create_index(op.f("ix_instance_digest"), "instance", ["digest"], unique=False)
    op.create_index(op.f("ix_instance_series_id"), "instance", ["series_id"], unique=False)


def downgrade() -> None:
    """Remove every table."""
    op.drop_index(op.f("ix_instance_series_id"), table_name="instance")
    op.drop_index(op.f("ix_instance_digest"), table_name="instance")
    op.drop_table("instance")
    op.drop_index(op.f("ix_series_study_id"), table_name="series")
    op.drop_index(op.f("ix_series_modality"), table_name="series")
    op.drop_table("series")
    op.drop_index(op.f("ix_token_account_id"), table_name="token")
    op.drop_table("token")
    op.drop_index("study_newest", table_name="study")
    op.drop_index(op.f("ix_study_state"), table_name="study")
    op.drop_index(op.f("ix_study_patient_id"), table_name="study")
    op.drop_index(op.f("ix_study_last_at"), table_name="study")
    op.drop_index(op.f("ix_study_accession"), table_name="study")
    op.drop_table("study")
    op.drop_index(op.f("ix_run_study_uid"), table_name="run")
    op.drop_index(op.f("ix_run_state"), table_name="run")
    op.drop_table("run")
    op.drop_index(op.f("ix_patient_name_folded"), table_name="patient")
    op.drop_table("patient")
    op.drop_table("event")
    op.drop_index(op.f("ix_delivery_state"), table_name="delivery")
    op.drop_index(op.f("ix_delivery_run_uid"), table_name="delivery")
    op.drop_table("delivery")
    op.drop_index(op.f("ix_audit_did"), table_name="audit")
    op.drop_table("audit")
    op.drop_index(op.f("ix_aside_state"), table_name="aside")
    op.drop_index(op.f("ix_aside_digest"), table_name="aside")
    op.drop_table("aside")
    op.drop_table("account")
