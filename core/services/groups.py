"""Groups of an owner's VMs, of which no host is to have two."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models import Vm


def hosts_of(session: Session, owner_id: str, group: str | None, *, but: str = "") -> frozenset[str]:
    """The hosts that have one of that group; `but` is the VM's id that is not counted."""
    if group is None:
        return frozenset()
    of_group = Vm.placement["apart_from_group"].astext == group
    query = select(Vm.host_name).where(Vm.owner_id == owner_id, Vm.deleted_at.is_(None), Vm.reserved, of_group)
    return frozenset(session.scalars(query.where(Vm.id != but)))
