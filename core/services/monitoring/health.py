"""The health of the fleet: a state for each component that users know."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import refusals
from core.contract import channels
from core.contract.errors import Invalid
from core.contract.hosts import RedisNodeState
from core.contract.messages import ReceiverState, decode
from core.models import Host

HEALTHY, DEGRADED, UNHEALTHY, ABSENT = WORDS = ("healthy", "degraded", "unhealthy", "absent")
_LEAST_SECONDS, _ROUNDS = 10, 5
_FORGOTTEN_SECONDS = 3600


def of_fleet(session: Session, hypervisors: Sequence[str]) -> dict[str, str]:
    """A word for each of those hypervisors, for `network` and for `hosts`. One look at the table, however many rows.

    A hypervisor: healthy on an online host; unhealthy where it is offered and does not work; else absent. The network:
    whether all, some or none of the hosts can be heard. Hosts: whether VMs can run on all, some or none: they can on
    an online host whose hypervisor works.
    """
    online, any_works = Host.offline_since.is_(None), Host.drivers.contains([{"healthy": True}])
    counts = [func.count(), func.count().filter(online), func.count().filter(online, any_works)]
    for name in hypervisors:
        counts += [
            func.count().filter(online, Host.drivers.contains([{"name": name, **works}]))
            for works in ({}, {"healthy": True})
        ]
    total, heard, able, *offers = session.execute(select(*counts).where(Host.removed_at.is_(None))).one()
    found = {"network": _share(heard, total), "hosts": _share(able, total)}
    for name, offered, working in zip(hypervisors, offers[::2], offers[1::2], strict=True):
        found[name] = HEALTHY if working else UNHEALTHY if offered else ABSENT
    return found


def _share(good: int, total: int) -> str:
    return UNHEALTHY if not good else HEALTHY if good == total else DEGRADED


def of_redis(redis: Redis) -> str:
    """Why it can't be used, found out by use; empty when it can. Whoever answers a ping may still take nothing."""
    try:
        redis.set(channels.PROBE, time.time(), ex=_FORGOTTEN_SECONDS)
    except RedisError as error:
        return refusals.reason(error)
    return ""


def of_workers(redis: Redis, sweep_seconds: int) -> str:
    """Healthy while one is alive and its sweeps get done; degraded while they don't, as without a database."""
    since = time.time() - max(_LEAST_SECONDS, _ROUNDS * sweep_seconds)
    with redis.pipeline(transaction=False) as together:
        together.zcount(channels.WORKERS, since, "+inf")
        together.get(channels.SWEPT)
        together.zremrangebyscore(channels.WORKERS, "-inf", since - _FORGOTTEN_SECONDS)
        answers: list[Any] = together.execute(raise_on_error=False)
    alive, swept, _ = answers
    for answer in (alive, swept):
        if isinstance(answer, Exception):
            raise answer
    if not alive:
        return UNHEALTHY
    return HEALTHY if swept is not None and float(swept) >= since else DEGRADED


def of_receiver(redis: Redis) -> str:
    """Healthy while what hosts report is recorded; degraded while that of some host is not, unhealthy while none is."""
    entries: dict[bytes, bytes] = redis.hgetall(channels.RECEIVERS)  # type: ignore[assignment]
    fresh = []
    for name, entry in entries.items():
        state = _receiver_state(entry)
        if state is None or state.at < time.time() - _FORGOTTEN_SECONDS:
            redis.hdel(channels.RECEIVERS, name)  # type: ignore[arg-type]
        elif state.at >= time.time() - _LEAST_SECONDS:
            fresh.append(state)
    if not fresh:
        return UNHEALTHY
    return DEGRADED if any(state.waiting for state in fresh) else HEALTHY


def of_nodes(redis: Redis) -> str:
    """What is wrong with Redis servers beside this one, as workers have found them; empty when nothing is."""
    entries: dict[bytes, bytes] = redis.hgetall(channels.NODES)  # type: ignore[assignment]
    problems = []
    for place, entry in sorted(entries.items()):
        state = decode(RedisNodeState, entry)
        if state.at < time.time() - _FORGOTTEN_SECONDS:
            redis.hdel(channels.NODES, place)  # type: ignore[arg-type]
        elif state.problem:
            problems.append(f"the server at {place.decode()} {state.problem}")
    return "; ".join(problems)


def _receiver_state(entry: bytes) -> ReceiverState | None:
    try:
        return decode(ReceiverState, entry)
    except Invalid:
        return None
