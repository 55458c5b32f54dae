"""The result and duration of a call or command, as both ends count it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.contract.errors import CorralError

OK, BROKE = "ok", "internal_error"


@contextmanager
def metered(tell: Callable[[str, float], None]) -> Iterator[None]:
    """`tell(outcome, seconds)` at the end; the outcome is "ok", or the code of the error that is let through."""
    began, outcome = time.monotonic(), BROKE
    try:
        yield
        outcome = OK
    except CorralError as error:
        outcome = error.code
        raise
    finally:
        tell(outcome, time.monotonic() - began)
