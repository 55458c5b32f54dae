"""The API's end of streams: each is opened by a call and has a Redis connection; a process has a limited number."""

from __future__ import annotations

import secrets
from functools import cached_property, partial

import redis

from core import redis_clients
from core.contract.failures import error_of
from core.contract.shares import Shares
from core.pubsub import PubSubChannel
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
            channel = PubSubChannel(self._client, stream_id, end="api", other="agent", on_close=leave)
            return stream_id, Stream(channel, error_of)
        except BaseException:
            leave()
            raise

    def close(self) -> None:
        """End its connections, and with them every stream."""
        self._client.close()

    @cached_property
    def _client(self) -> redis.Redis:
        """It repeats nothing by itself: a piece that comes twice would break the stream."""
        return redis_clients.connect(
            self._url, seconds=_SOCKET_SECONDS, name="corral-api-streams", check_seconds=int(_SOCKET_SECONDS)
        )
