"""Reading VMs: one with its status, or a page of many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session

from core.contract.states import LIVE, Status
from core.contract.vms import VmUsage
from core.models import Host, Operation, Vm
from core.services import lookup, usage
from core.services.accepted import AnyOperation
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced
from core.services.status import status_column

_STATUS = status_column()
ORDERING = Ordering(
    {
        "created_at": Vm.created_at,
        "name": Vm.name,
        "memory_mb": func.coalesce(Vm.running_memory_mb, Vm.memory_mb),
        "vcpus": func.coalesce(Vm.running_vcpus, Vm.vcpus),
        "os_type": Vm.os_type,
        "status": _STATUS,
    },
    key=Vm.id,
    by="created_at",
)


@dataclass(frozen=True)
class VmView:
    """A VM with its computed status; `usage` as its host told it last, where it was asked for and is known."""

    vm: Vm
    status: Status
    host: Host
    live: AnyOperation | None
    usage: VmUsage | None = None


@dataclass(frozen=True)
class Page(Slice):
    """Which VMs: of some statuses (none: any), of one OS type, on one host."""

    statuses: tuple[str, ...] = ()
    os_type: str | None = None
    host: str | None = None


def view(session: Session, actor: Actor, ref: str) -> VmView:
    """One VM by name or id, with what it uses; `NotFound` as `lookup.vm` says."""
    found = _view(lookup.one(session, _NAMED, actor, ref))
    return replace(found, usage=usage.of_vm(session, found.vm))


def page(session: Session, actor: Actor, wanted: Page) -> tuple[list[VmView], int]:
    """A page of the VMs that the caller may see, and how many match in all."""
    conditions: list[ColumnElement[bool]] = [Vm.deleted_at.is_(None)]
    if not actor.is_admin:
        conditions.append(Vm.owner_id == actor.user_id)
    if wanted.os_type is not None:
        conditions.append(Vm.os_type == wanted.os_type)
    if wanted.host is not None:
        conditions.append(Vm.host_name == wanted.host)
    counted = select(func.count()).select_from(Vm)
    if wanted.statuses:
        conditions.append(_STATUS.in_(wanted.statuses))
        counted = joined(counted)
    total = session.scalar(counted.where(*conditions)) or 0
    query = sliced(_query().where(*conditions), ORDERING, wanted)
    return [_view(row) for row in session.execute(query)], total


def joined(query: Any) -> Any:
    """A query of VMs with what `status_column` needs: their hosts, and the operations under way."""
    live = and_(Operation.vm_id == Vm.id, Operation.state.in_(LIVE))
    return query.join(Host, Host.name == Vm.host_name).outerjoin(Operation, live)


def _query() -> Select[Any]:
    query: Select[Any] = joined(select(Vm, _STATUS, Host, Operation).select_from(Vm))
    return query


def _view(row: Any) -> VmView:
    vm, word, host, live = row
    return VmView(vm, Status(word), host, live)


_NAMED = lookup.Lookup(_query())
