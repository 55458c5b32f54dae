"""A VM may have a time at which it is deleted by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.add_column("vms", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_vms_expires_at_present",
        "vms",
        ["expires_at"],
        postgresql_where=sa.text("deleted_at IS NULL AND expires_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_vms_expires_at_present", "vms")
    op.drop_column("vms", "expires_at")
