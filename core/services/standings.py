"""Whether a host takes new VMs. What is there goes on in any case."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.states import Standing
from core.models import Host
from core.models.base import now
from core.services import events


def take(session: Session, host: Host, standing: Standing, *, by: str, reason: str = "") -> Host:
    """Give a host that is locked a standing, with the event; the same once more, for no other reason, is nothing."""
    before = Standing(host.standing)
    if before == standing and reason in ("", host.standing_reason):
        return host
    host.standing, host.standing_reason = standing, reason
    host.standing_since, host.standing_by = now(), by
    told = {"old_standing": before, "new_standing": standing, "by": by, "reason": reason}
    events.of_host(session, "host_standing", host.name, {"host": host.name, **told})
    return host


def against_placement(host: Host) -> str:
    """Why the host takes no new VMs, empty if it does."""
    if host.standing == Standing.ACTIVE:
        return ""
    why = f": {host.standing_reason}" if host.standing_reason else ""
    return f"is {host.standing}{why}"
