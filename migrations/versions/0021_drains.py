"""Operations of hosts, of no VM."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Apply."""
    op.alter_column("operations", "vm_id", existing_type=sa.String(), nullable=True)
    op.create_index(
        "uq_operations_host_name_live",
        "operations",
        ["host_name"],
        unique=True,
        postgresql_where=sa.text("vm_id IS NULL AND state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    """Undo; an older release knows no operations of hosts."""
    op.drop_index("uq_operations_host_name_live", table_name="operations")
    op.execute("DELETE FROM operations WHERE vm_id IS NULL")
    op.alter_column("operations", "vm_id", existing_type=sa.String(), nullable=False)
