"""A value that is looked up once in a while for all callers, where a look is expensive."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last look, for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until = seconds, 0.0
        self._value: T | None = None

    def get(self) -> T | None:
        """What was put in last, unless that is too long ago."""
        return self._value if time.monotonic() < self._until else None

    def put(self, value: T) -> None:
        """Keep it from now on."""
        self._value, self._until = value, time.monotonic() + self._seconds
