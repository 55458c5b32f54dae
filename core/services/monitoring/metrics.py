"""Metrics of the control plane, from the tables and the queues."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis import Redis
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.contract import channels
from core.contract.states import LIVE
from core.models import Host, Operation
from core.models.base import now
from core.services import counts

RECENT = timedelta(hours=1)


@dataclass(frozen=True)
class Tables:
    """`operations`: those under way and those of the last hour, by (kind, state); `vms` by status; hosts by name."""

    operations: dict[tuple[str, str], int]
    vms: dict[str, int]
    online: list[str]
    offline: list[str]


@dataclass(frozen=True)
class Queues:
    """The messages that wait, over all hosts; `lag_seconds`: for how long the oldest report has waited."""

    waiting: dict[str, int]
    lag_seconds: float


def of_tables(session: Session) -> Tables:
    """Without a look at each VM."""
    wanted = or_(Operation.state.in_(LIVE), Operation.accepted_at >= now() - RECENT)
    grouped = select(Operation.kind, Operation.state, func.count()).where(wanted)
    operations = session.execute(grouped.group_by(Operation.kind, Operation.state))
    hosts = list(
        session.execute(select(Host.name, Host.offline_since).where(Host.removed_at.is_(None)).order_by(Host.name))
    )
    return Tables(
        operations={(kind, state): count for kind, state, count in operations},
        vms=counts.count(session).by_status,
        online=[name for name, offline_since in hosts if offline_since is None],
        offline=[name for name, offline_since in hosts if offline_since is not None],
    )


def of_queues(redis: Redis, hosts: Sequence[str]) -> Queues:
    """Of the control plane and of those hosts."""
    lists = {"commands": channels.command_queue, "calls": channels.calls, "reports": channels.reports}
    dead = channels.dead_reports
    with redis.pipeline(transaction=False) as together:
        together.llen(channels.CONTROL_QUEUE)
        for host in hosts:
            for key in (*(of(host) for of in lists.values()), dead(host)):
                together.llen(key)
            together.lindex(channels.reports(host), 0)
        control, *rest = together.execute()
    width = len(lists) + 2
    rows = [rest[start : start + width] for start in range(0, len(rest), width)]
    names = (*lists, "unreadable_reports")
    waiting = {name: sum(row[column] for row in rows) for column, name in enumerate(names)}
    return Queues({"control": control} | waiting, max((_age(row[-1]) for row in rows), default=0.0))


def _age(entry: Any) -> float:
    """For how long a report has waited; 0 for one that can't be read."""
    try:
        return max(0.0, time.time() - float(json.loads(entry)["body"]["at"]))
    except (TypeError, ValueError, LookupError):
        return 0.0
