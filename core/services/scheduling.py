"""The scheduling state of hosts: whether they take new VMs. The VMs that are there go on in any case."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.states import SchedulingState
from core.models import Host
from core.models.base import now
from core.services import events


def take(session: Session, host: Host, state: SchedulingState, *, by: str, reason: str = "") -> Host:
    """Give a locked host a scheduling state, with the event; the same state for the same reason changes nothing."""
    before = SchedulingState(host.scheduling_state)
    if before == state and reason in ("", host.scheduling_reason):
        return host
    host.scheduling_state, host.scheduling_reason = state, reason
    host.scheduling_since, host.scheduling_by = now(), by
    change = {"old_state": before, "new_state": state, "by": by, "reason": reason}
    events.of_host(session, "host_scheduling", host.name, {"host": host.name, **change})
    return host


def against_placement(host: Host) -> str:
    """Why the host takes no new VMs, empty if it does."""
    if host.scheduling_state == SchedulingState.ACTIVE:
        return ""
    why = f": {host.scheduling_reason}" if host.scheduling_reason else ""
    return f"is {host.scheduling_state}{why}"
