"""Redis clients that never wait for ever, and repeat nothing by themselves unless that is asked for."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(
    url: str, *, seconds: float, name: str | None = None, check_seconds: int = 0, retries: int = 0
) -> redis.Redis:
    """A thread-safe client, not connected yet, whose every wait ends after `seconds` with a `redis.RedisError`.

    `name` is what Redis lists it as. A connection that has rested for `check_seconds` is tried before it is used (0:
    never). `retries`: so often a command is sent again at once when its connection breaks.
    """
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        health_check_interval=check_seconds,
        retry=Retry(NoBackoff(), retries),
        protocol=2,
        client_name=name,
        **over_tcp,
    )
