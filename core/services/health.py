"""How the fleet is, as far as its hosts tell: a word for each part that users know of."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models import Host

HEALTHY, DEGRADED, UNHEALTHY, ABSENT = WORDS = ("healthy", "degraded", "unhealthy", "absent")


def of_hypervisor(session: Session, name: str) -> str:
    """Healthy on a host that is heard of; unhealthy where it is offered and does not work; else absent."""
    offers = [
        driver["healthy"]
        for host in session.scalars(select(Host).where(Host.silent_since.is_(None)))
        for driver in host.drivers
        if driver["name"] == name
    ]
    if not offers:
        return ABSENT
    return HEALTHY if any(offers) else UNHEALTHY


def of_network(session: Session) -> str:
    """Whether the hosts can be heard: all, some or none of them."""
    silent = list(session.scalars(select(Host.silent_since.is_not(None))))
    if not silent or all(silent):
        return UNHEALTHY
    return DEGRADED if any(silent) else HEALTHY
