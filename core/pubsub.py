"""One end of a stream on Redis: frames are published on one channel and heard on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError

from core import refusals
from core.contract import channels
from core.contract.errors import Unavailable

CONFIRM_SECONDS = 5.0


class PubSubChannel:
    """The channel of one end, "api" or "agent": a subscription of its own, and a shared client to publish with.

    `Unavailable` from each of its verbs when Redis is away; `on_close` is called once, with the end of it.
    """

    def __init__(
        self, client: redis.Redis, stream_id: str, *, end: str, other: str, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._client, self._to, self._on_close = client, channels.stream(stream_id, other), on_close
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        try:
            self._pubsub.subscribe(channels.stream(stream_id, end))
            confirmed = self._pubsub.get_message(timeout=CONFIRM_SECONDS)
            problem = refusals.MUTE
        except RedisError as error:
            confirmed, problem = None, refusals.reason(error)
        if confirmed is None:
            self._pubsub.close()
            raise Unavailable(f"the message broker {problem}; try again in a few seconds")

    def send(self, frame: bytes) -> bool:
        """Publish to the other end; whether it listens."""
        try:
            return bool(self._client.publish(self._to, frame))
        except RedisError as error:
            raise _cut_off(error) from None

    def receive(self, seconds: float) -> bytes | None:
        """The next frame of the other end, within that time."""
        try:
            message: Any = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except RedisError as error:
            raise _cut_off(error) from None
        return message["data"] if message else None

    def close(self) -> None:
        """End the subscription."""
        self._pubsub.close()
        self._on_close()


def _cut_off(error: RedisError) -> Unavailable:
    return Unavailable(f"the transfer was cut off: the message broker {refusals.reason(error)}")
