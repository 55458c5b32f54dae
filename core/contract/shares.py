"""Places that owners share: so many in all, and of these so many for one owner."""

from __future__ import annotations

import threading
from collections import Counter

from core.contract.errors import Unavailable


class Shares:
    """The places of one process for one kind of work; `what` it is, in a few words."""

    def __init__(self, what: str, total: int, each: int) -> None:
        self._what, self._total, self._each = what, total, each
        self._lock = threading.Lock()
        self._taken = Counter[str]()

    def take(self, owner: str) -> None:
        """A place for that owner; `Unavailable` when there is none for now."""
        with self._lock:
            if self._taken[owner] >= self._each:
                raise Unavailable(
                    f"you have {self._each} {self._what} in progress, the most allowed; try again when one ends"
                )
            if self._taken.total() >= self._total:
                raise Unavailable(
                    f"{self._total} {self._what} are in progress, the most allowed; try again when one ends"
                )
            self._taken[owner] += 1

    def leave(self, owner: str) -> None:
        """It is free again."""
        with self._lock:
            self._taken[owner] -= 1
            if self._taken[owner] <= 0:
                del self._taken[owner]

    @property
    def in_use(self) -> int:
        """How many are taken."""
        with self._lock:
            return self._taken.total()
