"""The API's end of streams: opened by a call, one Redis connection each, so many at once in a process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from core import refusals
from core.contract import channels
from core.contract.errors import Unavailable
from core.contract.failures import error_of
from core.contract.shares import Shares
from core.streams import Stream

AT_ONCE, EACH = 96, 48
_SOCKET_SECONDS = 5.0


class ApiStreams:
    """The streams of one process."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._shares = Shares("streams through this server", AT_ONCE, EACH)

    def prepare(self, owner: str) -> tuple[str, Stream]:
        """The id of a new stream to a VM of that owner, and its end here, which listens; `close` it in the end."""
        self._shares.take(owner)
        stream_id, leave = secrets.token_hex(16), partial(self._shares.leave, owner)
        try:
            return stream_id, Stream(_PubSubChannel(self._client, stream_id, leave), error_of)
        except BaseException:
            leave()
            raise

    def close(self) -> None:
        """End its connections, and with them every stream."""
        self._client.close()

    @cached_property
    def _client(self) -> redis.Redis:
        """It repeats nothing by itself: a piece that comes twice would break the stream."""
        return redis.Redis.from_url(
            self._url,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            health_check_interval=int(_SOCKET_SECONDS),
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            client_name="corral-api-streams",
        )


class _PubSubChannel:
    """A subscription of its own, and a shared client to publish with."""

    def __init__(self, client: redis.Redis, stream_id: str, leave: Callable[[], None]) -> None:
        self._client, self._to, self._leave = client, channels.stream(stream_id, "agent"), leave
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        try:
            self._pubsub.subscribe(channels.stream(stream_id, "api"))
            confirmed = self._pubsub.get_message(timeout=_SOCKET_SECONDS)
            problem = "does not answer"
        except RedisError as error:
            confirmed, problem = None, refusals.reason(error)
        if confirmed is None:
            self._pubsub.close()
            raise Unavailable(f"the message broker {problem}; try again in a few seconds")

    def send(self, frame: bytes) -> bool:
        """Published to the agent's end."""
        try:
            return bool(self._client.publish(self._to, frame))
        except RedisError as error:
            raise _lost(error) from None

    def receive(self, seconds: float) -> bytes | None:
        """What the agent's end has published."""
        try:
            message: Any = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except RedisError as error:
            raise _lost(error) from None
        return message["data"] if message else None

    def close(self) -> None:
        """End the subscription; another stream may take its place."""
        self._pubsub.close()
        self._leave()


def _lost(error: RedisError) -> Unavailable:
    return Unavailable(f"the transfer was cut off: the message broker {refusals.reason(error)}")
