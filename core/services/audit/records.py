"""The audit log: written once, read by administrators."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.contract.errors import Forbidden
from core.contract.states import HostKind, OperationState
from core.models import AuditEntry
from core.models.base import JSON, now
from core.services import outbox
from core.services.accepted import AnyOperation
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced

SUCCESS, ACCEPTED, REFUSED, FAILED = RESULTS = ("success", "accepted", "refused", "failed")
ORDERING = Ordering(
    {
        "timestamp": AuditEntry.seq,
        "action_type": AuditEntry.action_type,
        "resource_type": AuditEntry.resource_type,
        "user_id": AuditEntry.user_id,
    },
    key=AuditEntry.seq,
    by="timestamp",
    descending=True,
)


@dataclass(frozen=True)
class AuditRecord:
    """A new entry of the audit log. `details` are plain JSON without anything secret."""

    action_type: str
    resource_type: str
    resource_id: str
    result: str
    request_id: str
    user_id: str | None = None
    username: str | None = None
    key_id: str | None = None
    source_ip: str | None = None
    status_code: int | None = None
    error_code: str | None = None
    details: JSON = field(default_factory=dict)


def write(session: Session, record: AuditRecord) -> None:
    """Write an entry in this transaction. It is linked into the chain soon after the commit."""
    outbox.add_entry(session, vars(record) | {"at": now()})


def operation_ended(session: Session, operation: AnyOperation) -> None:
    """Write that an accepted operation came to nothing, for whoever asked for it; success was said beforehand."""
    if operation.state not in (OperationState.FAILED, OperationState.CANCELLED):
        return
    error = operation.error or {}
    write(
        session,
        AuditRecord(
            action_type=action_of(operation.kind),
            resource_type="vm" if operation.vm_id else "host",
            resource_id=operation.vm_name or operation.host_name,
            result=FAILED,
            request_id=operation.request_id,
            user_id=operation.actor_id,
            error_code=error.get("code", operation.state),
            details={"operation_id": operation.id, "vm_id": operation.vm_id, "state": operation.state},
        ),
    )


def action_of(kind: str) -> str:
    """What the log calls an operation of that kind: "vm_start", "snapshot_create", "host_drain"."""
    if "_" in kind:
        return kind
    return f"host_{kind}" if kind in tuple(HostKind) else f"vm_{kind}"


@dataclass(frozen=True)
class AuditFilter(Slice):
    """The filter of the audit log: from `start_time` to before `end_time`, of one action, resource type or user."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    action_type: str | None = None
    resource_type: str | None = None
    user_id: str | None = None
    limit: int | None = 100


def list_of(session: Session, actor: Actor, wanted: AuditFilter) -> tuple[list[AuditEntry], int]:
    """The entries that match, newest first, and how many there are. For administrators, with any of their keys."""
    if not actor.is_admin:
        raise Forbidden("only an administrator may read the audit log")
    conditions = _conditions(wanted)
    total = session.scalar(select(func.count()).select_from(AuditEntry).where(*conditions)) or 0
    return list(session.scalars(sliced(select(AuditEntry).where(*conditions), ORDERING, wanted))), total


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.start_time is not None:
        found.append(AuditEntry.at >= wanted.start_time)
    if wanted.end_time is not None:
        found.append(AuditEntry.at < wanted.end_time)
    if wanted.action_type is not None:
        found.append(AuditEntry.action_type == wanted.action_type)
    if wanted.resource_type is not None:
        found.append(AuditEntry.resource_type == wanted.resource_type)
    if wanted.user_id is not None:
        found.append(AuditEntry.user_id == wanted.user_id)
    return found
