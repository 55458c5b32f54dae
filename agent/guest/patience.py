"""The longest time that one verb may wait for guests, over all its requests.

A call or a command sets it once, for the thread that does it; each question to a guest agent ends by then at the
latest, however many of them there are and in whatever order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("patience", default=math.inf)


@contextmanager
def ends_in(seconds: float) -> Iterator[None]:
    """Within the block no question to a guest lasts longer than so many seconds from now."""
    token = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(token)


def at_most(seconds: float) -> float:
    """So many seconds, or fewer where the patience ends before; 0 when it has ended."""
    return max(0.0, min(seconds, _until.get() - time.monotonic()))


def lasts() -> bool:
    """Whether it has not ended yet."""
    return time.monotonic() < _until.get()
