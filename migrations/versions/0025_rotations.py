"""Secrets of hosts that are changed from time to time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_TIMES = ("rotating_since", "offered_at", "rotation_retry_at")
_TEXTS = ("next_sha256", "rotation", "rotation_by", "rotation_problem")


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "host_identities",
        sa.Column("secret_changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.execute("UPDATE host_identities SET secret_changed_at = joined_at")
    for name in _TIMES:
        op.add_column("host_identities", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in _TEXTS:
        op.add_column("host_identities", sa.Column(name, sa.String(), nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in (*_TEXTS, *_TIMES, "secret_changed_at"):
        op.drop_column("host_identities", name)
