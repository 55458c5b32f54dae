"""Reading VMs: one with its status, or a page of many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, tuple_
from sqlalchemy.orm import Session

from core.contract.states import LIVE, VmStatus
from core.contract.vms import VmUsage
from core.models import Host, Operation, Vm
from core.services import counts, lookup, usage
from core.services.accepted import AnyOperation
from core.services.context import Actor
from core.services.paging import Ordering, Slice, ordered, sliced, sliced_from_the_end
from core.services.status import status_column

_STATUS = status_column()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RARE = 50  # of so many VMs one: they are looked for where they are, and not along the whole list
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
class VmWithStatus:
    """A VM with its computed status; `usage` as its host told it last, where it was asked for and is known."""

    vm: Vm
    status: VmStatus
    host: Host
    live: AnyOperation | None
    usage: VmUsage | None = None


@dataclass(frozen=True)
class VmFilter(Slice):
    """The filter of a list of VMs: of some statuses (none: any), of one OS type, on one host."""

    statuses: tuple[str, ...] = ()
    os_type: str | None = None
    host: str | None = None


def view(session: Session, actor: Actor, ref: str) -> VmWithStatus:
    """One VM by name or id, with what it uses; `NotFound` as `lookup.vm` says."""
    found = _view(lookup.one(session, _NAMED, actor, ref))
    return replace(found, usage=usage.of_vm(session, found.vm))


def page(session: Session, actor: Actor, wanted: VmFilter) -> tuple[list[VmWithStatus], int]:
    """A page of the VMs that the caller may see, and how many match in all."""
    conditions: list[ColumnElement[bool]] = [Vm.deleted_at.is_(None)]
    if wanted.host is not None:
        conditions.append(Vm.host_name == wanted.host)
    if wanted.statuses:
        conditions.append(_STATUS.in_(wanted.statuses))
    if actor.is_admin and wanted.os_type is None:
        return _of_all(session, conditions, wanted)
    if not actor.is_admin:
        conditions.append(Vm.owner_id == actor.user_id)
    if wanted.os_type is not None:
        conditions.append(Vm.os_type == wanted.os_type)
    counted = select(func.count()).select_from(Vm)
    total = session.scalar((joined(counted) if wanted.statuses else counted).where(*conditions)) or 0
    return _shown(session, sliced(_query().where(*conditions), ORDERING, wanted)), total


def after(session: Session, actor: Actor, cursor: str | None, limit: int) -> tuple[list[VmWithStatus], str | None]:
    """The next VMs that the caller may see, oldest first, and the cursor behind them; None at the end.

    Each page is found by an index, however far it is; none that is made or deleted meanwhile moves another.
    """
    query = _query().where(Vm.deleted_at.is_(None)).order_by(Vm.created_at, Vm.id).limit(limit)
    if not actor.is_admin:
        query = query.where(Vm.owner_id == actor.user_id)
    if cursor is not None:
        microseconds, id_ = cursor.split(".", 1)
        created_at = _EPOCH + timedelta(microseconds=int(microseconds))
        query = query.where(tuple_(Vm.created_at, Vm.id) > tuple_(created_at, id_))
    found = _shown(session, query)
    return found, _cursor(found[-1].vm) if len(found) == limit else None


def _cursor(vm: Vm) -> str:
    return f"{(vm.created_at - _EPOCH) // timedelta(microseconds=1)}.{vm.id}"


def _of_all(
    session: Session, conditions: list[ColumnElement[bool]], wanted: VmFilter
) -> tuple[list[VmWithStatus], int]:
    """Of everybody's VMs, which are too many to be counted, or passed over, one by one."""
    there = counts.count(session, wanted.host)
    if wanted.statuses:
        total = sum(there.by_status.get(status, 0) for status in wanted.statuses)
        if total * _RARE < there.total:
            conditions.append(counts.where(session, wanted.statuses))
        return _shown(session, sliced(_query().where(*conditions), ORDERING, wanted)), total
    if wanted.sort == "status":
        return _shown(session, sliced(_query().where(*conditions), ORDERING, wanted)), there.total
    ids = select(Vm.id).where(*conditions)
    page = _query().order_by(*ordered(ORDERING, wanted))
    if wanted.offset > there.total // 2:
        found = page.where(Vm.id.in_(sliced_from_the_end(ids, ORDERING, wanted, there.total)))
        rows = session.execute(found.add_columns(counts.total(wanted.host))).all()
        if rows and rows[0][-1] == there.total:  # else one was made or deleted just now
            return [_view(row[:-1]) for row in rows], there.total
    return _shown(session, page.where(Vm.id.in_(sliced(ids, ORDERING, wanted)))), there.total


def _shown(session: Session, query: Select[Any]) -> list[VmWithStatus]:
    return [_view(row) for row in session.execute(query)]


def joined(query: Any) -> Any:
    """A query of VMs with what `status_column` needs: their hosts, and the operations under way."""
    live = and_(Operation.vm_id == Vm.id, Operation.state.in_(LIVE))
    return query.join(Host, Host.name == Vm.host_name).outerjoin(Operation, live)


def _query() -> Select[Any]:
    query: Select[Any] = joined(select(Vm, _STATUS, Host, Operation).select_from(Vm))
    return query


def _view(row: Any) -> VmWithStatus:
    vm, word, host, live = row
    return VmWithStatus(vm, VmStatus(word), host, live)


_NAMED = lookup.Lookup(_query())
