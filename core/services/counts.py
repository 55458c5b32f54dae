"""Counts of VMs by status, without reading the VMs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal, null, select, text
from sqlalchemy.orm import Session

from core.contract.states import LIVE, UNDER_WAY, VmStatus
from core.models import VM_COUNTS, Host, Operation, Vm

_C = VM_COUNTS.c
_OWN = (VmStatus.DELETING, VmStatus.LOST)  # said even while the host is offline
_GATHER = text("""
WITH many AS (SELECT host_name, status FROM vm_counts GROUP BY host_name, status HAVING count(*) > 1),
gone AS (
    DELETE FROM vm_counts USING many
    WHERE vm_counts.host_name = many.host_name AND vm_counts.status = many.status RETURNING vm_counts.*
)
INSERT INTO vm_counts
SELECT host_name, status, sum(vms), sum(vcpus), sum(memory_mb) FROM gone GROUP BY host_name, status
HAVING sum(vms) <> 0 OR sum(vcpus) <> 0 OR sum(memory_mb) <> 0
""")


@dataclass(frozen=True)
class Counts:
    """VMs by status, and what those on hosts were given."""

    by_status: dict[str, int]
    vcpus: int
    memory_mb: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_status.values())


def own_status() -> ColumnElement[str]:
    """The status of a VM as if its host were online and nothing under way, as the database's triggers count it."""
    return func.vm_status(Vm.wanted, Vm.lost_at, Vm.observed, Vm.started_at, type_=Text)


def count(session: Session, host_name: str | None = None) -> Counts:
    """Of the fleet, or of one host: all at one moment."""
    offline = Host.offline_since.is_not(None).label("offline")
    sums = [func.sum(_C.vms), func.sum(_C.vcpus), func.sum(_C.memory_mb)]
    at_rest = select(cast(null(), Text).label("kind"), _C.status, offline, *sums).join(Host, Host.name == _C.host_name)
    zero = literal(0)
    live = (
        select(Operation.kind, own_status().label("status"), offline, func.count(), zero, zero)
        .select_from(Operation)
        .join(Vm, Vm.id == Operation.vm_id)
        .join(Host, Host.name == Vm.host_name)
        .where(Operation.state.in_(LIVE), Operation.kind.in_(list(UNDER_WAY)), Vm.deleted_at.is_(None))
    )
    if host_name is not None:
        at_rest, live = at_rest.where(_C.host_name == host_name), live.where(Vm.host_name == host_name)
    both = at_rest.group_by(_C.status, offline).union_all(live.group_by(Operation.kind, own_status(), offline))
    return _added_up(session.execute(both).all())


def total(host_name: str | None = None) -> Any:
    """SQL for how many there are, for a statement that depends on it."""
    query = select(func.coalesce(func.sum(_C.vms), 0))
    return (query if host_name is None else query.where(_C.host_name == host_name)).scalar_subquery()


def where(session: Session, statuses: Collection[str]) -> ColumnElement[bool]:
    """Where VMs of those statuses are: the hosts that have some, and the VMs with something under way called so."""
    rests = select(_C.host_name).where(_C.status.in_(statuses)).group_by(_C.host_name).having(func.sum(_C.vms) > 0)
    hosts = set(session.scalars(rests))
    if VmStatus.UNKNOWN in statuses:
        hosts |= set(session.scalars(select(Host.name).where(Host.offline_since.is_not(None))))
    kinds = [kind for kind, word in UNDER_WAY.items() if word in statuses]
    live = select(Operation.vm_id).where(Operation.state.in_(LIVE), Operation.kind.in_(kinds))
    return Vm.host_name.in_(sorted(hosts)) | Vm.id.in_(list(session.scalars(live)))


def _added_up(rows: Any) -> Counts:
    found, vcpus, memory_mb = Counter[str](), 0, 0
    for kind, own, offline, vms, of_vcpus, of_memory in rows:
        word = own if own in _OWN or not offline else VmStatus.UNKNOWN
        found[word] += vms if kind is None else -vms
        if kind is not None:
            found[UNDER_WAY[kind]] += vms
        vcpus, memory_mb = vcpus + int(of_vcpus), memory_mb + int(of_memory)
    return Counts({word: vms for word, vms in found.items() if vms}, vcpus, memory_mb)


def gather(session: Session) -> None:
    """Add up the rows that changes have left: one for each host and status remains."""
    session.execute(_GATHER)
