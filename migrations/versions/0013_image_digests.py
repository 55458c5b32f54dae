"""Which version of its image a VM is made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    op.add_column("vms", sa.Column("image_digest", sa.String(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("vms", "image_digest")
