"""The first tables."""

from __future__ import annotations

from alembic import op

from carna.node.catalogue.schema import METADATA

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    METADATA.create_all(op.get_bind())


def downgrade() -> None:
    """Remove every table."""
    METADATA.drop_all(op.get_bind())
