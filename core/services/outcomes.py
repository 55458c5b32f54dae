"""The effect of an operation's end on its VM, and on what belongs to the VM."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.contract.commands import OfForward, OfSnapshot
from core.contract.results import HardwareResult, Result, SnapshotDeleted, SnapshotTaken
from core.contract.states import Kind, Observed
from core.models import Operation, PortForward, Snapshot, Vm
from core.models.base import now
from core.services import arrivals, desired, events, hardware, hosts, media, operations, sizes
from core.services.scanning import queue


def succeeded(session: Session, vm: Vm, operation: Operation, result: Result) -> None:
    """What was asked for is so: the tables say it."""
    if isinstance(result, HardwareResult):
        hardware.apply_result(vm, result)
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
    queue.vm_is_gone(session, vm.id)
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
        if operation.kind == Kind.MOVE:
            arrivals.undo(session, vm, operation)
        wants_what_is(session, vm)


def wants_what_is(session: Session, vm: Vm) -> None:
    """What was seen of it is what is wanted of it, until someone asks anew."""
    desired.want(session, vm, desired.of_observed(Observed(vm.observed or Observed.ABSENT)))


def _forward(operation: Operation, change: Any) -> Any:
    return change.where(PortForward.id == operations.asked(operation, OfForward).forward_id)


def _snapshot_id(operation: Operation) -> str:
    return operations.asked(operation, OfSnapshot).snapshot_id
