"""The outbox: events and audit entries of a transaction, written by its last statement.

One for both and for any number of rows, as this runs in every change.
"""

from __future__ import annotations

import json

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.contract import channels
from core.database import after_commit, before_commit
from core.models import AuditEntry, Event
from core.models.base import JSON
from core.prepared import PREPARED
from core.rows import dumped, inserted
from core.services.context import dispatch_of

# The table numbers events in the order of their commits, by a lock: inserted last, they hold it for little more than
# the commit.
_INSERT_ENTRIES = inserted(AuditEntry, "entries", numbered=True)
_INSERT_EVENTS = f"{inserted(Event, 'events', numbered=True)} RETURNING seq"
_ENTRIES = text(_INSERT_ENTRIES).execution_options(**PREPARED)
_EVENTS = text(_INSERT_EVENTS).execution_options(**PREPARED)
_BOTH = text(f"WITH logged AS ({_INSERT_ENTRIES}) {_INSERT_EVENTS}").execution_options(**PREPARED)


def add_event(session: Session, event: JSON) -> None:
    """Write an event, and publish it after the commit; `event` has all columns but the number, which it gets last."""
    _add(session, "events", event)


def add_entry(session: Session, entry: JSON) -> None:
    """Write an entry of the audit log, which has all columns but the number."""
    _add(session, "entries", entry)


def _add(session: Session, kind: str, row: JSON) -> None:
    session.info.setdefault(kind, []).append(row)
    before_commit(session, "outbox", _write)


def _write(session: Session) -> None:
    events: list[JSON] = session.info.pop("events", [])
    entries: list[JSON] = session.info.pop("entries", [])
    session.flush()
    rows = {"events": dumped(events), "entries": dumped(entries)}
    if not events:
        session.connection().execute(_ENTRIES, rows)
        return
    numbers = session.connection().execute(_BOTH if entries else _EVENTS, rows).scalars()
    numbered = [{"seq": seq, **event} for seq, event in zip(numbers, events, strict=True)]
    dispatch, published = dispatch_of(session), json.dumps(numbered, separators=(",", ":"))
    after_commit(session, lambda: dispatch.publish(channels.EVENTS, published))
