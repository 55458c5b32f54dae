"""Heartbeats, every two seconds; they also show that the control plane has forgotten this host."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from agent.host.lease import Lease
from agent.system.loops import Loop
from core.contract import channels
from core.contract.hosts import Heartbeat
from core.contract.messages import encode

SECONDS = 2.0


def beat(
    host: str,
    boot_id: str,
    call_key: str,
    client: redis.Redis,
    lease: Lease,
    on_forgotten: Callable[[], None],
    on_refused: Callable[[], None],
) -> Loop:
    """The thread that does it, and tells the key that calls to this host are sealed with.

    `on_forgotten` is called when Redis had no entry of this host, as after a loss, `on_refused` when another agent
    serves as this host.
    """

    def once() -> None:
        if not lease.renew():
            on_refused()
            return
        client.set(channels.call_key(host), call_key)
        told = encode(Heartbeat(host, boot_id, time.time()))
        if client.set(channels.heartbeat(host), told, get=True) is None:
            on_forgotten()
        loop.stopping.wait(SECONDS)

    loop = Loop("heartbeat", once)
    return loop
