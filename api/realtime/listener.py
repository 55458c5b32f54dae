"""The listener of one socket: its filter, what its user may see, and its bounded queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.services.context import Actor
from core.services.events import EventMessage

QUEUE_LIMIT = 256


@dataclass(frozen=True)
class Interest:
    """The filter of a listener: events of some types (None: all), of one VM (None: any), with a number above
    `after`.
    """

    types: frozenset[str] | None = None
    vm_id: str | None = None
    after: int = 0

    def wants(self, note: EventMessage) -> bool:
        """Whether that event is asked for."""
        return (
            note.seq > self.after
            and (self.types is None or note.type in self.types)
            and (self.vm_id is None or note.vm_id == self.vm_id)
        )


def _nobody() -> None:
    """Nobody waits yet."""


class Listener:
    """Filled by the feed and emptied by its socket. A queue that runs over is cut: emptied, and never filled again.

    Without `actor` it hears nothing. `wake()` is called whenever there is something to look at.
    """

    def __init__(self) -> None:
        self.actor: Actor | None = None
        self.interests: tuple[Interest, ...] = ()
        self.wake: Callable[[], None] = _nobody
        self.is_cut = False
        self._queue: deque[EventMessage] = deque()

    @property
    def backlog(self) -> int:
        """How many events wait to be written."""
        return len(self._queue)

    def offer(self, notes: Sequence[EventMessage]) -> None:
        """Queue those it wants and may hear."""
        heard = [note for note in notes if self._hears(note)]
        if not heard or self.is_cut:
            return
        if len(self._queue) + len(heard) > QUEUE_LIMIT:
            self.is_cut = True
            self._queue.clear()
        else:
            self._queue.extend(heard)
        self.wake()

    def next(self) -> EventMessage | None:
        """The oldest event in the queue."""
        return self._queue.popleft() if self._queue else None

    def _hears(self, note: EventMessage) -> bool:
        if self.actor is None or not any(interest.wants(note) for interest in self.interests):
            return False
        return note.visible_to(self.actor)
