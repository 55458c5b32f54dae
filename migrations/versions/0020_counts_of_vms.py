"""How many VMs there are of each status on each host, kept as they change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

# The rule of core.contract.states.status without operations and hosts; a test holds the two together.
_STATUS = """
CREATE FUNCTION vm_status(wanted text, lost_at timestamptz, observed text, started_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN wanted = 'deleted' THEN 'deleting'
        WHEN lost_at IS NOT NULL THEN 'lost'
        WHEN observed IS NULL OR observed = 'absent' THEN 'failed'
        WHEN observed <> 'stopped' THEN observed
        WHEN started_at IS NULL THEN 'created'
        ELSE 'stopped'
    END
$$
"""
_COUNTED = """
SELECT host_name, vm_status(wanted, lost_at, observed, started_at), {sign}count(*),
    {sign}coalesce(sum(vcpus) FILTER (WHERE reserved), 0), {sign}coalesce(sum(memory_mb) FILTER (WHERE reserved), 0)
FROM {table} WHERE deleted_at IS NULL GROUP BY 1, 2
"""
_FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO vm_counts {rows};
    RETURN NULL;
END $$
"""
# One statement for both, as this is run for every change of a status.
_BEFORE_AND_AFTER = """
SELECT host_name, status, n,
    CASE WHEN reserved THEN n * vcpus ELSE 0 END, CASE WHEN reserved THEN n * memory_mb ELSE 0 END
FROM (VALUES
    (OLD.host_name, vm_status(OLD.wanted, OLD.lost_at, OLD.observed, OLD.started_at), -1, OLD.reserved, OLD.vcpus,
        OLD.memory_mb, OLD.deleted_at),
    (NEW.host_name, vm_status(NEW.wanted, NEW.lost_at, NEW.observed, NEW.started_at), 1, NEW.reserved, NEW.vcpus,
        NEW.memory_mb, NEW.deleted_at)
) AS each (host_name, status, n, reserved, vcpus, memory_mb, deleted_at) WHERE deleted_at IS NULL
"""
_FUNCTIONS = {
    "vms_made": _COUNTED.format(sign="", table="made"),
    "vms_removed": _COUNTED.format(sign="-", table="removed"),
    "vm_changed": _BEFORE_AND_AFTER,
}
_TOLD = "{0}.host_name, {0}.deleted_at IS NULL, {0}.reserved, {0}.vcpus, {0}.memory_mb"
_OF = f"({_TOLD}, vm_status({{0}}.wanted, {{0}}.lost_at, {{0}}.observed, {{0}}.started_at))"
_CHANGED = f"{_OF.format('OLD')} IS DISTINCT FROM {_OF.format('NEW')}"
_TRIGGERS = (
    "made AFTER INSERT ON vms REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION vms_made()",
    "removed AFTER DELETE ON vms REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION vms_removed()",
    f"changed AFTER UPDATE ON vms FOR EACH ROW WHEN ({_CHANGED}) EXECUTE FUNCTION vm_changed()",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "vm_counts",
        sa.Column("host_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("vms", sa.Integer(), nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("memory_mb", sa.BigInteger(), nullable=False),
    )
    op.execute(_STATUS)
    for name, rows in _FUNCTIONS.items():
        op.execute(_FUNCTION.format(name=name, rows=rows))
    op.execute("LOCK TABLE vms IN SHARE ROW EXCLUSIVE MODE")  # programs of the release before are at work
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
    op.execute(f"INSERT INTO vm_counts {_COUNTED.format(sign='', table='vms')}")


def downgrade() -> None:
    """Undo."""
    for trigger in ("made", "removed", "changed"):
        op.execute(f"DROP TRIGGER {trigger} ON vms")
    for name in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION vm_status(text, timestamptz, text, timestamptz)")
    op.drop_table("vm_counts")
