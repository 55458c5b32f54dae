"""VMs on their way to a host: counted there while they come, and forgotten there when they do not come after all."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core.contract.commands import Move
from core.contract.errors import NotFound, Unavailable
from core.contract.messages import VmSpec
from core.contract.moves import MovedFile
from core.contract.states import LIVE, Kind
from core.models import Host, Operation, Vm
from core.placement import Room
from core.services import departures, hosts, operations
from core.services.accepted import AnyOperation

RESTORED = "record_restored"


def coming(host: str) -> tuple[ColumnElement[bool], ...]:
    """That an operation is a move to that host, under way."""
    return Operation.kind == Kind.MOVE, Operation.state.in_(LIVE), Operation.params["target"].as_string() == host


def on_their_way(session: Session, host: str) -> set[str]:
    """The ids of the VMs that move to a host."""
    return {str(vm_id) for vm_id in session.scalars(select(Operation.vm_id).where(*coming(host)))}


def undo(session: Session, vm: Vm, operation: AnyOperation) -> None:
    """A move that has ended leaves its VM where it was: its room at the target is free, and what came there removed.

    Not where the record was restored from a backup: then the move may have gone on, and what is there be the VM.
    """
    asked = operations.asked(operation, Move)
    hosts.give_back(session, asked.target, room_of(vm))
    if operation.error is None or operation.error["code"] != RESTORED:
        departures.note(session, vm, asked.target)
        spec = replace(operations.spec_of(vm), forwards=[])
        departures.purge(session, asked.target, spec, operation.id)


def room_of(vm: Vm) -> Room:
    """What it takes of the host that it moves to."""
    return Room(vm.vcpus, vm.memory_mb, vm.disk_gb)


def asked_for(session: Session, host: str, operation_id: str, sha256: str) -> tuple[str, VmSpec, MovedFile]:
    """Which host is to be asked for a file that this host needs of a VM that moves to it, and of which VM.

    `NotFound` for whatever does not move there; `Unavailable` while the other host is offline.
    """
    row = session.execute(
        select(Operation, Vm).join(Vm, Vm.id == Operation.vm_id).where(Operation.id == operation_id, *coming(host))
    ).one_or_none()
    operation, vm = row if row is not None else (None, None)
    files = operations.asked(operation, Move).files if operation is not None else None
    for file in files or []:
        if vm is not None and file.sha256 == sha256:
            if session.get_one(Host, vm.host_name).offline_since is not None:
                raise Unavailable(f"host '{vm.host_name}' is offline")
            return vm.host_name, operations.spec_of(vm), file
    raise NotFound("no such file of a VM moves to this host", code="move_not_found")
