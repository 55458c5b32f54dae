"""Events: recorded for listeners, and replayed to those that were away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from core.models import Event, Vm
from core.models.base import now
from core.services import outbox
from core.services.accepted import AnyOperation
from core.services.context import Actor

REPLAY_LIMIT = 1000
TYPES = frozenset(
    {
        "vm_created",
        "vm_deleted",
        "vm_made_elsewhere",
        "vm_moved",
        "status_change",
        "operation",
        "host_joined",
        "host_changed",
        "host_scheduling",
        "host_removed",
        "host_secret",
        "host_offline",
        "host_online",
        "host_problem",
        "host_problem_over",
        "driver_healthy",
        "driver_unhealthy",
    }
)


@dataclass(frozen=True)
class EventMessage:
    """One event as it is published and replayed: plain data, `at` in ISO 8601 UTC."""

    seq: int
    type: str
    at: str
    owner_id: str | None
    vm_id: str | None
    vm_name: str | None
    operation_id: str | None
    host_name: str | None
    data: dict[str, Any]

    def visible_to(self, actor: Actor) -> bool:
        """Whether that caller may hear of it: of a VM its owner and administrators, of a host all, who may see it."""
        of_host = self.owner_id is None and self.vm_id is None and self.host_name is not None
        return actor.is_admin or of_host or (self.owner_id is not None and self.owner_id == actor.user_id)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: 2025-10-01T12:00:00.000Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def of_vm(session: Session, type_: str, vm: Vm, data: dict[str, Any], operation: AnyOperation | None = None) -> None:
    """An event about a VM, perhaps in the course of an operation."""
    _add(
        session,
        type=type_,
        owner_id=vm.owner_id,
        vm_id=vm.id,
        vm_name=vm.name,
        operation_id=operation.id if operation else None,
        host_name=vm.host_name,
        data=data,
    )


def of_host(
    session: Session, type_: str, host_name: str, data: dict[str, Any], operation: AnyOperation | None = None
) -> None:
    """An event about a host, perhaps in the course of an operation, for all who may see hosts."""
    _add(
        session,
        type=type_,
        owner_id=None,
        vm_id=None,
        vm_name=None,
        operation_id=operation.id if operation else None,
        host_name=host_name,
        data=data,
    )


def replay(session: Session, actor: Actor, after: int, vm_id: str | None = None) -> list[EventMessage]:
    """The events after that number which the caller may hear, oldest first, `REPLAY_LIMIT` at most."""
    query = select(Event).where(Event.seq > after).order_by(Event.seq).limit(REPLAY_LIMIT)
    if vm_id is not None:
        query = query.where(Event.vm_id == vm_id)
    query = query.where(heard_by(actor.user_id, is_admin=actor.is_admin))
    return [_note(event) for event in session.scalars(query)]


def heard_by(user_id: str, *, is_admin: bool) -> ColumnElement[bool]:
    """`visible_to`, as a condition on the table."""
    of_host = Event.owner_id.is_(None) & Event.vm_id.is_(None) & Event.host_name.is_not(None)
    return true() if is_admin else (Event.owner_id == user_id) | of_host


def last_seq(session: Session) -> int:
    """The number of the newest event, 0 before the first."""
    return session.scalar(select(func.max(Event.seq))) or 0


def _add(session: Session, **values: Any) -> None:
    if values["type"] not in TYPES:
        raise ValueError(f"no type of events: {values['type']}")
    outbox.add_event(session, values | {"at": iso(now())})


def _note(event: Event) -> EventMessage:
    return EventMessage(
        seq=event.seq,
        type=event.type,
        at=iso(event.at),
        owner_id=event.owner_id,
        vm_id=event.vm_id,
        vm_name=event.vm_name,
        operation_id=event.operation_id,
        host_name=event.host_name,
        data=event.data,
    )
