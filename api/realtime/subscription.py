"""The Redis subscription of a process: always opened again, and known to be up or down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import redis
from redis.client import PubSub

from core import redis_clients
from core.backoff import Backoff

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_PING_SECONDS = 1.0
_MUTE_SECONDS = 5.0  # a server that answers no ping for so long is gone, whatever TCP thinks


class Subscription:
    """Tells `heard(channel, data)` of each message, and `came_up()` of each connection made: some may be missing."""

    def __init__(
        self,
        redis_url: str,
        channels: Sequence[str],
        heard: Callable[[str, bytes], None],
        came_up: Callable[[], None],
    ) -> None:
        self._url, self._channels, self._heard, self._came_up = redis_url, channels, heard, came_up
        self._up, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)

    def start(self) -> None:
        """Begin; once, after the fork."""
        self._thread.start()

    def close(self) -> None:
        """End, within about a second."""
        self._closing.set()
        self._thread.join(_MUTE_SECONDS)

    @property
    def is_up(self) -> bool:
        """Whether messages published now are heard."""
        return self._up.is_set()

    def wait_up(self, seconds: float) -> bool:
        """Wait until it is up, for that long at most."""
        return self._up.wait(seconds)

    def _run(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, jitter=0.5)
        while not self._closing.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if self.is_up:
                    log.warning("the subscription to Redis was lost: %s", error)
            except Exception:
                log.exception("the subscription to Redis failed")
            if self.is_up:
                backoff.reset()
            self._up.clear()
            self._closing.wait(backoff.pause())

    def _listen(self) -> None:
        """One connection, until it breaks. redis-py would resubscribe by itself and not say so: no retry."""
        client = redis_clients.connect(self._url, seconds=_MUTE_SECONDS, name="corral-api")
        with client, client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(*self._channels)
            heard_at = time.monotonic()
            while not self._closing.is_set():
                message = pubsub.get_message(timeout=_PING_SECONDS)
                if message is None:
                    _check(pubsub, heard_at)
                    continue
                heard_at = time.monotonic()
                self._take(message)

    def _take(self, message: dict[str, bytes]) -> None:
        kind = str(message["type"])
        if kind == "message":
            self._heard(message["channel"].decode(), message["data"])
        elif kind == "subscribe" and message["channel"].decode() == self._channels[-1]:
            log.info("subscribed to Redis")
            self._up.set()
            self._came_up()


def _check(pubsub: PubSub, heard_at: float) -> None:
    """Ask a silent server for a sign of life, or give it up."""
    silence = time.monotonic() - heard_at
    if silence > _MUTE_SECONDS:
        raise redis.ConnectionError(f"no answer for {silence:.0f} s")
    pubsub.ping()
