"""Redis clients that never wait for ever, and repeat nothing by themselves unless that is asked for."""

from __future__ import annotations

from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry


def connect(
    url: str,
    *,
    seconds: float,
    name: str | None = None,
    check_seconds: int = 0,
    retries: int = 0,
    credentials: CredentialProvider | None = None,
) -> redis.Redis:
    """A thread-safe client, not connected yet, whose every wait ends after `seconds` with a `redis.RedisError`.

    `name` is what Redis lists it as. A connection that has rested for `check_seconds` is tried before it is used (0:
    never). `retries`: so often a command is sent again at once when its connection breaks. `credentials`: asked by each
    new connection, in the place of what the address has.
    """
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        url if credentials is None else bare(url),
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        health_check_interval=check_seconds,
        retry=Retry(NoBackoff(), retries),
        protocol=2,
        client_name=name,
        credential_provider=credentials,
        **over_tcp,
    )


def bare(url: str) -> str:
    """The address without a name and a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
