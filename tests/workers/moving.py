"""VMs that move between two hosts which the test speaks for."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from core.contract.messages import Command, encode
from core.contract.moves import MovedFile
from core.contract.results import MoveTold
from core.contract.states import Observed
from core.models import Operation
from core.services import moves, operations
from core.services.accepted import Accepted
from core.services.moves import MoveRequest
from tests.workers.rig import Rig

FILE = MovedFile("layers/x", 10, "a" * 64, [(0, 10)])


def begin(rig: Rig, ref: str, **wanted: Any) -> Accepted:
    with rig.workers.context.transaction() as session:
        return moves.begin(session, rig.actor, ref, MoveRequest(**wanted))


def again(rig: Rig, operation: Accepted) -> Accepted:
    """The operation as it is now."""
    with rig.workers.context.transaction() as session:
        return Accepted.of(session.get_one(Operation, operation.id))


def told(*files: MovedFile) -> Any:
    return Raw(encode(MoveTold(files=list(files) or None)).encode())


def handed_over(rig: Rig, ref: str, **wanted: Any) -> Accepted:
    """A move that its target is at."""
    move = begin(rig, ref, **wanted)
    rig.send(rig.workers.report(move, "succeeded", Observed.STOPPED, result=told(FILE)))
    return again(rig, move)


def cancel(rig: Rig, operation: Accepted) -> None:
    with rig.workers.context.transaction() as session:
        operations.cancel(session, rig.actor, operation.id)


def error(rig: Rig, operation: Accepted) -> str:
    return str((again(rig, operation).error or {}).get("code"))


def removed(rig: Rig, purge: Command, vm_id: str) -> None:
    """The host tells that it has done so."""
    like = Accepted(**{**vars(live_like(rig, vm_id)), "id": purge.operation_id, "host_name": rig.host})
    rig.send(rig.workers.report(like, "succeeded", Observed.ABSENT))


def live_like(rig: Rig, vm_id: str) -> Accepted:
    query = "SELECT id FROM operations WHERE vm_id = :id LIMIT 1"
    with rig.workers.context.transaction() as session:
        return Accepted.of(session.get_one(Operation, rig.workers.scalar(query, id=vm_id)))
