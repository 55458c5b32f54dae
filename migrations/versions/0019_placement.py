"""VMs ask for hosts, and administrators say how often a host's room is promised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"

_ROOM = ("vcpus", "memory_mb", "disk_gb")


def upgrade() -> None:
    """Apply."""
    placement = sa.Column("placement", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False)
    op.add_column("vms", placement)
    for what in _ROOM:
        op.alter_column("hosts", what, new_column_name=f"offered_{what}")
        op.add_column("hosts", sa.Column(f"overcommit_{what}", sa.Float(), server_default="1", nullable=False))
        promised = sa.Computed(f"least(floor(offered_{what} * overcommit_{what}), 2147483647)::integer", persisted=True)
        op.add_column("hosts", sa.Column(what, sa.Integer(), promised, nullable=False))


def downgrade() -> None:
    """Undo."""
    for what in _ROOM:
        op.drop_column("hosts", what)
        op.drop_column("hosts", f"overcommit_{what}")
        op.alter_column("hosts", f"offered_{what}", new_column_name=what)
    op.drop_column("vms", "placement")
