"""Finding the VM that a caller means. These run in almost every request, so each statement is made once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, bindparam, select, union_all
from sqlalchemy.orm import Session, joinedload, load_only

from core.contract.errors import Conflict, NotFound
from core.contract.states import LIVE, OperationState
from core.models import Host, Operation, Vm
from core.prepared import PREPARED
from core.services.context import Actor

_REF: BindParameter[str] = bindparam("ref")
# Written into the statement: a plan for whatever states there may be could not use the index of the live ones.
_LIVE: BindParameter[list[OperationState]] = bindparam("live", list(LIVE), expanding=True, literal_execute=True)
MOST_SHOWN = 20


class Lookup:
    """A statement on VMs, in both its forms: of the caller's own by name or id, and of one VM by its id alone.

    Whatever it locks is the caller's, or the one VM that is meant: never others that are called the same.
    """

    def __init__(self, statement: Any) -> None:
        present = statement.where(Vm.deleted_at.is_(None)).order_by(Vm.created_at)
        self.own = present.where((Vm.name == _REF) | (Vm.id == _REF), Vm.owner_id == bindparam("user_id"))
        self.by_id = present.where(Vm.id == _REF)


_VM = Lookup(select(Vm))
_LOCKED = Lookup(select(Vm).with_for_update().execution_options(populate_existing=True))
_WITH_HOST = select(Vm, Host).join(Host, Host.name == Vm.host_name).options(joinedload(Vm.forwards))
_PLACED = Lookup(_WITH_HOST)
_TO_CHANGE = Lookup(
    _WITH_HOST.add_columns(Operation)
    .options(load_only(Operation.id, Operation.kind))
    .outerjoin(Operation, (Operation.vm_id == Vm.id) & Operation.state.in_(_LIVE))
    .with_for_update(of=Vm)
    .execution_options(populate_existing=True, **PREPARED)
)
# Two halves, so that each has its index.
_CALLED = union_all(
    select(Vm.id, Vm.owner_id).where(Vm.id == _REF, Vm.deleted_at.is_(None)),
    select(Vm.id, Vm.owner_id)
    .where(Vm.name == _REF, Vm.id != _REF, Vm.deleted_at.is_(None))
    .order_by(Vm.owner_id != bindparam("user_id"), Vm.created_at)
    .limit(MOST_SHOWN),
)


def vm(session: Session, actor: Actor, ref: str, *, lock: bool = False) -> Vm:
    """The VM of that name or id that the caller may see; `NotFound`, and `Conflict` where `one` says so."""
    found: Vm = one(session, _LOCKED if lock else _VM, actor, ref)[0]
    return found


def placed(session: Session, actor: Actor, ref: str) -> tuple[Vm, Host]:
    """The same with its host."""
    found, host = one(session, _PLACED, actor, ref)
    return found, host


def to_change(session: Session, actor: Actor, ref: str) -> tuple[Vm, Host, Operation | None]:
    """The VM, locked, with its host and what was under way on it when this was asked.

    Whoever had the lock before may have ended or begun something since: only the VM itself is as it is now.
    """
    found, host, live = one(session, _TO_CHANGE, actor, ref)
    return found, host, live


def one(session: Session, lookup: Lookup, actor: Actor, ref: str) -> Any:
    """The row, beginning with a VM, that is meant: by its id, else by name the caller's own; `NotFound`.

    An administrator may mean anyone's: by name only if it is one user's, else `Conflict` with the ids to choose from.
    """
    if actor.is_admin:
        parameters, statement = {"ref": _meant(session, actor, ref)}, lookup.by_id
    else:
        parameters, statement = {"ref": ref, "user_id": actor.user_id}, lookup.own
    found = session.execute(statement, parameters).unique().all()
    for row in sorted(found, key=lambda row: row[0].id != ref):
        return row
    raise _not_found(ref)


def _meant(session: Session, actor: Actor, ref: str) -> str:
    """The id of the VM that an administrator means."""
    found = session.execute(_CALLED, {"ref": ref, "user_id": actor.user_id}).all()
    ids = [str(vm_id) for vm_id, _ in found]
    own = [str(vm_id) for vm_id, owner_id in found if owner_id == actor.user_id]
    if not ids:
        raise _not_found(ref)
    if ref in ids:
        return ref
    if own or len(ids) == 1:
        return (own or ids)[0]
    raise Conflict(
        f"VMs of several users are called '{ref}'; use one of the ids {', '.join(ids)}",
        code="ambiguous_name",
        vm_ids=ids,
    )


def _not_found(ref: str) -> NotFound:
    return NotFound(f"VM '{ref}' not found", code="vm_not_found", vm_id=ref)
