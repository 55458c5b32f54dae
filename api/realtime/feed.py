"""The event feed: all events in order, each once and none missing, for the listeners of this process.

Publications arrive out of order (several processes publish), perhaps not at all, and not while Redis is away. Numbers
are given in the order of commits, so whatever has a number below one that was seen is in the record or never will be:
a gap is filled from there, and a hole that stays was a transaction rolled back.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence

from api.realtime.listener import QUEUE_LIMIT, Interest, Listener
from api.realtime.record import EventReader
from core.contract.errors import Unavailable
from core.services.events import EventMessage

log = logging.getLogger(__name__)

_CHUNK = QUEUE_LIMIT // 2
_GAP_SECONDS = 0.03  # how long an event may be overtaken by the next before the record is asked
_POLL_SECONDS = 5.0  # also finds what was published last and lost
_RETRY_SECONDS = 1.0
_BREATH_SECONDS = 1.0
_STUCK_SECONDS = 0.1


class Feed:
    """Starts with the first listener; from then on `position` is the number up to which all has been handed out."""

    def __init__(self, record: EventReader) -> None:
        self._record = record
        self._lock = threading.Lock()
        self._bell, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._listeners: set[Listener] = set()
        self._waiting: dict[int, EventMessage] = {}
        self._poll_at = self._gap_at = math.inf
        self.position = 0

    def start(self) -> None:
        """Begin at the newest event; `Unavailable` without a database."""
        if self.started:
            return
        newest = self._record.newest()
        with self._lock:
            if not self.started:
                # An event published since that reading was not taken: the record is read again at once.
                self.position, self._poll_at = newest, 0.0
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()

    @property
    def started(self) -> bool:
        """Whether there ever was a listener."""
        return self._thread is not None

    def close(self) -> None:
        """End."""
        self._closing.set()
        self._bell.set()
        if self._thread is not None:
            self._thread.join(_BREATH_SECONDS)

    def add(self, listener: Listener) -> None:
        """From now on it is offered every event."""
        with self._lock:
            self._listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        """It is gone."""
        with self._lock:
            self._listeners.discard(listener)

    def set_interests(self, listener: Listener, *interests: Interest) -> int:
        """Change what a listener wants: it holds for the events after the number that is returned."""
        with self._lock:
            listener.interests = interests
            return self.position

    def wake_all(self) -> None:
        """Make every socket look up."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.wake()

    def take(self, notes: Sequence[EventMessage]) -> None:
        """Events that were published, once it has started."""
        with self._lock:
            self._waiting.update((note.seq, note) for note in notes if note.seq > self.position)
        self._bell.set()

    def resync(self) -> None:
        """Some may have been missed: ask the record now."""
        self._poll_at = 0.0
        self._bell.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._bell.wait(max(0.0, min(self._poll_at, self._gap_at) - time.monotonic()))
            self._bell.clear()
            try:
                self._advance()
            except Unavailable:
                self._put_off()
            except Exception:
                log.exception("the event feed failed; it reads the database again")
                self._put_off()

    def _put_off(self) -> None:
        self._poll_at, self._gap_at = time.monotonic() + _RETRY_SECONDS, math.inf

    def _advance(self) -> None:
        self._hand_out(self._consecutive())
        now = time.monotonic()
        self._gap_at = min(self._gap_at, now + _GAP_SECONDS) if self._waiting else math.inf
        if now >= min(self._poll_at, self._gap_at):
            self._read_record()

    def _consecutive(self) -> list[EventMessage]:
        """The events waiting that follow on the last without a gap."""
        notes: list[EventMessage] = []
        with self._lock:
            while (note := self._waiting.pop(self.position + 1 + len(notes), None)) is not None:
                notes.append(note)
        return notes

    def _read_record(self) -> None:
        """Hand out all that the record has beyond `position`. What waited before is in there, or never happened."""
        self._poll_at, self._gap_at = time.monotonic() + _POLL_SECONDS, math.inf
        with self._lock:
            before = set(self._waiting)
        while True:
            page = self._record.since(self.position)
            self._hand_out(page)
            if len(page) < self._record.page_size:
                break
        with self._lock:
            self._waiting = {
                seq: note for seq, note in self._waiting.items() if seq > self.position and seq not in before
            }
        self._bell.set()

    def _hand_out(self, notes: Sequence[EventMessage]) -> None:
        for start in range(0, len(notes), _CHUNK):
            if start:
                self._breathe()
            chunk = notes[start : start + _CHUNK]
            with self._lock:
                for listener in self._listeners:
                    listener.offer(chunk)
                self.position = chunk[-1].seq

    def _breathe(self) -> None:
        """Within a long page, let the sockets write while any of them gets on; one that is stuck is not waited for."""
        backlog, moved_at = self._backlog(), time.monotonic()
        until = moved_at + _BREATH_SECONDS
        while backlog and time.monotonic() < min(until, moved_at + _STUCK_SECONDS):
            time.sleep(0.005)
            left = self._backlog()
            if left < backlog:
                backlog, moved_at = left, time.monotonic()

    def _backlog(self) -> int:
        with self._lock:
            return sum(listener.backlog for listener in self._listeners if listener.backlog >= _CHUNK)
