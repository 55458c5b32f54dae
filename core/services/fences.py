"""Fences: an administrator declares a host dead and shuts it out, even if it is not dead.

From then on nothing of it is believed and nothing is sent to it; its agent may ask Redis whether it is fenced, and that
is all (`core.services.identities.accounts`). Sweeps make its VMs lost (`lost`), and make those again elsewhere whose
owners have asked for that (`elsewhere`). An agent that comes back, or was there all the time, powers off what runs on
its host and gives up what it had begun before it may be the host again (`agent.host.fencing`).
"""

from __future__ import annotations

import time

from sqlalchemy.orm import Session

from core.contract.errors import Conflict
from core.contract.states import SchedulingState
from core.models import Host
from core.models.base import now
from core.services import drains, hosts, scheduling
from core.services.context import Actor
from core.services.identities import accounts


def fence(session: Session, actor: Actor, name: str, reason: str = "", *, force: bool = False) -> Host:
    """Shut a host out; `Conflict` while it is online, unless with `force`. Once more is nothing."""
    actor.must_administer()
    drain = drains.live(session, name, lock=True)
    host = hosts.locked(session, name)
    if host.scheduling_state == SchedulingState.FENCED:
        return host
    if host.offline_since is None and not force:
        raise Conflict(
            f"host '{name}' is online: power it off, wait until it is offline and fence it then; or fence it by force,"
            " which cuts it off at once, and has it power off what runs there",
            code="invalid_state",
        )
    if drain is not None:
        drains.end(session, drain, "host_fenced", f"host '{name}' was fenced")
    raise_fence(host)
    host.offline_since = host.offline_since or now()  # nothing of it is heard any more
    scheduling.take(session, host, SchedulingState.FENCED, by=actor.username, reason=reason)
    accounts.fenced(session, name)
    return host


def raise_fence(host: Host) -> None:
    """Its agent is to obey once more. The number is a time: a record from a backup must repeat none."""
    host.fence = max(host.fence + 1, int(time.time()))


def lift(session: Session, actor: Actor, host: Host, reason: str) -> Host:
    """Let a fenced host, which is locked, be one again: offline until its agent, which waits for this, is heard."""
    scheduling.take(session, host, SchedulingState.ACTIVE, by=actor.username, reason=reason)
    accounts.fenced(session, host.name)
    return host
