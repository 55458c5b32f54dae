"""Fenced hosts, and VMs that are created again elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Apply."""
    op.add_column("hosts", sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("vms", sa.Column("restart_policy", sa.String(), nullable=False, server_default="none"))
    op.add_column("vms", sa.Column("home", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("vms", sa.Column("elsewhere_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_vms_elsewhere_at_present",
        "vms",
        ["elsewhere_at"],
        postgresql_where=sa.text("deleted_at IS NULL AND elsewhere_at IS NOT NULL"),
    )
    op.create_table(
        "departures",
        sa.Column("vm_id", sa.String(), nullable=False),
        sa.Column("host_name", sa.String(), nullable=False),
        sa.Column("hypervisor", sa.String(), nullable=False),
        sa.Column("home", sa.Integer(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host_name"], ["hosts.name"], name=op.f("fk_departures_host_name_hosts")),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], name=op.f("fk_departures_vm_id_vms")),
        sa.PrimaryKeyConstraint("vm_id", "host_name", name=op.f("pk_departures")),
    )
    op.create_index(op.f("ix_departures_host_name"), "departures", ["host_name"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("departures")
    op.drop_index("ix_vms_elsewhere_at_present", table_name="vms")
    for name in ("elsewhere_at", "home", "restart_policy"):
        op.drop_column("vms", name)
    op.drop_column("hosts", "fence")
