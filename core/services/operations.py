"""Operations: begun with their command, listed, cancelled, and ended by what the agent reports."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from core.contract.commands import PARAMS, Params, PortForwardDelete, Stopping
from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.messages import Command, Failure, Forward, ImageRef, VmSpec, build, call, command
from core.contract.results import Result
from core.contract.states import ENDED, LIVE, DesiredState, Kind, OperationState
from core.database import after_commit, violates
from core.models import Operation, Vm
from core.models.base import new_id, now
from core.prepared import PREPARED
from core.services import desired, events
from core.services.accepted import Accepted, AnyOperation
from core.services.audit import records
from core.services.context import Actor, dispatch_of
from core.services.paging import Ordering, Slice, sliced

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)

# How long each kind may take, in seconds. Slow emulation and big disks fit; a stop adds its grace.
_SECONDS = {
    Kind.CREATE: 900,
    Kind.START: 300,
    Kind.STOP: 120,
    Kind.RESTART: 420,
    Kind.DELETE: 3600,
    Kind.PAUSE: 60,
    Kind.RESUME: 60,
    Kind.SAVE: 600,
    Kind.RESIZE: 120,
    Kind.DISK_ATTACH: 600,
    Kind.DISK_DETACH: 120,
    Kind.ADAPTER_SET: 120,
    Kind.SNAPSHOT_CREATE: 1800,
    Kind.SNAPSHOT_RESTORE: 1800,
    Kind.SNAPSHOT_DELETE: 600,
    Kind.PORT_FORWARD_CREATE: 60,
    Kind.PORT_FORWARD_DELETE: 60,
    Kind.MOVE: 1800,
}
_FIRST_RESEND = timedelta(seconds=3)
# With its VM, which whoever waits for an operation is told of.
_ONE = (
    select(Operation)
    .where(Operation.id == bindparam("operation_id"))
    .options(joinedload(Operation.vm))
    .execution_options(**PREPARED)
)


def live_of(session: Session, vm: Vm) -> Operation | None:
    """The operation under way on a VM."""
    return session.scalar(select(Operation).where(Operation.vm_id == vm.id, Operation.state.in_(LIVE)))


def begin(
    session: Session,
    actor: Actor,
    vm: Vm,
    params: Params,
    *,
    wanted: DesiredState | None = None,
    longer_seconds: float = 0.0,
) -> Accepted:
    """Accept an operation: its row and event now, its command after the commit. `wanted`: what it moves the VM towards.

    `longer_seconds`: how much longer than others of its kind it may take.
    `Conflict` when another is under way on that VM: the index decides, whatever the caller has looked at before.
    """
    kind, moment = params.kind, now()
    seconds = _SECONDS[kind] + longer_seconds + (params.grace_seconds if isinstance(params, Stopping) else 0.0)
    operation = Accepted(
        id=new_id("op"),
        kind=kind,
        state=OperationState.QUEUED,
        vm_id=vm.id,
        vm_name=vm.name,
        host_name=vm.host_name,
        owner_id=vm.owner_id,
        actor_id=actor.user_id,
        request_id=actor.request_id,
        params=params.stored(),
        attempt=1,
        accepted_at=moment,
        send_at=moment + _FIRST_RESEND,
        deadline_at=moment + timedelta(seconds=seconds),
    )
    try:
        desired.want(session, vm, wanted or DesiredState(vm.wanted), operation)
    except IntegrityError as error:
        if violates(error, "uq_operations_vm_id_live"):
            raise Conflict(
                f"another operation on VM '{vm.name}' has just begun; wait for it and try again", vm=vm.name
            ) from None
        raise
    tell(session, vm, operation)
    send(session, vm, operation)
    return operation


def busy(vm: Vm, other: Operation) -> Conflict:
    """The error that names the operation in the way."""
    what = other.kind.replace("_", " ")
    return Conflict(
        f"operation {other.id} ({what}) is already in progress on VM '{vm.name}'; wait for it or cancel it",
        operation_id=other.id,
    )


def send(session: Session, vm: Vm, operation: AnyOperation) -> None:
    """Hand the command over after the commit. If that message is lost, the sweep sends it again."""
    dispatch, host, sent = dispatch_of(session), operation.host_name, command_of(vm, operation)
    after_commit(session, lambda: dispatch.command(host, sent))


def ask_after(session: Session, operation: AnyOperation) -> None:
    """Ask the agent, after the commit, for its last report on an operation that it has begun, should that be lost."""
    _call(session, operation, "report")


def send_again(session: Session, host: str) -> None:
    """Let the next sweep send all that is under way on a host: its agent is new, and what the last one took is lost."""
    live = update(Operation).where(Operation.host_name == host, Operation.state.in_(LIVE))
    session.execute(live.values(send_at=now()).execution_options(synchronize_session=False))


def command_of(vm: Vm, operation: AnyOperation) -> Command:
    """The message that asks the host for this operation."""
    params = asked(operation, PARAMS[Kind(operation.kind)])
    return command(
        operation_id=operation.id,
        attempt=operation.attempt,
        vm=spec_of(vm, without_forward=params.forward_id if isinstance(params, PortForwardDelete) else None),
        params=params,
        deadline_at=operation.deadline_at.timestamp(),
    )


def asked(operation: AnyOperation, kind: type[P]) -> P:
    """What was asked for, as params of that kind."""
    return build(kind, operation.params)


def result_of(operation: AnyOperation, kind: type[R]) -> R | None:
    """What its host has told of a success, of that kind; None before."""
    return build(kind, operation.result) if operation.state == OperationState.SUCCEEDED and operation.result else None


def spec_of(vm: Vm, *, without_forward: str | None = None) -> VmSpec:
    """A VM as its driver needs to know it."""
    forwards = [forward for forward in vm.forwards if forward.id != without_forward]
    return VmSpec(
        id=vm.id,
        name=vm.name,
        hypervisor=vm.hypervisor,
        os_type=vm.os_type,
        vcpus=vm.vcpus,
        memory_mb=vm.memory_mb,
        disk_gb=vm.disk_gb,
        image=ImageRef(vm.image, vm.image_digest or "") if vm.image else None,
        network=vm.network,
        hardware=vm.hardware,
        owner=vm.owner_id,
        cpu_limit_percent=vm.cpu_limit_percent,
        memory_limit_percent=vm.memory_limit_percent,
        forwards=[Forward(each.protocol, each.host_port, each.guest_port) for each in forwards],
        home=vm.home,
    )


def tell(session: Session, vm: Vm | None, operation: AnyOperation) -> None:
    """The event that an operation has changed, of that VM or, without one, of its host; a failure is also audited.

    Whoever waits for it hears this one.
    """
    data: dict[str, Any] = {"operation_id": operation.id, "kind": operation.kind, "state": operation.state}
    if operation.progress:
        data["progress"] = operation.progress
    if operation.error:
        data["error"] = operation.error
    if vm is None:
        events.of_host(session, "operation", operation.host_name, data, operation)
    else:
        events.of_vm(session, "operation", vm, data, operation)
    records.operation_ended(session, operation)


def complete(
    operation: Operation, state: OperationState, *, result: Result | None = None, failure: Failure | None = None
) -> None:
    """End a live operation."""
    operation.state = state
    operation.ended_at = now()
    operation.result = None if result is None else result.stored()
    if failure is not None:
        operation.error = {
            "code": failure.code,
            "message": failure.message,
            "retryable": failure.retryable,
            "details": failure.details,
        }


ORDERING = Ordering(
    {
        "accepted_at": Operation.accepted_at,
        "ended_at": Operation.ended_at,
        "kind": Operation.kind,
        "state": Operation.state,
        "vm_name": Operation.vm_name,
    },
    key=Operation.id,
    by="accepted_at",
    descending=True,
)


@dataclass(frozen=True)
class OperationFilter(Slice):
    """The filter of a list of operations: of one VM (name or id), on one host, in one state, of one kind."""

    vm: str | None = None
    host: str | None = None
    state: str | None = None
    kind: str | None = None


def list_of(session: Session, actor: Actor, wanted: OperationFilter) -> tuple[list[Operation], int]:
    """A page of the caller's operations, newest first, and how many match."""
    conditions: list[ColumnElement[bool]] = []
    if not actor.is_admin:
        conditions.append(Operation.owner_id == actor.user_id)
    if wanted.vm is not None:
        conditions.append((Operation.vm_id == wanted.vm) | (Operation.vm_name == wanted.vm))
    if wanted.host is not None:
        conditions.append(Operation.host_name == wanted.host)
    if wanted.state is not None:
        conditions.append(Operation.state == wanted.state)
    if wanted.kind is not None:
        conditions.append(Operation.kind == wanted.kind)
    total = session.scalar(select(func.count()).select_from(Operation).where(*conditions)) or 0
    return list(session.scalars(sliced(select(Operation).where(*conditions), ORDERING, wanted))), total


def get(session: Session, actor: Actor, operation_id: str) -> Operation:
    """One operation; `NotFound` when it isn't there or is someone else's."""
    operation = session.scalar(_ONE, {"operation_id": operation_id})
    if operation is None or not (actor.is_admin or operation.owner_id == actor.user_id):
        raise NotFound(f"operation '{operation_id}' not found")
    return operation


def cancel(session: Session, actor: Actor, operation_id: str) -> Operation:
    """Ask for an end to a live operation; its host decides whether it was in time. `Conflict` once it has ended.

    One of a host is ended by the next sweep, for administrators.
    """
    actor.must_write()
    if get(session, actor, operation_id).vm_id is None:
        actor.must_administer()
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.kind == Kind.DELETE:
        raise Invalid("a delete can't be cancelled", code="invalid_state")
    if operation.state in ENDED:
        raise Conflict(f"operation '{operation_id}' has already ended ({operation.state})", code="invalid_state")
    operation.cancel_requested_at = operation.cancel_requested_at or now()
    if operation.vm_id is not None:
        send_cancel(session, operation)
    return operation


def send_cancel(session: Session, operation: AnyOperation) -> None:
    """Ask the agent, after the commit, to stop that operation. Nobody listens for the reply: its report tells."""
    _call(session, operation, "cancel")


def _call(session: Session, operation: AnyOperation, verb: str) -> None:
    wanted = {"operation_id": operation.id}
    sent = call(uuid.uuid4().hex, verb, "", time.time() + 30, None, wanted)
    dispatch, host = dispatch_of(session), operation.host_name
    after_commit(session, lambda: dispatch.call(host, sent))
