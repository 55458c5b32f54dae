"""Kombu's Redis transport for both ends of a queue, made safe where it reads.

kombu decodes what it pops outside any handler, and Celery reads headers it takes for granted: one bad push ends a
worker. A channel that reads checks each message and rebuilds it from the few fields that a task needs, before either
sees it. What isn't a task that it accepts is logged and dropped; a sweep of the control plane sends real ones again.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import redis
from kombu.transport import redis as stock
from kombu.transport import virtual

log = logging.getLogger(__name__)
REFUSED_SECONDS = 1.0
_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
Accepts = Mapping[str, Callable[[dict[str, Any]], bool]]
"""Each task that may be run, and whether those are arguments of it."""


class PooledChannel(stock.Channel):
    """Keeps one client for its pool of connections: kombu makes a new one for each command to Redis."""

    _kept: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class PooledTransport(stock.Transport):
    """Named in the `broker_transport` of an app that only sends."""

    Channel = PooledChannel


class TaskRefused(ValueError):
    """Not a task that is accepted."""


class Message(virtual.Message):
    """A message that holds one task and nothing else: no callbacks, no chains, no times, no other task."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        checked = rebuilt(payload, channel.accepts) if channel.popping else payload
        super().__init__(checked, channel=channel, **kwargs)  # type: ignore[no-untyped-call]


class ReadingChannel(PooledChannel):
    """Reads past whatever can't be read. A worker's own says what it accepts."""

    accepts: ClassVar[Accepts] = {}
    popping = False  # else it is an event, which Flower listens to with the workers' app
    Message = Message
    # What was popped is done here, connection or not. kombu would put it back on a Redis that is just gone, fail, and
    # leave the tasks in a file in /tmp.
    do_restore = False

    def _receive(self) -> Any:
        try:
            return super()._receive()  # type: ignore[no-untyped-call]
        except _MALFORMED as error:
            log.warning("dropped a malformed event: %s", str(error)[:200])
            return True

    def _brpop_read(self, **options: Any) -> Any:
        self.popping = True
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _MALFORMED as error:
            log.warning("dropped a malformed message from a queue: %s", str(error)[:200])
            return True
        except redis.ResponseError as error:
            # Redis is full, or the queue is no list: Celery would end. As a lost connection it tries again.
            log.warning("Redis refuses a queue: %s", error)
            time.sleep(REFUSED_SECONDS)
            raise redis.ConnectionError(str(error)) from error
        finally:
            self.popping = False


def rebuilt(payload: Any, accepts: Accepts) -> dict[str, Any]:
    """The raw message with only what a task needs; `TaskRefused` names what is wrong."""
    headers, properties = _dict(payload, "headers"), _dict(payload, "properties")
    task = headers.get("task")
    if not isinstance(task, str) or task not in accepts:
        raise TaskRefused(f"task is {task!r:.80}")
    identity = _text(headers, "id")
    return {
        "body": _checked_body(_text(payload, "body"), accepts[task]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "lang": "py",
            "task": task,
            "id": identity,
            "root_id": identity,
            "shadow": str(headers.get("shadow") or task)[:200],
            "argsrepr": "()",
            "kwargsrepr": str(headers.get("kwargsrepr") or "")[:1000],
            "origin": str(headers.get("origin") or "")[:200],
        },
        "properties": {
            "delivery_tag": _text(properties, "delivery_tag"),
            "delivery_info": {"exchange": "", "routing_key": _text(_dict(properties, "delivery_info"), "routing_key")},
            "body_encoding": "base64",
            "priority": 0,
        },
    }


def _checked_body(body: str, accepted: Callable[[dict[str, Any]], bool]) -> str:
    args, kwargs, embed = json.loads(base64.b64decode(body, validate=True))
    if args != [] or not accepted(dict(kwargs)) or any(embed.values()):
        raise TaskRefused("the body is not the task's")
    return body


def _dict(data: Any, name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise TaskRefused(f"{name} is missing")
    return value


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise TaskRefused(f"{name} is missing")
    return value
