"""Snapshots of a VM."""

from __future__ import annotations

import re

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.commands import SnapshotCreate, SnapshotDelete, SnapshotRestore
from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.states import LIVE, DesiredState, Kind, Observed, OperationState
from core.database import violates
from core.models import Operation, Snapshot, Vm
from core.services import hosts, lookup, operations, rules, vms
from core.services.accepted import Accepted, Existing
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced
from core.services.status import status_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ORDERING = Ordering(
    {"created_at": Snapshot.created_at, "name": Snapshot.name, "size_bytes": Snapshot.size_bytes},
    key=Snapshot.id,
    by="created_at",
)


def list_of(session: Session, actor: Actor, ref: str, wanted: Slice) -> tuple[Vm, list[Snapshot], int]:
    """The VM, a page of its finished snapshots, oldest first, and how many there are."""
    vm = lookup.vm(session, actor, ref)
    finished = (Snapshot.vm_id == vm.id, Snapshot.ready_at.is_not(None))
    total = session.scalar(select(func.count()).select_from(Snapshot).where(*finished)) or 0
    return vm, list(session.scalars(sliced(select(Snapshot).where(*finished), ORDERING, wanted))), total


def count(session: Session) -> int:
    """How many finished ones there are, of all VMs."""
    return session.scalar(select(func.count()).select_from(Snapshot).where(Snapshot.ready_at.is_not(None))) or 0


def get(session: Session, vm: Vm, ref: str) -> Snapshot:
    """A finished snapshot by name or id; `NotFound`."""
    query = select(Snapshot).where(Snapshot.vm_id == vm.id, (Snapshot.name == ref) | (Snapshot.id == ref))
    snapshot = next(iter(session.scalars(query.order_by(Snapshot.id != ref))), None)
    if snapshot is None or snapshot.ready_at is None:
        raise NotFound(f"snapshot '{ref}' of VM '{vm.name}' not found", code="snapshot_not_found")
    return snapshot


def create(
    session: Session,
    actor: Actor,
    ref: str,
    *,
    name: str,
    description: str,
    include_memory: bool,
    or_existing: bool = False,
) -> Accepted:
    """Take one. Memory goes in if asked and the VM runs. Names are unique per VM: `Conflict`, or with `or_existing` the
    operation that has taken the one of that name, or takes it."""
    if not NAME.fullmatch(name):
        raise Invalid("a snapshot's name must have 1 to 63 letters, digits, '.', '_' or '-'", field="name")
    if or_existing and (found := _existing(session, actor, ref, name)) is not None:
        return found
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, "snapshots")
    with_memory = include_memory and vm.observed in (Observed.RUNNING, Observed.PAUSED)
    if with_memory:
        rules.must_support(vm, host, "snapshots_with_memory")
    snapshot = Snapshot(
        vm_id=vm.id,
        name=name,
        description=description,
        include_memory=with_memory,
        vm_status=status_of(vm, None),
        vcpus=vm.current_vcpus,
        memory_mb=vm.current_memory_mb,
    )
    taken = Conflict(f"snapshot '{name}' of VM '{vm.name}' already exists")
    session.add(snapshot)
    try:
        session.flush()
    except IntegrityError as error:  # which has made the session forget even the VM's name
        if violates(error, "uq_snapshots_vm_id_name"):
            raise taken from None
        raise
    return operations.begin(session, actor, vm, SnapshotCreate(snapshot.id, name, with_memory))


def _existing(session: Session, actor: Actor, ref: str, name: str) -> Existing | None:
    actor.must_write()
    vm = lookup.vm(session, actor, ref, lock=True)
    snapshot_id = session.scalar(select(Snapshot.id).where(Snapshot.vm_id == vm.id, Snapshot.name == name))
    made = select(Operation).where(
        Operation.vm_id == vm.id,
        Operation.kind == Kind.SNAPSHOT_CREATE,
        Operation.params["snapshot_id"].astext == snapshot_id,
        Operation.state.in_((*LIVE, OperationState.SUCCEEDED)),
    )
    found = session.scalar(made) if snapshot_id else None
    return None if found is None else Existing.of(found)


def restore(session: Session, actor: Actor, ref: str, snapshot_ref: str, *, start: bool | None = None) -> Accepted:
    """Bring the VM back to it, running or not as `start` says; None: as it was then.

    With memory the machine of then goes on, with its size, for which its host must have room: `NoCapacity`.
    """
    vm, host = vms.to_change(session, actor, ref)
    rules.must_support(vm, host, "snapshots")
    snapshot = get(session, vm, snapshot_ref)
    runs = snapshot.vm_status == "running" if start is None else start
    if runs and vm.observed not in (Observed.RUNNING, Observed.PAUSED):
        rules.must_let_start(vm, host)
    if snapshot.include_memory and start is not False:
        hosts.take_more(session, vm, vcpus=snapshot.vcpus, memory_mb=snapshot.memory_mb)
    params = SnapshotRestore(snapshot.id, start, previous_state=str(vm.observed))
    wanted = DesiredState.RUNNING if runs else DesiredState.STOPPED
    return vms.begin(session, actor, vm, params, wanted=wanted)


def delete(session: Session, actor: Actor, ref: str, snapshot_ref: str) -> Accepted:
    """Remove one, in any order."""
    vm, host = vms.to_change(session, actor, ref)
    rules.must_support(vm, host, "snapshots")
    snapshot = get(session, vm, snapshot_ref)
    return operations.begin(session, actor, vm, SnapshotDelete(snapshot.id))
