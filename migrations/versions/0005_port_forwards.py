"""Port forwards, and addresses that are unique on a bridge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"

_ON_A_BRIDGE = sa.text("reserved AND (network ->> 'type') = 'bridge'")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "port_forwards",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("vm_id", sa.String(), nullable=False),
        sa.Column("host_name", sa.String(), nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("host_port", sa.Integer(), nullable=False),
        sa.Column("guest_port", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("protocol IN ('tcp', 'udp')", name=op.f("ck_port_forwards_protocol")),
        sa.CheckConstraint(
            "host_port BETWEEN 1024 AND 65535 AND guest_port BETWEEN 1 AND 65535", name=op.f("ck_port_forwards_ports")
        ),
        sa.ForeignKeyConstraint(["host_name"], ["hosts.name"], name=op.f("fk_port_forwards_host_name_hosts")),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], name=op.f("fk_port_forwards_vm_id_vms")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwards")),
        sa.UniqueConstraint(
            "host_name", "protocol", "host_port", name=op.f("uq_port_forwards_host_name_protocol_host_port")
        ),
    )
    op.create_index(op.f("ix_port_forwards_vm_id"), "port_forwards", ["vm_id"], unique=False)
    op.create_index(
        "uq_vms_host_name_address",
        "vms",
        ["host_name", sa.text("(network ->> 'bridge')"), sa.text("(network ->> 'ip')")],
        unique=True,
        postgresql_where=_ON_A_BRIDGE,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("uq_vms_host_name_address", table_name="vms", postgresql_where=_ON_A_BRIDGE)
    op.drop_index(op.f("ix_port_forwards_vm_id"), table_name="port_forwards")
    op.drop_table("port_forwards")
