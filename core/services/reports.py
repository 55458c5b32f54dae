"""Recording what agents report of commands. Every change is conditional, so a report twice or late does no harm."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, String, any_, bindparam, delete, select, update
from sqlalchemy.orm import Session

from core.contract.commands import Delete, OfForward, OfSnapshot
from core.contract.messages import Observation, Report
from core.contract.results import RESULTS, Result, SnapshotDeleted, SnapshotTaken, Told
from core.contract.states import LIVE, Kind, Observed, OperationState, Phase, Wanted
from core.models import Host, Operation, PortForward, Snapshot, Vm
from core.models.base import now
from core.prepared import PREPARED
from core.services import desired, events, hardware, hosts, media, operations, scan_work, sizes, vms
from core.services.context import SYSTEM
from core.services.status import status_of

log = logging.getLogger(__name__)

PURGE = "purge-"
"""Begins the id of a command that no operation stands for: see `lost.purge`."""
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
_WANTED = {Observed.RUNNING: Wanted.RUNNING, Observed.PAUSED: Wanted.PAUSED}


def record(session: Session, host: str, reports: Sequence[Report]) -> None:
    """Apply what a host reports, in its order. All are read and locked at once, and written at once in the end."""
    if not reports:
        return
    asked = {"host": host, "operation_ids": [report.operation_id for report in reports]}
    found = {operation.id: (vm, operation, boot_id) for vm, operation, boot_id in session.execute(_LOCKED, asked)}
    for report in reports:
        if report.operation_id in found:
            vm, operation, boot_id = found[report.operation_id]
            if operation.state in LIVE:
                operation.begun_by = boot_id
            _apply(session, vm, operation, report)
        elif not report.operation_id.startswith(PURGE):
            log.warning("host %s reports operation %s, which is not its own", host, report.operation_id)


def _apply(session: Session, vm: Vm, operation: Operation, report: Report) -> None:
    """The operation first, then what was seen of its VM."""
    live = operation.state in LIVE
    before = status_of(vm, operation if live else operations.live_of(session, vm))
    if report.observation is not None:
        observe(vm, report.observation, report.generation)
    if live:
        _advance(session, vm, operation, report)
    elif operation.kind == Kind.CREATE and report.phase == Phase.SUCCEEDED:
        hardware.told(vm, report.told(Told))
    take_back(session, vm)
    # While this one was live no other could be; once it was not, another may.
    still_live = operation if operation.state in LIVE else None if live else operations.live_of(session, vm)
    if still_live is None:
        hosts.settle(session, vm)
    if vm.deleted_at is None:
        vms.status_changed(session, vm, before, status_of(vm, still_live), operation)


def observe(vm: Vm, seen: Observation, generation: int) -> None:
    """Take over what was seen, unless something newer was applied already."""
    if generation <= vm.observed_generation or vm.deleted_at is not None:
        return
    vm.observed_generation = generation
    vm.observed_at = now()
    was, vm.observed, vm.observed_reason = vm.observed, seen.state, seen.reason
    if seen.started_at is not None:
        vm.started_at = datetime.fromtimestamp(seen.started_at, UTC)
    runs = seen.state in (Observed.RUNNING, Observed.PAUSED)
    vm.running_vcpus = seen.facts.vcpus or vm.running_vcpus if runs else None
    vm.running_memory_mb = seen.facts.memory_mb or vm.running_memory_mb if runs else None
    if was in (Observed.RUNNING, Observed.PAUSED) and seen.state in (Observed.STOPPED, Observed.CRASHED):
        vm.stopped_at = now()


def take_back(session: Session, vm: Vm) -> None:
    """A VM that was given up, as its create took too long, and is there after all: counted again, or else removed."""
    there = vm.observed not in (None, Observed.ABSENT)
    if vm.reserved or not there or vm.deleted_at is not None or vm.wanted == Wanted.DELETED or vm.lost_at is not None:
        return
    if not hosts.count_again(session, vm) and operations.live_of(session, vm) is None:
        operations.begin(session, SYSTEM, vm, Delete(), wanted=Wanted.DELETED)


def _advance(session: Session, vm: Vm, operation: Operation, report: Report) -> None:
    if operation.begun_at is None:
        operation.begun_at = datetime.fromtimestamp(report.at, UTC)
    ending = _ENDINGS.get(report.phase)
    if ending is None:
        operation.state = OperationState.RUNNING
        operation.progress = vars(report.progress) if report.progress else operation.progress
    else:
        done = ending == OperationState.SUCCEEDED
        result = report.told(RESULTS[Kind(operation.kind)]) if done else Result()
        operations.settle(operation, ending, result=result, failure=report.failure)
        if done:
            _succeeded(session, vm, operation, result)
        else:
            not_succeeded(session, vm, operation)
    operations.tell(session, vm, operation)


def _succeeded(session: Session, vm: Vm, operation: Operation, result: Result) -> None:
    if isinstance(result, Told):
        hardware.told(vm, result)
    elif isinstance(result, SnapshotDeleted):
        session.execute(delete(Snapshot).where(Snapshot.id == _snapshot_id(operation)))
        _stored_otherwise(session, vm, result)
    elif isinstance(result, SnapshotTaken):
        _taken(session, operation, result)
    match Kind(operation.kind):
        case Kind.CREATE:
            events.of_vm(session, "vm_created", vm, {"vm_name": vm.name, "user_id": vm.owner_id}, operation)
        case Kind.DELETE:
            hosts.release(session, vm)
            gone(session, vm, operation)
        case Kind.DISK_ATTACH | Kind.DISK_DETACH | Kind.SNAPSHOT_RESTORE:
            media.attached(session, vm)
        case Kind.RESIZE:
            sizes.resized(vm, operation)
        case Kind.PORT_FORWARD_CREATE:
            session.execute(_forward(operation, update(PortForward).values(ready_at=now())))
        case Kind.PORT_FORWARD_DELETE:
            session.execute(_forward(operation, delete(PortForward)))
        case _:
            pass


def _taken(session: Session, operation: Operation, result: SnapshotTaken) -> None:
    snapshot = session.scalar(select(Snapshot).where(Snapshot.id == _snapshot_id(operation)))
    if snapshot is not None:
        snapshot.size_bytes, snapshot.checksum = result.size_bytes, result.checksum
        snapshot.include_memory = result.include_memory
        snapshot.ready_at = now()


def _stored_otherwise(session: Session, vm: Vm, result: SnapshotDeleted) -> None:
    """A delete may change how much the VM's other snapshots take."""
    others = result.snapshots
    for snapshot in session.scalars(select(Snapshot).where(Snapshot.vm_id == vm.id, Snapshot.id.in_(others))):
        snapshot.size_bytes, snapshot.checksum = others[snapshot.id].size_bytes, others[snapshot.id].checksum


def gone(session: Session, vm: Vm, operation: Operation | None) -> None:
    """The VM is no more, for its owner and in all tables; what it holds of its host is its caller's to release."""
    vm.deleted_at = now()
    vm.observed = Observed.ABSENT
    media.vm_is_gone(session, vm, operation)
    session.execute(delete(Snapshot).where(Snapshot.vm_id == vm.id))
    session.execute(delete(PortForward).where(PortForward.vm_id == vm.id))
    scan_work.vm_is_gone(session, vm.id)
    events.of_vm(session, "vm_deleted", vm, {"vm_name": vm.name, "user_id": vm.owner_id}, operation)


def not_succeeded(session: Session, vm: Vm, operation: Operation) -> None:
    """What was wanted was not reached: what is there now is what is wanted, until someone asks anew."""
    if operation.kind == Kind.SNAPSHOT_CREATE:
        session.execute(delete(Snapshot).where(Snapshot.id == _snapshot_id(operation)))
    elif operation.kind == Kind.PORT_FORWARD_CREATE:
        session.execute(_forward(operation, delete(PortForward)))
    elif operation.kind == Kind.DISK_ATTACH:
        media.not_attached(session, operation)
    elif operation.kind == Kind.CREATE and vm.observed in (None, Observed.ABSENT):
        hosts.release(session, vm)
    elif operation.kind != Kind.DELETE:
        desired.want(session, vm, _WANTED.get(Observed(vm.observed or Observed.ABSENT), Wanted.STOPPED))


def _forward(operation: Operation, change: Any) -> Any:
    return change.where(PortForward.id == operations.asked(operation, OfForward).forward_id)


def _snapshot_id(operation: Operation) -> str:
    return operations.asked(operation, OfSnapshot).snapshot_id
