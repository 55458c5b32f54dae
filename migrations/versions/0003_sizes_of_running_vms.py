"""Sizes of running VMs, and limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"

_COLUMNS = (
    "cpu_limit_percent",
    "memory_limit_percent",
    "running_vcpus",
    "running_memory_mb",
    "held_vcpus",
    "held_memory_mb",
)


def upgrade() -> None:
    """Apply."""
    for name in _COLUMNS:
        op.add_column("vms", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in reversed(_COLUMNS):
        op.drop_column("vms", name)
