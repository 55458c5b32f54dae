"""How commands travel: kombu's Redis transport, as both ends of a queue use it."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import redis as stock


class Channel(stock.Channel):
    """Keeps one client for its pool of connections: kombu makes a new one for each command to Redis."""

    _kept: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class Transport(stock.Transport):
    """Named in an app's `broker_transport`."""

    Channel = Channel
