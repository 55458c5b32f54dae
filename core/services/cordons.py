"""Cordons: an administrator lets a host take no new VMs for a while."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.errors import Conflict
from core.contract.states import SchedulingState
from core.models import Host
from core.services import drains, fences, hosts, scheduling
from core.services.context import Actor


def cordon(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """Let a host take no new VM; those that are there go on, and may be started and stopped. A drain goes on too."""
    actor.must_administer()
    host = hosts.locked(session, name)
    if host.scheduling_state in (SchedulingState.DRAINING, SchedulingState.DRAINED, SchedulingState.FENCED):
        return host
    return scheduling.take(session, host, SchedulingState.CORDONED, by=actor.username, reason=reason)


def uncordon(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """End a cordon, and a drain with it; `Conflict` for a fenced host, which has to be activated."""
    actor.must_administer()
    if hosts.get(session, actor, name).scheduling_state == SchedulingState.FENCED:
        raise Conflict(f"host '{name}' is fenced, and not just cordoned: activate it", code="invalid_state")
    return activate(session, actor, name, reason)


def activate(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """Let a host take VMs again, whatever kept it from that."""
    actor.must_administer()
    drain = drains.live(session, name, lock=True)
    host = hosts.locked(session, name)
    if drain is not None:
        drains.end(session, drain, "host_activated", f"host '{name}' was activated meanwhile")
    if host.scheduling_state == SchedulingState.FENCED:
        return fences.lift(session, actor, host, reason)
    return scheduling.take(session, host, SchedulingState.ACTIVE, by=actor.username, reason=reason)
