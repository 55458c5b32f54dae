"""Pauses between tries: longer each time, up to a longest one."""

from __future__ import annotations

import random


class Backoff:
    """Seconds to wait before the next try: `first`, then twice the last pause, never more than `longest`.

    `jitter` is the share of a pause that is left to chance, so that those who failed together don't meet again.
    """

    def __init__(self, first: float, longest: float, *, jitter: float = 0.0) -> None:
        self._first, self._longest, self._jitter = first, longest, jitter
        self._next = first

    def pause(self) -> float:
        """The next pause; the one after it is longer."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause * random.uniform(1 - self._jitter, 1)

    def reset(self) -> None:
        """It worked: the next pause is the first one again."""
        self._next = self._first
