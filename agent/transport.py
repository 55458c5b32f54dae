"""Celery's Redis transport, made safe against what it would die of: a malformed message on the agent's queue.

kombu decodes what it pops outside any handler, and Celery reads headers it takes for granted: one bad push ends a
worker. Here each message is checked and rebuilt from the few fields that a command has, before either sees it. What
isn't a command is logged and dropped; the sweep of the control plane sends real commands again.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any

import redis
from kombu.transport import virtual

from core import transport

log = logging.getLogger(__name__)
TASK = "corral.command"
REFUSED_SECONDS = 1.0


class Refused(ValueError):
    """Not a command."""


class Message(virtual.Message):
    """A message that holds one command and nothing else: no callbacks, no chains, no times, no other task."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        super().__init__(rebuilt(payload), channel=channel, **kwargs)  # type: ignore[no-untyped-call]


class Channel(transport.Channel):
    """Reads past whatever can't be read."""

    Message = Message
    # What was popped is done here, connection or not. kombu would put it back on a Redis that is just gone, fail, and
    # leave the commands in a file in /tmp.
    do_restore = False

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            log.warning("dropped a malformed message from the command queue: %s", str(error)[:200])
            return True
        except redis.ResponseError as error:
            # Redis is full, or the queue is no list: Celery would end. As a lost connection it tries again.
            log.warning("Redis refuses the command queue: %s", error)
            time.sleep(REFUSED_SECONDS)
            raise redis.ConnectionError(str(error)) from error


class Transport(transport.Transport):
    """Named in the agent's `broker_transport`."""

    Channel = Channel


def rebuilt(payload: Any) -> dict[str, Any]:
    """The raw message with only what a command needs; `Refused` names what is wrong."""
    headers, properties = _dict(payload, "headers"), _dict(payload, "properties")
    if headers.get("task") != TASK:
        raise Refused(f"task is {headers.get('task')!r:.80}")
    identity = _text(headers, "id")
    return {
        "body": _checked_body(_text(payload, "body")),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": identity,
            "root_id": identity,
            "shadow": str(headers.get("shadow") or TASK)[:200],
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


def _checked_body(body: str) -> str:
    args, kwargs, embed = json.loads(base64.b64decode(body, validate=True))
    if args != [] or set(kwargs) != {"command"} or not isinstance(kwargs["command"], str) or any(embed.values()):
        raise Refused("the body is not one command")
    return body


def _dict(data: Any, name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise Refused(f"{name} is missing")
    return value


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name} is missing")
    return value
