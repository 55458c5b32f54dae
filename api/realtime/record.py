"""Events from the database, for listeners that missed their publication."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from core.database import transaction
from core.services import events
from core.services.context import Actor
from core.services.events import REPLAY_LIMIT, EventMessage

# The feed reads for everybody; each listener then hears what its own caller may.
_EVERYBODY = Actor(user_id="", username="realtime", role="admin", read_only=True)


class EventReader:
    """Reads events in short transactions; `Unavailable` when the database can't be reached."""

    page_size = REPLAY_LIMIT

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def since(self, after: int, actor: Actor = _EVERYBODY, vm_id: str | None = None) -> list[EventMessage]:
        """The next events after that number, `page_size` at most."""
        with transaction(self._engine) as session:
            return events.replay(session, actor, after, vm_id)

    def newest(self) -> int:
        """The number of the newest event."""
        with transaction(self._engine) as session:
            return events.last_seq(session)
