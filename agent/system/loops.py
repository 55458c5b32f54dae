"""A thread that repeats one step, and survives any exception in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from core.backoff import Backoff

log = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Loop(threading.Thread):
    """Calls `act` until stopped; after a failure it waits, longer each time, up to five seconds."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.stopping = threading.Event()
        self._act = act
        self._failures = 0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._act()
            except RedisError as error:
                if self._failures == 0:
                    log.warning("%s: Redis: %s; trying again", self.name, error)
                self._pause()
            except Exception:  # the outermost handler of this thread: without it the agent would go deaf
                log.exception("%s: unexpected error; trying again", self.name)
                self._pause()
            else:
                self._recovered()

    def _pause(self) -> None:
        self._failures += 1
        self.stopping.wait(self._backoff.pause())

    def _recovered(self) -> None:
        if self._failures:
            log.info("%s: works again after %d failures", self.name, self._failures)
            self._failures = 0
            self._backoff.reset()
