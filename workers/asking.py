"""Asking a host something from a worker: the blocking counterpart of the API's hub."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable

import redis
from redis.client import PubSub

from core import refusals, sealing
from core.contract import channels
from core.contract.errors import NotSent, Unavailable
from core.contract.failures import result_of
from core.contract.messages import JSON, Call, Reply, VmSpec, decode
from core.contract.messages import call as new_call
from core.dispatch import Dispatch

_TICK_SECONDS = 1.0
_ABANDON_SECONDS = 30.0


def ask(
    dispatch: Dispatch, host: str, verb: str, vm: VmSpec, params: JSON, timeout: float, tick: Callable[[], None]
) -> JSON:
    """What the host answers within `timeout` seconds; `tick` is called about every second meanwhile and may raise.

    `Unavailable` when it does not answer; otherwise the error that its reply tells of. A host whose answer nobody waits
    for any more is told so.
    """
    reply_to = channels.replies(f"worker-{secrets.token_hex(8)}")
    call = new_call(uuid.uuid4().hex, verb, reply_to, time.time() + timeout, vm, params, sealing.new_key())
    try:
        with dispatch.redis.pubsub(ignore_subscribe_messages=True) as ear:  # type: ignore[no-untyped-call]
            ear.subscribe(call.reply_to)
            if not dispatch.call(host, call):
                raise NotSent(f"the message broker {dispatch.problem}: the host was not asked")
            try:
                reply = _reply(ear, call, tick)
            except BaseException:
                _abandon(dispatch, host, call)
                raise
    except redis.RedisError as error:
        raise Unavailable(
            f"the message broker {refusals.reason(error)}: whether the host has answered is unknown"
        ) from error
    if reply is None:
        _abandon(dispatch, host, call)
        raise Unavailable(f"host '{host}' did not answer within {timeout:g} s", host=host)
    return result_of(dispatch.opened(host, reply, call.reply_key), verb)


def _abandon(dispatch: Dispatch, host: str, call: Call) -> None:
    deadline_at = time.time() + _ABANDON_SECONDS
    params = {"call_id": call.id}
    dispatch.call(host, new_call(uuid.uuid4().hex, "abandon", call.reply_to, deadline_at, None, params))


def _reply(ear: PubSub, call: Call, tick: Callable[[], None]) -> Reply | None:
    while (left := call.deadline_at - time.time()) > 0:
        message = ear.get_message(timeout=min(left, _TICK_SECONDS))
        if message is not None:
            reply = decode(Reply, message["data"])
            if reply.call_id == call.id:
                return reply
        tick()
    return None
