"""Hosts that are given up, their homes and problems, and who has begun an operation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    op.add_column("hosts", sa.Column("home_id", sa.String(), nullable=False, server_default=""))
    op.add_column("hosts", sa.Column("beat", sa.Float(), nullable=True))
    op.add_column("hosts", sa.Column("problems", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.add_column("hosts", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("operations", sa.Column("begun_by", sa.String(), nullable=True))
    op.add_column("vms", sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_vms_host_name_buried",
        "vms",
        ["host_name"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL AND reserved"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_vms_host_name_buried", table_name="vms")
    op.drop_column("vms", "lost_at")
    op.drop_column("operations", "begun_by")
    for name in ("removed_at", "problems", "beat", "home_id"):
        op.drop_column("hosts", name)
