"""Hosts are online or offline, and have a scheduling state: the columns and events have these names too.

No release has had the former names, so that no old code runs on the new tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

COLUMNS = {
    "silent_since": "offline_since",
    "standing": "scheduling_state",
    "standing_since": "scheduling_since",
    "standing_by": "scheduling_by",
    "standing_reason": "scheduling_reason",
}
EVENTS = {"host_silent": "host_offline", "host_alive": "host_online", "host_standing": "host_scheduling"}
_EVENTS = sa.text("UPDATE events SET type = :new WHERE type = :old")
_WEBHOOKS = sa.text(
    "UPDATE webhooks SET types = (types - :old) || to_jsonb(CAST(:new AS text)) WHERE jsonb_exists(types, :old)"
)


def upgrade() -> None:
    """Apply."""
    _rename(COLUMNS, EVENTS)


def downgrade() -> None:
    """Undo."""
    _rename({new: old for old, new in COLUMNS.items()}, {new: old for old, new in EVENTS.items()})


def _rename(columns: dict[str, str], events: dict[str, str]) -> None:
    for old, new in columns.items():
        op.alter_column("hosts", old, new_column_name=new)
    connection = op.get_bind()
    for old, new in events.items():
        for statement in (_EVENTS, _WEBHOOKS):
            connection.execute(statement, {"old": old, "new": new})
