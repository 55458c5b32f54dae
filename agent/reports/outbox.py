"""The outbox of an agent: sends reports and inventories in order, for as long as it takes.

Only the newest word on a subject waits: an operation's progress gives way to its next, its last report replaces all
before, and one inventory replaces another. So what waits is bounded however long Redis is away. Last reports are in the
journal before they come here, and are ticked off there once Redis has them.
"""

from __future__ import annotations

import threading
import time

import redis

from agent.reports.journal import Journal
from agent.system.loops import Loop
from core.contract import channels

BATCH = 200
# What is under way is told only if it lasts: most commands of a quick driver end before it would be read.
LIVE_WAITS_SECONDS = 0.05
Key = tuple[str, str]  # subject, and which of its words: one waits for each
LAST = "last"


class Outbox:
    """The outbox of one host; `loop` is the thread that empties it."""

    def __init__(self, host: str, client: redis.Redis, journal: Journal) -> None:
        self._host, self._client, self._journal = host, client, journal
        self._changed = threading.Condition()
        self._waiting: dict[Key, tuple[float, str]] = {}
        self.loop = Loop("reports", self._send)
        for operation_id, report in journal.unsent():
            self.last(operation_id, report)

    def live(self, operation_id: str, phase: str, report: str) -> None:
        """Sends a report that may be lost: begun or progress. A last one that comes soon replaces it."""
        self._put((operation_id, phase), "report", report, LIVE_WAITS_SECONDS)

    def last(self, operation_id: str, report: str) -> None:
        """Sends the journaled report that ends an operation."""
        with self._changed:
            for phase in ("begun", "progress"):
                self._waiting.pop((operation_id, phase), None)
        self._put((operation_id, LAST), "report", report)

    def inventory(self, inventory: str) -> None:
        """Sends an inventory."""
        self._put(("host", "inventory"), "inventory", inventory)

    def wait_empty(self, seconds: float) -> bool:
        """Whether all was sent within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def _put(self, key: Key, kind: str, body: str, delay: float = 0.0) -> None:
        with self._changed:
            self._waiting.pop(key, None)
            self._waiting[key] = (time.monotonic() + delay, f'{{"kind":"{kind}","body":{body}}}')
            self._changed.notify_all()

    def _send(self) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), timeout=1):
                return
            now = time.monotonic()
            batch = [(key, text) for key, (due, text) in self._waiting.items() if due <= now][:BATCH]
            if not batch:
                self._changed.wait(min(due for due, _ in self._waiting.values()) - now)
                return
        with self._client.pipeline(transaction=False) as together:
            together.rpush(channels.reports(self._host), *(text for _, text in batch))
            together.publish(channels.REPORTS_WAKEUP, self._host)
            together.execute()
        self._sent(batch)

    def _sent(self, batch: list[tuple[Key, str]]) -> None:
        last = [operation_id for (operation_id, which), _ in batch if which == LAST]
        if last:
            self._journal.sent(last)
        with self._changed:
            for key, text in batch:
                if key in self._waiting and self._waiting[key][1] is text:
                    del self._waiting[key]
            self._changed.notify_all()
