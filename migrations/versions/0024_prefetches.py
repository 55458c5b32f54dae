"""Prefetches of images: operations of a host, of which several may be in progress."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
_NAME = "uq_operations_host_name_live"


def upgrade() -> None:
    """Apply."""
    op.drop_index(_NAME, table_name="operations")
    live = "kind = 'drain' AND state IN ('queued', 'running')"
    op.create_index(_NAME, "operations", ["host_name"], unique=True, postgresql_where=sa.text(live))
    op.create_index(
        "ix_operations_send_at_live_prefetch",
        "operations",
        ["send_at"],
        postgresql_where=sa.text("kind = 'image_prefetch' AND state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM operations WHERE kind = 'image_prefetch'")
    op.drop_index("ix_operations_send_at_live_prefetch", table_name="operations")
    op.drop_index(_NAME, table_name="operations")
    live = "vm_id IS NULL AND state IN ('queued', 'running')"
    op.create_index(_NAME, "operations", ["host_name"], unique=True, postgresql_where=sa.text(live))
