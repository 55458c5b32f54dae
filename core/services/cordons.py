"""Hosts that are to take no new VMs for a while, as an administrator says."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.states import Standing
from core.models import Host
from core.services import hosts, standings
from core.services.context import Actor


def cordon(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """Let a host take no new VM; those that are there go on, and may be started and stopped."""
    actor.must_administer()
    return standings.take(session, actor, hosts.locked(session, name), Standing.CORDONED, reason)


def uncordon(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """End a cordon."""
    return activate(session, actor, name, reason)


def activate(session: Session, actor: Actor, name: str, reason: str = "") -> Host:
    """Let a host take VMs again."""
    actor.must_administer()
    return standings.take(session, actor, hosts.locked(session, name), Standing.ACTIVE, reason)
