"""Drains: operations that empty a host of running VMs; they exist in the database only, and sweeps drive them.

So no death of a process, and no restart of the host, ends one: it ends when nothing runs there, at its deadline, when
it is cancelled, or when its host is activated. The stops and moves that it begins are operations of their VMs, with its
id as that of the request; what became of each VM is read from those, again at each look.

Locks are taken in the order of `docs/design.md`, a VM's before those of its drain; the drain's before its host's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, CorralError
from core.contract.messages import Failure
from core.contract.states import ENDED, LIVE, HostKind, Kind, Observed, OperationState, SchedulingState
from core.models import Host, Operation, Vm
from core.models.base import JSON, new_id, now
from core.services import hosts, moves, operations, scheduling, vms
from core.services.audit import records
from core.services.context import Actor
from core.services.moves import MoveRequest

STRATEGIES = ("wait", "stop", "move")
DEADLINE_SECONDS = {"wait": 86_400, "stop": 3600, "move": 14_400}
LONGEST_SECONDS = 30 * 86_400
WAITING, STOPPING, STOPPED, DELETED, FAILED = "waiting", "stopping", "stopped", "deleted", "failed"
MOVING, MOVED = "moving", "moved"
_RUNS = (Observed.RUNNING, Observed.PAUSED)
_OFF = (STOPPED, DELETED, MOVED)
_OWN = {"wait": (), "stop": (Kind.STOP,), "move": (Kind.MOVE,)}


@dataclass(frozen=True)
class DrainRequest:
    """How a host is to be emptied: `wait` until the owners of its VMs have stopped or deleted them, `stop` them, or
    `move` them to other hosts, those that are off too.

    `deadline_seconds` None: the strategy's own. `at_once`: how many are being stopped or moved at a time;
    `grace_seconds`: how long each guest has before its power is cut.
    """

    strategy: str
    deadline_seconds: int | None = None
    at_once: int = 4
    grace_seconds: int = 60
    reason: str = ""


def begin(session: Session, actor: Actor, name: str, request: DrainRequest) -> Operation:
    """Let nothing new onto a host and nothing start there, and have it emptied. `Conflict` where that is under way."""
    actor.must_administer()
    host = hosts.locked(session, name)
    other = live(session, name)
    if other is not None:
        raise Conflict(
            f"host '{name}' is being drained by operation {other.id}: cancel that one first",
            code="invalid_state",
            operation_id=other.id,
        )
    if host.offline_since is not None:
        raise Conflict(
            f"host '{name}' is offline: what is there can be neither stopped nor moved", code="invalid_state"
        )
    moment = now()
    seconds = request.deadline_seconds or DEADLINE_SECONDS[request.strategy]
    operation = Operation(
        id=new_id("op"),
        kind=HostKind.DRAIN,
        state=OperationState.RUNNING,
        vm_name="",
        host_name=name,
        owner_id=actor.user_id,
        actor_id=actor.user_id,
        request_id=actor.request_id,
        params=vars(request),
        attempt=1,
        result={"vms": []},
        accepted_at=moment,
        begun_at=moment,
        send_at=moment + timedelta(seconds=seconds),
        deadline_at=moment + timedelta(seconds=seconds),
    )
    session.add(operation)
    scheduling.take(session, host, SchedulingState.DRAINING, by=actor.username, reason=request.reason)
    operations.tell(session, None, operation)
    return operation


def live(session: Session, host: str, *, lock: bool = False) -> Operation | None:
    """The drain that is under way on a host."""
    query = select(Operation).where(Operation.host_name == host, Operation.kind == HostKind.DRAIN)
    query = query.where(Operation.state.in_(LIVE))
    return session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)


def end(session: Session, operation: Operation, code: str, message: str) -> None:
    """Cancel a drain that is locked; stops that it has begun go on. What its host is then, its caller says."""
    operations.complete(operation, OperationState.CANCELLED, failure=Failure(code, message))
    operations.tell(session, None, operation)


def due(session: Session) -> list[str]:
    """The ids of all that are under way."""
    query = select(Operation.id).where(Operation.kind == HostKind.DRAIN, Operation.state.in_(LIVE))
    return list(session.scalars(query.order_by(Operation.id)))


def to_begin(session: Session, operation_id: str) -> list[str]:
    """The VMs that are to be stopped or moved now, in the order of their ids."""
    operation = session.get_one(Operation, operation_id, populate_existing=True)
    host = session.get_one(Host, operation.host_name, populate_existing=True)
    request = DrainRequest(**operation.params)
    if not _goes_on(operation) or request.strategy == "wait" or host.offline_since is not None:
        return []
    found = _results(session, operation)
    room = request.at_once - sum(each["outcome"] in (STOPPING, MOVING) for each in found)
    waiting = [each["vm_id"] for each in found if each["outcome"] == WAITING and not each["busy"]]
    return sorted(waiting)[: max(0, room)]


def begin_one(session: Session, operation_id: str, vm_id: str) -> None:
    """Begin to stop or move a VM in the course of a drain; `Conflict` when it does something else by now.

    Errors of a move beside that and `Unavailable` are what keeps the VM from ever being moved.

    For a transaction of its own.
    """
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    drain = session.get_one(Operation, operation_id, with_for_update={"read": True}, populate_existing=True)
    if not _goes_on(drain) or vm.host_name != drain.host_name or vm.deleted_at is not None:
        return
    actor = Actor(drain.actor_id, "", "admin", request_id=drain.id)
    asked = DrainRequest(**drain.params)
    if asked.strategy == "move":
        operation = moves.begin(session, actor, vm.id, MoveRequest(stop=True, grace_seconds=asked.grace_seconds))
    else:
        operation = vms.stop(session, actor, vm.id, grace_seconds=asked.grace_seconds, force=False)
    records.write(
        session,
        records.AuditRecord(
            action_type=records.action_of(operation.kind),
            resource_type="vm",
            resource_id=vm.name,
            result=records.ACCEPTED,
            request_id=drain.id,
            user_id=drain.actor_id,
            details={"operation_id": operation.id, "vm_id": vm.id, "host": drain.host_name},
        ),
    )


def stays(session: Session, operation_id: str, vm_id: str, why: CorralError) -> None:
    """Note that a VM can't be moved, where that is what was asked for. For a transaction of its own."""
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.state in LIVE and operation.params["strategy"] == "move":
        error = {"code": why.code, "message": why.message, "retryable": why.retryable, "details": why.details}
        failed = {"outcome": FAILED, "error": error}
        found = [_shown(each) for each in _results(session, operation)]
        operation.result = {"vms": [each | failed if each["vm_id"] == vm_id else each for each in found]}


def advance(session: Session, operation_id: str) -> None:
    """Note what became of each VM, and end the drain if it is over. For a transaction of its own."""
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.state not in LIVE:
        return
    found = _results(session, operation)
    result, progress = {"vms": [_shown(each) for each in found]}, _progress(operation, found)
    changed = (operation.result, operation.progress) != (result, progress)
    operation.result, operation.progress = result, progress
    ending = _ending(operation, found)
    if ending is not None:
        state, failure = ending
        operations.complete(operation, state, failure=failure)
        operation.result = result  # which stays, however it ends
        next_state = SchedulingState.DRAINED if state == OperationState.SUCCEEDED else SchedulingState.CORDONED
        host = hosts.locked(session, operation.host_name)
        scheduling.take(session, host, next_state, by=host.scheduling_by or "", reason=host.scheduling_reason)
    if changed or ending is not None:
        operations.tell(session, None, operation)


def _goes_on(operation: Operation) -> bool:
    return operation.state in LIVE and operation.cancel_requested_at is None and operation.deadline_at > now()


def _ending(operation: Operation, found: list[JSON]) -> tuple[OperationState, Failure | None] | None:
    """How it ends, if it does."""
    left = [each for each in found if each["outcome"] not in _OFF]
    if not left:
        return OperationState.SUCCEEDED, None
    text = f"{len(left)} of {len(found)} VMs of host '{operation.host_name}' are not {_goal(operation)}"
    if operation.cancel_requested_at is not None:
        return OperationState.CANCELLED, Failure("cancelled", f"the drain was cancelled: {text}")
    if all(each["outcome"] == FAILED for each in left):
        return OperationState.FAILED, Failure("not_drained", f"{text}, as they could not be")
    if operation.deadline_at <= now():
        return OperationState.FAILED, Failure("deadline_exceeded", f"{text} at the drain's deadline")
    return None


def _goal(operation: Operation) -> str:
    return "moved" if operation.params["strategy"] == "move" else "off"


def _progress(operation: Operation, found: list[JSON]) -> JSON:
    off = sum(each["outcome"] in _OFF for each in found)
    return {
        "step": f"{off} of {len(found)} VMs are {_goal(operation)}",
        "percent": 100 * off // len(found) if found else 100,
    }


def _results(session: Session, operation: Operation) -> list[JSON]:
    """What became of each VM that is or was there since the drain began, by name; `busy`: something is under way."""
    there = select(Vm).where(Vm.host_name == operation.host_name, Vm.deleted_at.is_(None), Vm.lost_at.is_(None))
    present = list(session.scalars(there.order_by(Vm.name, Vm.id).execution_options(populate_existing=True)))
    ids = [vm.id for vm in present]
    of_them = select(Operation).where(Operation.vm_id.in_(ids)).execution_options(populate_existing=True)
    busy = {each.vm_id: each for each in session.scalars(of_them.where(Operation.state.in_(LIVE)))}
    strategy = operation.params["strategy"]
    own = of_them.where(Operation.request_id == operation.id, Operation.kind.in_(_OWN[strategy]))
    begun = {each.vm_id: each for each in session.scalars(own.order_by(Operation.accepted_at))}  # the last of each
    of = _of_move if strategy == "move" else _of
    found = [of(vm, begun.get(vm.id), busy.get(vm.id)) for vm in present]
    if strategy == "move":
        found = [_noted(operation, each) for each in found]
    return sorted([*found, *_gone(session, operation, ids)], key=lambda each: (each["vm"], each["vm_id"]))


def _of(vm: Vm, stop_: Operation | None, busy: Operation | None) -> JSON:
    told: JSON = {"vm": vm.name, "vm_id": vm.id, "busy": busy is not None, "error": None}
    if busy is not None:
        return told | {"outcome": STOPPING if stop_ is not None and busy.id == stop_.id else WAITING}
    if vm.observed not in _RUNS:
        return told | {"outcome": STOPPED}
    if stop_ is not None and stop_.state == OperationState.FAILED:
        return told | {"outcome": FAILED, "error": stop_.error}
    return told | {"outcome": WAITING}


def _of_move(vm: Vm, move: Operation | None, busy: Operation | None) -> JSON:
    """The same where it is to be moved, whether it runs or not."""
    told: JSON = {"vm": vm.name, "vm_id": vm.id, "busy": busy is not None, "error": None}
    if busy is not None:
        return told | {"outcome": MOVING if move is not None and busy.id == move.id else WAITING}
    if move is not None and move.state in ENDED:
        return told | {"outcome": FAILED, "error": move.error}
    return told | {"outcome": WAITING}


def _noted(operation: Operation, result: JSON) -> JSON:
    """As `stays` has noted it, if it has."""
    known: list[JSON] = (operation.result or {}).get("vms", [])
    for each in known:
        if each["vm_id"] == result["vm_id"] and each["outcome"] == FAILED and result["outcome"] == WAITING:
            return each | {"busy": result["busy"]}
    return result


def _gone(session: Session, operation: Operation, present: Collection[str]) -> list[JSON]:
    gone = [each for each in (operation.result or {}).get("vms", []) if each["vm_id"] not in present]
    elsewhere = select(Vm.id).where(Vm.id.in_([each["vm_id"] for each in gone]), Vm.deleted_at.is_(None))
    moved = set(session.scalars(elsewhere.where(Vm.host_name != operation.host_name))) if gone else set()
    return [
        each | {"outcome": MOVED if each["vm_id"] in moved else DELETED, "error": None, "busy": False} for each in gone
    ]


def _shown(result: JSON) -> JSON:
    return {name: result[name] for name in ("vm", "vm_id", "outcome", "error")}
