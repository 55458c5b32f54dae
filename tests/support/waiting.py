"""How every test waits: for something to hold, and for no longer than would be a hang on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

HANG_SECONDS = 180.0
_LOOK_SECONDS = 0.02


def until(what: Callable[[], Any], seconds: float = HANG_SECONDS, why: object = "") -> Any:
    """The first true value of `what`. `seconds` bounds a hang, and says nothing about how quick something is to be."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s; last seen: {value!r} {why}"
        time.sleep(_LOOK_SECONDS)
    return value
