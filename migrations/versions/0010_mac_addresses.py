"""No two VMs draw the same MAC address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# Those that VMs have by now; of two with the same, which nothing can change any more, one is remembered.
_PRESENT = """
INSERT INTO mac_addresses (address, vm_id)
SELECT network ->> 'mac_address', min(id) FROM vms
WHERE deleted_at IS NULL AND network ->> 'mac_address' IS NOT NULL
GROUP BY network ->> 'mac_address'
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "mac_addresses",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("vm_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_mac_addresses")),
    )
    op.execute(_PRESENT)


def downgrade() -> None:
    """Undo."""
    op.drop_table("mac_addresses")
