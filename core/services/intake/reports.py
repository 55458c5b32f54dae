"""Reports of commands. Every change is conditional, so that a repeated or late report does no harm."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ARRAY, String, any_, bindparam, select
from sqlalchemy.orm import Session

from core.contract.messages import Report
from core.contract.results import RESULTS, HardwareResult, Result
from core.contract.states import LIVE, Kind, OperationState, Phase
from core.models import Host, Operation, Vm
from core.prepared import PREPARED
from core.services import departures, hardware, hosts, moves, operations, outcomes, vms
from core.services.intake import observations
from core.services.status import status_of

log = logging.getLogger(__name__)

_ENDINGS = {
    Phase.SUCCEEDED: OperationState.SUCCEEDED,
    Phase.FAILED: OperationState.FAILED,
    Phase.CANCELLED: OperationState.CANCELLED,
}
# Operations of a host and their VMs, all locked in their order; made once, as this runs for every report.
_LOCKED = (
    select(Vm, Operation, Host.boot_id)
    .join(Operation, Operation.vm_id == Vm.id)
    .join(Host, Host.name == Operation.host_name)
    .where(
        Operation.host_name == bindparam("host"), Operation.id == any_(bindparam("operation_ids", type_=ARRAY(String)))
    )
    .order_by(Vm.id, Operation.id)
    .with_for_update(of=[Vm, Operation])
    .execution_options(populate_existing=True, **PREPARED)
)


def record(session: Session, host: str, reports: Sequence[Report]) -> None:
    """Apply what a host reports, in its order. All are read and locked at once, and written at once in the end."""
    if not reports:
        return
    asked = {"host": host, "operation_ids": [report.operation_id for report in reports]}
    found = {operation.id: (vm, operation, boot_id) for vm, operation, boot_id in session.execute(_LOCKED, asked)}
    for report in reports:
        if report.operation_id in found:
            vm, operation, boot_id = found[report.operation_id]
            if vm.host_name != host and not _comes(operation):
                continue  # it is elsewhere by now
            if operation.state in LIVE:
                operation.begun_by = boot_id
            _apply(session, vm, operation, report)
        elif report.operation_id.startswith(departures.PURGE):
            departures.purged(session, report)
        else:
            log.warning("host %s reports operation %s, which is not one of its own; ignored", host, report.operation_id)


def _apply(session: Session, vm: Vm, operation: Operation, report: Report) -> None:
    """The operation first, then what was seen of its VM."""
    live = operation.state in LIVE
    before = status_of(vm, operation if live else operations.live_of(session, vm))
    if report.observation is not None and vm.host_name == report.host:
        observations.observe(vm, report.observation, report.generation)
    if live:
        _advance(session, vm, operation, report)
    elif operation.kind == Kind.CREATE and report.phase == Phase.SUCCEEDED:
        hardware.apply_result(vm, report.result_as(HardwareResult))
    observations.take_back(session, vm)
    # While this one was live no other could be; once it was not, another may.
    alone = live and operation.kind != Kind.MOVE  # a start may follow that
    still_live = operation if operation.state in LIVE else None if alone else operations.live_of(session, vm)
    if still_live is None:
        hosts.recount(session, vm)
    if vm.deleted_at is None:
        vms.status_changed(session, vm, before, status_of(vm, still_live), operation)


def _advance(session: Session, vm: Vm, operation: Operation, report: Report) -> None:
    if operation.begun_at is None:
        operation.begun_at = datetime.fromtimestamp(report.at, UTC)
    ending = _ENDINGS.get(report.phase)
    if ending == OperationState.SUCCEEDED and operation.kind == Kind.MOVE:
        moves.succeeded(session, vm, operation, report)
        return
    if ending is None:
        operation.state = OperationState.RUNNING
        operation.progress = vars(report.progress) if report.progress else operation.progress
    else:
        done = ending == OperationState.SUCCEEDED
        result = report.result_as(RESULTS[Kind(operation.kind)]) if done else Result()
        operations.complete(operation, ending, result=result, failure=report.failure)
        if done:
            outcomes.succeeded(session, vm, operation, result)
        else:
            outcomes.not_succeeded(session, vm, operation)
    operations.tell(session, vm, operation)
    if ending is not None and operation.kind == Kind.MOVE:
        moves.start_again(session, vm, operation)


def _comes(operation: Operation) -> bool:
    """Whether the VM moves to the host that the operation is at."""
    return operation.kind == Kind.MOVE and operation.state in LIVE
