"""An accepted operation as plain values, and not as a row of the session."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from core.contract.states import Kind, OperationState
from core.models import Operation
from core.models.base import JSON


@dataclass(frozen=True)
class Accepted:
    """An operation as it was accepted. Its later state is read again, by its id."""

    id: str
    kind: Kind
    state: OperationState
    vm_id: str
    vm_name: str
    host_name: str
    owner_id: str
    actor_id: str
    request_id: str
    params: JSON
    attempt: int
    accepted_at: datetime
    send_at: datetime
    deadline_at: datetime
    progress: JSON | None = None
    result: JSON | None = None
    error: JSON | None = None
    cancel_requested_at: datetime | None = None
    begun_at: datetime | None = None
    begun_by: str | None = None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, operation: Operation) -> Self:
        """One that was accepted before."""
        values = {each.name: getattr(operation, each.name) for each in fields(cls)}
        return cls(**values | {"kind": Kind(operation.kind), "state": OperationState(operation.state)})


@dataclass(frozen=True)
class Existing(Accepted):
    """One that was accepted before, and has made, or makes, what is asked for now."""


AnyOperation = Operation | Accepted
"""For whoever only reads."""


def subject_of(operation: AnyOperation) -> str:
    """What it is an operation of, for people: "VM 'web'", "host 'web-7'"."""
    return f"VM '{operation.vm_name}'" if operation.vm_id else f"host '{operation.host_name}'"
