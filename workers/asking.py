"""Calls to a host from a worker: the blocking counterpart of the API's hub."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import redis
from redis.client import PubSub

from core import refusals
from core.asking import PendingCall
from core.contract import channels
from core.contract.errors import Unavailable
from core.contract.messages import JSON, Reply, VmSpec, decode
from core.dispatch import Dispatch

_TICK_SECONDS = 1.0


def ask(
    dispatch: Dispatch, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float, tick: Callable[[], None]
) -> JSON:
    """What the host answers within `timeout` seconds; `tick` is called about every second meanwhile and may raise.

    `Unavailable` when it does not answer; otherwise the error that its reply tells of. A host whose answer nobody waits
    for any more is told so.
    """
    reply_to = channels.replies(f"worker-{secrets.token_hex(8)}")
    call = PendingCall(dispatch, host, verb, vm, params, timeout=timeout, reply_to=reply_to)
    try:
        with dispatch.redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(reply_to)
            call.send()
            try:
                reply = _reply(pubsub, call, tick)
            except BaseException:
                call.abandon()
                raise
    except redis.RedisError as error:
        raise Unavailable(
            f"the message broker {refusals.reason(error)}: whether the host has answered is unknown"
        ) from error
    if reply is None:
        call.abandon()
        raise call.unanswered()
    return call.result(reply)


def _reply(pubsub: PubSub, call: PendingCall, tick: Callable[[], None]) -> Reply | None:
    while (left := call.left) > 0:
        message = pubsub.get_message(timeout=min(left, _TICK_SECONDS))
        if message is not None:
            reply = decode(Reply, message["data"])
            if reply.call_id == call.id:
                return reply
        tick()
    return None
