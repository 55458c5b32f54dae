"""Errors of Redis, in words for users and operators: reachable is not working."""

from __future__ import annotations

import redis
from redis.exceptions import AuthenticationError, BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError

UNREACHABLE, MUTE = AWAY = ("can't be reached", "does not answer")


def reason(error: BaseException | None) -> str:
    """What to say of an error of a Redis client, or of what was made of it; never an address or a password."""
    while error is not None and not isinstance(error, redis.RedisError):
        error = error.__cause__ or error.__context__
    match error:
        case OutOfMemoryError():
            return "out of memory (maxmemory)"
        case ReadOnlyError():
            return "read-only replica"
        case BusyLoadingError():
            return "is loading its data"
        case AuthenticationError():
            return "rejects the password"
        case redis.TimeoutError():
            return MUTE
        case ResponseError():
            return _refused(str(error))
        case _:
            return UNREACHABLE


def _refused(text: str) -> str:
    """Errors for which redis-py has no class, by the word that Redis begins them with."""
    match text.partition(" ")[0]:
        case "OOM":  # also inside a MULTI
            return "out of memory (maxmemory)"
        case "READONLY":
            return "read-only replica"
        case "MISCONF":
            return "can't write to its disk"
        case "MASTERDOWN" | "NOREPLICAS":
            return "has lost its replication"
        case "EXECABORT" if "OOM" in text or "maxmemory" in text:
            return "out of memory (maxmemory)"
        case _:
            return "refuses a command"
