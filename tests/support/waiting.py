"""How every test waits: for something to hold, and for no longer than would be a hang on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

HANG_SECONDS = 180.0
_LOOK_SECONDS = 0.02


def until(
    what: Callable[[], Any],
    seconds: float = HANG_SECONDS,
    why: object = "",
    *,
    despite: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """The first true value of `what`; while it raises one of `despite`, it is not so yet.

    `seconds` bounds a hang, and says nothing about how quick something is to be. `why` is told when it is over; called,
    if it can be.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := what():
                return value
        except despite as error:
            value = error
        if time.monotonic() > deadline:
            told = why() if callable(why) else why
            raise AssertionError(f"not within {seconds:.0f} s; last seen: {value!r} {told}")
        time.sleep(_LOOK_SECONDS)
