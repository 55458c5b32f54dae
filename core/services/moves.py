"""Moves: a VM goes to another host with all that it has, as one operation of which its two hosts do a part each.

The source has the VM off and tells what it consists of; the target fetches that through the API, and makes a VM of it.
Until the target has said that it has the VM, it is the source's, whatever dies: a move that ends before leaves there
what was there, and what the target may have is removed. When it has said so, one transaction makes it the target's,
and what the source has is what it has left (`departures`). Each move has a `home` of its own, which is the target's
from the beginning: so neither side can be taken for the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from msgspec import structs
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.commands import Move, Start
from core.contract.errors import Conflict, CorralError
from core.contract.messages import Failure, Report
from core.contract.results import Moved, MoveTold
from core.contract.states import LIVE, DesiredState, Kind, Observed, OperationState, SchedulingState
from core.contract.vms import VmNetwork
from core.models import Host, Operation, Vm
from core.models.base import now
from core.placement import Demand
from core.services import (
    arrivals,
    bridges,
    departures,
    elsewhere,
    events,
    forwards,
    hardware,
    hosts,
    joining,
    operations,
    outcomes,
    placing,
    rules,
    vms,
)
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.intake import observations

MOVES = "moves"  # the capability
_RUNS = (Observed.RUNNING, Observed.PAUSED)
_SLOWEST = 4 << 20  # bytes a second
_PATIENCE = timedelta(minutes=5)  # with a host that is offline
_FIRST_RESEND = timedelta(seconds=3)


@dataclass(frozen=True)
class MoveRequest:
    """Where a VM is to go; None: to the host that placement finds best. `stop`: it may be stopped for it."""

    host: str | None = None
    stop: bool = False
    grace_seconds: float = 30.0
    force: bool = False


def begin(session: Session, actor: Actor, ref: str, request: MoveRequest) -> Accepted:
    """Have a VM moved, its room at the target reserved; `Conflict`, `Unsupported`, `Invalid`, `NoCapacity`."""
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, MOVES)
    rules.may_move(vm, to=request.host, stop=request.stop)
    target = _placed(session, vm, request.host)
    vm.home += 1
    asked = Move(
        request.grace_seconds,
        request.force,
        source=vm.host_name,
        target=target,
        stop=request.stop,
        start=vm.observed in _RUNS,
    )
    return operations.begin(session, actor, vm, asked, longer_seconds=(vm.disk_gb << 30) / _SLOWEST)


def _placed(session: Session, vm: Vm, host: str | None) -> str:
    joins = tuple(joining.asked(vm.hardware).values())
    demand = Demand(
        (vm.hypervisor,), "", arrivals.room_of(vm), host, joins=joins, placement=vm.placement, needs=(MOVES,)
    )
    wish = elsewhere.wish(session, vm)
    wish = replace(wish, unfit=wish.unfit | {vm.host_name: "is the VM's own"})
    return placing.reserve(session, vm.owner_id, demand, wish).host


def succeeded(session: Session, vm: Vm, operation: Operation, report: Report) -> None:
    """One of its hosts has done its part: it is the other's turn, or the move is over."""
    asked, told = operations.asked(operation, Move), report.result_as(MoveTold)
    if operation.cancel_requested_at is not None:
        _end(session, vm, operation, OperationState.CANCELLED, Failure("cancelled", "the move was cancelled"))
    elif asked.files is None and told.files is None:
        why = f"host '{asked.source}' does not tell what the VM consists of"
        _end(session, vm, operation, OperationState.FAILED, Failure("operation_failed", why))
    elif asked.files is None:
        _hand_over(session, vm, operation, structs.replace(asked, files=told.files))
    elif report.observation is None or report.observation.state == Observed.ABSENT:
        why = f"host '{asked.target}' does not see the VM that it has taken in"
        _end(session, vm, operation, OperationState.FAILED, Failure("operation_failed", why))
    else:
        try:
            network = _joined(session, vm, asked.target)
        except CorralError as error:
            _end(session, vm, operation, OperationState.FAILED, Failure(error.code, error.message))
        else:
            _switch(session, vm, operation, asked, network)
            observations.observe(vm, report.observation, report.generation)
            hardware.apply_result(vm, told)
            _over(session, vm, operation, asked)


def _hand_over(session: Session, vm: Vm, operation: Operation, asked: Move) -> None:
    operation.params, operation.host_name = asked.stored(), asked.target
    operation.state, operation.attempt, operation.begun_by = OperationState.RUNNING, operation.attempt + 1, None
    operation.send_at = now() + _FIRST_RESEND
    operation.progress = {"step": f"copying to host '{asked.target}'", "percent": 0}
    operations.tell(session, vm, operation)
    operations.send(session, vm, operation)


def _joined(session: Session, vm: Vm, target: str) -> VmNetwork:
    """Its network there; both hosts' rows are locked from then on, in the order of their names."""
    both = select(Host).where(Host.name.in_([vm.host_name, target])).order_by(Host.name)
    there = {
        host.name: host for host in session.scalars(both.with_for_update().execution_options(populate_existing=True))
    }
    if _is_lost(there[target]):
        raise Conflict(f"host '{target}' is fenced, or was removed from the fleet", code="invalid_state")
    network = bridges.joined(session, target, elsewhere.wish(session, vm), elsewhere.asked(vm.network), vm.id)
    return network if network.on_bridge else replace(network, mac_address=vm.network.mac_address)


def _switch(session: Session, vm: Vm, operation: Operation, asked: Move, network: VmNetwork) -> None:
    departures.note(session, vm, vm.host_name)
    hosts.release(session, vm)
    vm.host_name, vm.network = asked.target, network
    vm.reserved, vm.held_vcpus, vm.held_memory_mb = True, vm.vcpus, vm.memory_mb
    vm.observed_generation, vm.lost_at = 0, None
    session.flush()
    forwards.follow(session, vm, session.get_one(Host, asked.target))
    spec = replace(operations.spec_of(vm), forwards=[])
    departures.purge(session, asked.source, spec, operation.id)
    events.of_vm(session, "vm_moved", vm, {"old_host": asked.source, "new_host": asked.target}, operation)


def _over(session: Session, vm: Vm, operation: Operation, asked: Move) -> None:
    operations.complete(operation, OperationState.SUCCEEDED)
    start = _start(session, vm, operation) if asked.start else None
    if start is None:
        outcomes.wants_what_is(session, vm)
    moved = Moved(asked.source, asked.target, start.id if start is not None else None)
    operation.result = moved.stored()
    operations.tell(session, vm, operation)


def _end(session: Session, vm: Vm, operation: Operation, state: OperationState, failure: Failure) -> None:
    operations.complete(operation, state, failure=failure)
    session.flush()
    outcomes.not_succeeded(session, vm, operation)
    operations.tell(session, vm, operation)
    start_again(session, vm, operation)


def start_again(session: Session, vm: Vm, operation: Operation) -> None:
    """A move has come to nothing: a VM that was stopped for it runs again where it is."""
    if operations.asked(operation, Move).start and vm.observed == Observed.STOPPED:
        session.flush()
        _start(session, vm, operation)


def _start(session: Session, vm: Vm, move: Operation) -> Accepted:
    session.flush()
    actor = Actor(move.actor_id, "", "user", request_id=move.request_id)
    return operations.begin(session, actor, vm, Start(), wanted=DesiredState.RUNNING)


def stuck(session: Session) -> list[tuple[str, str]]:
    """The moves that `settle` may be for, each after its VM."""
    live = select(Operation.vm_id, Operation.id).where(Operation.kind == Kind.MOVE, Operation.state.in_(LIVE))
    return [(str(vm_id), operation_id) for vm_id, operation_id in session.execute(live.order_by(Operation.vm_id))]


def settle(session: Session, vm_id: str, operation_id: str) -> None:
    """End a move whose host does not answer any more, if nobody waits for that. For a transaction of its own.

    One that has lost its source is lost with it (`lost`).
    """
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.state not in LIVE:
        return
    asked = operations.asked(operation, Move)
    target, at_work = (
        session.get_one(Host, name, populate_existing=True) for name in (asked.target, operation.host_name)
    )
    offline_since = at_work.offline_since
    if _is_lost(target):
        failure = Failure(
            "host_fenced" if target.removed_at is None else "host_removed", f"host '{target.name}' is gone"
        )
        _end(session, vm, operation, OperationState.FAILED, failure)
    elif offline_since is not None and operation.cancel_requested_at is not None:
        _end(session, vm, operation, OperationState.CANCELLED, Failure("cancelled", "the move was cancelled"))
    elif offline_since is not None and offline_since < now() - _PATIENCE:
        failure = Failure("service_unavailable", f"host '{at_work.name}' is offline", retryable=True)
        _end(session, vm, operation, OperationState.FAILED, failure)


def _is_lost(host: Host) -> bool:
    return host.removed_at is not None or host.scheduling_state == SchedulingState.FENCED
