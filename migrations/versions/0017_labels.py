"""Hosts have labels, which they may come with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply."""
    for table in ("hosts", "join_tokens"):
        labels = sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
        op.add_column(table, labels)


def downgrade() -> None:
    """Undo."""
    for table in ("join_tokens", "hosts"):
        op.drop_column(table, "labels")
