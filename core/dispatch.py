"""Sends messages after the commit: commands to Celery by task name, everything else to Redis.

Nothing here may fail a request: what does not arrive is sent again by a sweep (commands), replayed from the record
(events) or answered by a deadline (calls).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

from core import bounded, redis_clients, refusals, sealing
from core.contract import channels
from core.contract.errors import Invalid, NotSent, Unavailable
from core.contract.messages import Call, Command, Reply, Sealed, decode, encode
from core.queues import queue

log = logging.getLogger(__name__)

COMMAND_TASK = "corral.command"
SCAN_TASK = "corral.scan"
WEBHOOK_TASK = "corral.webhook"
ROTATION_TASK = "corral.rotation"
PREFETCH_TASK = "corral.prefetch"
_DOWN_FOR_SECONDS = 1.0
_TIMEOUT_SECONDS = 2.0
_NODE_SECONDS = 1.0
_GLANCE_SECONDS = 0.25
_SECRET = ("password", "environment", "stdin_b64", "data_b64", "secret_sha256")  # parameters of calls
T = TypeVar("T")


class CircuitBreaker:
    """The circuit breaker of one Redis client: after a failure no request is sent for a second, so that nobody
    waits.
    """

    def __init__(self) -> None:
        self._down_until = 0.0
        self.problem = ""
        """Why Redis did not take what was sent last; empty when it did."""

    def attempt(self, action: Callable[[], object], otherwise: str) -> bool:
        """Whether `action` got through; `otherwise` is logged of one that did not: what that means."""
        if time.monotonic() < self._down_until:
            return False
        try:
            action()
        except (redis.RedisError, OperationalError, OSError) as error:
            self._down_until = time.monotonic() + _DOWN_FOR_SECONDS
            self.problem = refusals.reason(error)
            log.warning("%s: Redis %s", otherwise, self.problem)
            return False
        self.problem = ""
        return True


class Dispatch:
    """The ways out of one process, one for each client: what one can't do in its time is not held against the rest."""

    def __init__(self, redis_url: str, nodes: Sequence[str] = ()) -> None:
        self._url, self._nodes = redis_url, nodes
        self._queues, self._plain, self._quick = CircuitBreaker(), CircuitBreaker(), CircuitBreaker()

    @property
    def problem(self) -> str:
        """Why Redis did not take what was last sent or published; empty when it did."""
        return self._plain.problem

    @property
    def hands_over(self) -> bool:
        """Whether the last command or task was taken; a sweep sends again those that were not."""
        return not self._queues.problem

    @cached_property
    def redis(self) -> redis.Redis:
        """The plain client; every command of it has a short deadline."""
        # Sent again at once: a connection that has rested may be dead.
        return redis_clients.connect(self._url, seconds=_TIMEOUT_SECONDS, check_seconds=10, retries=1)

    @cached_property
    def nodes(self) -> list[Redis]:
        """The Redis servers beside it, which have the accounts of hosts and nothing else of ours."""
        return [redis_clients.connect(url, seconds=_NODE_SECONDS) for url in self._nodes]

    @cached_property
    def quick(self) -> Redis:
        """The plain client for what a request can do without: it waits for no more than a glance."""
        return redis_clients.connect(self._url, seconds=_GLANCE_SECONDS)

    @cached_property
    def celery(self) -> Celery:
        """A producer only: it has no tasks, no results and no queues of its own."""
        app = Celery("corral", broker=self._url)
        app.conf.update(
            broker_transport="core.transport:PooledTransport",
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
            broker_transport_options={
                "priority_steps": [0],
                "socket_timeout": _TIMEOUT_SECONDS,
                "socket_connect_timeout": _TIMEOUT_SECONDS,
            },
            broker_connection_timeout=_TIMEOUT_SECONDS,
        )
        return app

    def close(self) -> None:
        """Let go of the connections to Redis."""
        self.redis.close()
        self.quick.close()
        for node in self.nodes:
            node.close()

    def command(self, host: str, command: Command) -> bool:
        """Put a command on its host's queue; False when Redis did not take it."""
        name = channels.command_queue(host)
        label = f"{command.kind.replace('_', ' ')} {command.vm.name}"
        return self._queues.attempt(
            lambda: self.celery.send_task(
                COMMAND_TASK,
                kwargs={"command": encode(command)},
                task_id=f"{command.operation_id}.{command.attempt}",
                queue=queue(name),
                declare=(),
                shadow=label,
                argsrepr="()",
                kwargsrepr=f"{command.operation_id} attempt {command.attempt} on {host}",
                retry=False,
                ignore_result=True,
            ),
            "a command was not sent; it will be sent again",
        )

    def wake(self, task: str) -> bool:
        """Wake a task of the control plane's own, which looks by itself for what there is to do."""
        return self._queues.attempt(
            lambda: self.celery.send_task(task, queue=queue(channels.CONTROL_QUEUE), retry=False, ignore_result=True),
            "a wakeup was not sent; its task looks by itself later",
        )

    def publish(self, channel: str, text: str) -> bool:
        """Publish to whoever listens now."""
        return self._plain.attempt(lambda: self.redis.publish(channel, text), "a message was not published")

    def call(self, host: str, call: Call) -> bool:
        """Put a call on its host's list, sealed, which vanishes with the call's deadline."""
        name = channels.calls(host)
        seconds = max(1, int(call.deadline_at - time.time()) + 1)

        def push() -> None:
            (key,) = bounded.read(self.redis, [channels.call_key(host)])
            text = _sealed(call, key)
            with self.redis.pipeline(transaction=False) as pipeline:
                pipeline.rpush(name, text)
                pipeline.expire(name, seconds, nx=True)
                pipeline.expire(name, seconds, gt=True)
                pipeline.execute()

        return self._plain.attempt(push, "a call was not sent")

    def glance(self, look: Callable[[Redis], T]) -> T | None:
        """What `look` reads from Redis; None without it."""
        found: list[T] = []
        done = self._quick.attempt(lambda: found.append(look(self.quick)), "a quick read from Redis failed")
        return found[0] if done else None

    def opened(self, host: str, reply: Reply, key: str) -> Reply:
        """The reply itself, where it was too long to be published or is wrapped; `Unavailable` when it is gone."""
        try:
            if reply.parked:
                reply = decode(Reply, self._unparked(host, reply.call_id))
            return decode(Reply, sealing.unwrap(key, reply.wrapped)) if reply.wrapped else reply
        except (sealing.Unsealable, Invalid):
            raise Unavailable("the host's answer can't be read; try again") from None

    def _unparked(self, host: str, call_id: str) -> Any:
        found: list[Any] = []
        key = channels.parked_reply(host, call_id)
        if not self._plain.attempt(lambda: found.append(bounded.take(self.redis, key)), "a parked reply was not read"):
            raise Unavailable(f"the message broker {self.problem}: the host's answer was lost; try again")
        if found[0] is None:
            raise Unavailable("the host's answer was lost; try again")
        return found[0]

    def attempt(self, action: Callable[[], object], otherwise: str = "a message was not sent") -> bool:
        """Whether `action`, which uses the plain client, got through to Redis."""
        return self._plain.attempt(action, otherwise)


def _sealed(call: Call, public: bytes | None) -> str:
    """The call as it is sent; `NotSent` for a host whose key is not valid, or not known and needed for secrets."""
    if public is None:
        if any(getattr(call.params, name, None) for name in _SECRET):
            raise NotSent("the host has not published its encryption key yet; try again in a few seconds")
        return encode(call)
    try:
        return encode(Sealed(sealing.seal(public.decode(), encode(call).encode())))
    except ValueError:
        raise NotSent("the host's encryption key is not valid; restart the agent of that host") from None
