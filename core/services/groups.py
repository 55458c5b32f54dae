"""Groups of an owner's VMs: no host has two VMs of a group."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.states import LIVE, Kind
from core.models import Operation, Vm


def hosts_of(session: Session, owner_id: str, group: str | None, *, but: str = "") -> frozenset[str]:
    """The hosts that have one of that group, or are about to; `but` is the VM's id that is not counted."""
    if group is None:
        return frozenset()
    of_group = Vm.placement["apart_from_group"].astext == group
    query = select(Vm.host_name).where(Vm.owner_id == owner_id, Vm.deleted_at.is_(None), Vm.reserved, of_group)
    target = Operation.params["target"].as_string()
    moving = select(target).join(Vm, Vm.id == Operation.vm_id).where(Vm.owner_id == owner_id, of_group)
    moving = moving.where(Operation.kind == Kind.MOVE, Operation.state.in_(LIVE))
    return frozenset([*session.scalars(query.where(Vm.id != but)), *session.scalars(moving.where(Vm.id != but))])
