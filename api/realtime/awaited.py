"""Waiters by an id, and the values that arrive for them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitSlot(Generic[T]):
    """One waiter's place: `value` once it has arrived. `changed` is also set to make the waiter look again."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.value: T | None = None


class Awaited(Generic[T]):
    """The slots of a process by the id that they wait for; several may wait for the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: defaultdict[str, list[WaitSlot[T]]] = defaultdict(list)

    @contextmanager
    def expect(self, key: str) -> Iterator[WaitSlot[T]]:
        """A slot that hears of whatever arrives for `key` while the block lasts."""
        slot = WaitSlot[T]()
        with self._lock:
            self._slots[key].append(slot)
        try:
            yield slot
        finally:
            with self._lock:
                self._slots[key].remove(slot)
                if not self._slots[key]:
                    del self._slots[key]

    def expects(self, key: str) -> bool:
        """Whether anybody waits for `key` now."""
        with self._lock:
            return key in self._slots

    def arrive(self, key: str, value: T) -> None:
        """Hand `value` to all who wait for `key`."""
        with self._lock:
            slots = list(self._slots.get(key, ()))
        for slot in slots:
            slot.value = value
            slot.changed.set()

    def wake_all(self) -> None:
        """Make every waiter look again at why it waits."""
        with self._lock:
            slots = [slot for some in self._slots.values() for slot in some]
        for slot in slots:
            slot.changed.set()
