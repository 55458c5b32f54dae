"""The table of events sees to it by itself that their numbers grow in the order of their commits."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

# "CORR": the number that the programs before this release took the same lock by.
_ORDER = """
CREATE FUNCTION events_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1129271890);
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute(_ORDER)
    # Before the statement, and so before the first of its numbers is drawn.
    op.execute("CREATE TRIGGER in_order BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION events_in_order()")


def downgrade() -> None:
    """Undo."""
    op.execute("DROP TRIGGER in_order ON events")
    op.execute("DROP FUNCTION events_in_order()")
