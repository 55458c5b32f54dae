"""Answers about VMs and snapshots after an operation has begun or ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from core.contract.commands import SnapshotCreate
from core.contract.errors import NotFound
from core.contract.states import LIVE, VmStatus
from core.models import Host, Snapshot, Vm
from core.models.base import now
from core.services import operations
from core.services.accepted import AnyOperation
from core.services.listing import VmWithStatus
from core.services.status import status_of


@dataclass(frozen=True)
class Outcome:
    """An operation, begun or ended, and its VM as it is now."""

    operation: AnyOperation
    vm: Vm
    status: VmStatus


@dataclass(frozen=True)
class SnapshotWithVm:
    """A snapshot and its VM; the operation, if one has led here."""

    vm: Vm
    snapshot: Snapshot
    operation: AnyOperation | None = None


def vm_of(session: Session, operation: AnyOperation) -> VmWithStatus:
    """The VM of an operation, as it is now."""
    vm = session.get_one(Vm, operation.vm_id)
    host = session.get_one(Host, vm.host_name)
    live = operation if operation.state in LIVE else operations.live_of(session, vm)
    return VmWithStatus(vm, status_of(vm, live, host), host, live)


def outcome(session: Session, operation: AnyOperation) -> Outcome:
    """What can be said of an operation now."""
    vm = session.get_one(Vm, operation.vm_id)
    return Outcome(operation, vm, status_of(vm, operation if operation.state in LIVE else None))


def snapshot_of(session: Session, operation: AnyOperation) -> SnapshotWithVm:
    """The snapshot of an operation; `NotFound` when it was deleted since."""
    asked = operations.asked(operation, SnapshotCreate)
    snapshot = session.get(Snapshot, asked.snapshot_id)
    if snapshot is None:
        name = asked.name or asked.snapshot_id
        raise NotFound(f"snapshot '{name}' of VM '{operation.vm_name}' not found", code="snapshot_not_found")
    return SnapshotWithVm(session.get_one(Vm, operation.vm_id), snapshot, operation)


def nothing(_session: Session, _operation: AnyOperation) -> None:
    """There is nothing left to say."""


def uptime_seconds(view: VmWithStatus) -> int:
    """For how long the VM has run, 0 when it does not."""
    if view.status != VmStatus.RUNNING or view.vm.started_at is None:
        return 0
    return max(0, int((now() - view.vm.started_at).total_seconds()))


def last_seen_at(view: VmWithStatus) -> datetime | None:
    """When the VM's host sent its last heartbeat, if it is offline."""
    return view.host.last_seen_at if view.host.offline_since else None


def operation_id(view: VmWithStatus) -> str | None:
    """The operation under way."""
    return view.live.id if view.live else None
