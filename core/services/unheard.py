"""The end of an operation whose host did not report one."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.messages import Failure
from core.contract.states import OperationState
from core.models import Operation, Vm
from core.services import hosts, operations, outcomes, vms
from core.services.status import status_of


def fail(session: Session, vm: Vm, operation: Operation, failure: Failure) -> None:
    """End a live operation so. Both are locked; what its host does of it all the same, inventories show."""
    before = status_of(vm, operation)
    operations.complete(operation, OperationState.FAILED, failure=failure)
    session.flush()
    outcomes.not_succeeded(session, vm, operation)
    hosts.recount(session, vm)
    operations.tell(session, vm, operation)
    vms.status_changed(session, vm, before, status_of(vm, None), operation)
