"""Finding the VM that a caller means. These run in almost every request, so each statement is made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session, joinedload, load_only

from core.contract.errors import NotFound
from core.contract.states import LIVE, OperationState
from core.models import Host, Operation, Vm
from core.models.base import JSON
from core.prepared import PREPARED
from core.services.context import Actor

_REF: BindParameter[str] = bindparam("ref")
# Written into the statement: a plan for whatever states there may be could not use the index of the live ones.
_LIVE: BindParameter[list[OperationState]] = bindparam("live", list(LIVE), expanding=True, literal_execute=True)
NAMED = (
    (Vm.name == _REF) | (Vm.id == _REF),
    Vm.deleted_at.is_(None),
    bindparam("sees_all") | (Vm.owner_id == bindparam("user_id")),
)
"""The conditions for VMs that are called so and that the caller may see, for the parameters that `asked` gives."""

_VM = select(Vm).where(*NAMED).order_by(Vm.created_at)
_LOCKED = _VM.with_for_update().execution_options(populate_existing=True)
_PLACED = (
    select(Vm, Host)
    .join(Host, Host.name == Vm.host_name)
    .where(*NAMED)
    .order_by(Vm.created_at)
    .options(joinedload(Vm.forwards))
)
_TO_CHANGE = (
    _PLACED.add_columns(Operation)
    .options(load_only(Operation.id, Operation.kind))
    .outerjoin(Operation, (Operation.vm_id == Vm.id) & Operation.state.in_(_LIVE))
    .with_for_update(of=Vm)
    .execution_options(populate_existing=True, **PREPARED)
)


def asked(actor: Actor, ref: str) -> JSON:
    """The parameters of `NAMED`."""
    return {"ref": ref, "user_id": actor.user_id, "sees_all": actor.is_admin}


def vm(session: Session, actor: Actor, ref: str, *, lock: bool = False) -> Vm:
    """The VM of that name or id that the caller may see; `NotFound`."""
    found: Vm = _one(session, _LOCKED if lock else _VM, actor, ref)[0]
    return found


def placed(session: Session, actor: Actor, ref: str) -> tuple[Vm, Host]:
    """The same with its host."""
    found, host = _one(session, _PLACED, actor, ref)
    return found, host


def to_change(session: Session, actor: Actor, ref: str) -> tuple[Vm, Host, Operation | None]:
    """The VM, locked, with its host and what was under way on it when this was asked.

    Whoever had the lock before may have ended or begun something since: only the VM itself is as it is now.
    """
    found, host, live = _one(session, _TO_CHANGE, actor, ref)
    return found, host, live


def pick(found: Sequence[Any], actor: Actor, ref: str) -> Any:
    """The row, beginning with a VM, that is meant: by its id, then the caller's own, then the oldest; `NotFound`."""
    mine = [row for row in found if row[0].owner_id == actor.user_id]
    exact = [row for row in found if row[0].id == ref]
    for row in (*exact, *mine, *found):
        return row
    raise NotFound(f"VM '{ref}' not found", code="vm_not_found", vm_id=ref)


def _one(session: Session, statement: Any, actor: Actor, ref: str) -> Any:
    return pick(session.execute(statement, asked(actor, ref)).unique().all(), actor, ref)
