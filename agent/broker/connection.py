"""The agent's own connection to Redis, beside Celery's."""

from __future__ import annotations

import redis
from redis.credentials import CredentialProvider

from core import redis_clients

BLOCK_SECONDS = 1  # a blocking pop must end well before the socket's timeout, or redis-py would send it twice
SOCKET_SECONDS = 5


def connect(url: str, name: str, credentials: CredentialProvider | None = None) -> redis.Redis:
    """A thread-safe client that never waits for ever and never repeats a command by itself.

    `credentials`: asked by each new connection; else the address has them.
    """
    return redis_clients.connect(
        url, seconds=SOCKET_SECONDS, name=name, check_seconds=SOCKET_SECONDS, credentials=credentials
    )
