"""Types for msgspec, each prepared by one thread alone.

Two threads that meet the same dataclass for the first time at once end the whole process: msgspec 0.22 keeps what it
learns of a type with the type, and reads there what another thread has half written.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from functools import cache
from typing import Any

import msgspec

_FIRST = threading.Lock()


@cache
def decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    """What reads a type from JSON; from then on any thread may use msgspec with that type."""
    with _FIRST:
        return msgspec.json.Decoder(kind)
