"""Concurrency limits for each user, for requests that are cheap to begin and expensive to hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from core.contract.errors import TooMany

_RETRY_SECONDS = 5


class Places:
    """Of one process; `what` says what is held, in the words of its refusal."""

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, who: str) -> Iterator[None]:
        """A place while the block lasts; `TooMany` when all of theirs are taken."""
        with self._lock:
            if self._taken[who] >= self._most:
                raise TooMany(
                    f"you have {self._most} {self._what} open, the most allowed; close one of them",
                    retry_after_seconds=_RETRY_SECONDS,
                )
            self._taken[who] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[who] -= 1
                if not self._taken[who]:
                    del self._taken[who]
