"""The agent's own connection to Redis, beside the one Celery keeps."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

BLOCK_SECONDS = 1  # a blocking pop must end well before the socket's timeout, or redis-py would send it twice
SOCKET_SECONDS = 5


def connect(url: str, name: str) -> redis.Redis:
    """A thread-safe client that never waits for ever and never repeats a command by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        socket_keepalive=True,
        health_check_interval=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        client_name=name,
    )
