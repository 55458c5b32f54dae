"""Whether hosts take new VMs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply."""
    op.add_column("hosts", sa.Column("standing", sa.String(), nullable=False, server_default="active"))
    op.add_column("hosts", sa.Column("standing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("hosts", sa.Column("standing_by", sa.String(), nullable=True))
    op.add_column("hosts", sa.Column("standing_reason", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Undo."""
    for name in ("standing_reason", "standing_by", "standing_since", "standing"):
        op.drop_column("hosts", name)
