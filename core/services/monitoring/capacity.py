"""The capacity and usage of the fleet, or of one host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, column, func, select, true, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from core.contract.hosts import HostFacts, HostUsage
from core.models import Host
from core.services import hosts, sizes, usage
from core.services.context import Actor


@dataclass(frozen=True)
class MachineTotals:
    """The capacity and usage of all machines. Agents on one machine, or one file system, are counted once."""

    cpu_percent: float
    cpu_cores: int
    memory_total_mb: int
    memory_used_mb: int
    disk_total_mb: int
    disk_used_mb: int


@dataclass(frozen=True)
class HostLoad:
    """A host, and what its machine uses; None while it is offline, or has sent no figures lately."""

    name: str
    online: bool
    last_seen_at: datetime
    usage: HostUsage | None


@dataclass(frozen=True)
class FleetCapacity:
    """The capacity of the fleet; `machines` is None while no host has reported."""

    machines: MachineTotals | None
    hosts: list[HostLoad]


@dataclass(frozen=True)
class OfferTotals:
    """The offers of all hosts, in sum and at most; `smallest`: how many of the smallest VMs they have room for."""

    oses: tuple[str, ...]
    vcpus: int
    memory_mb: int
    most_vcpus: int
    most_memory_mb: int
    smallest: int


def measure(session: Session, actor: Actor, host_name: str | None = None) -> FleetCapacity:
    """The whole fleet, or one host; `NotFound`. Nothing is asked of any host."""
    chosen = _chosen(session, actor, host_name)
    query = select(Host.name, Host.offline_since.is_(None), Host.last_seen_at).where(*chosen).order_by(Host.name)
    rows = session.execute(query).all()
    known = usage.of_machines(session, [name for name, online, _ in rows if online])
    told = [HostLoad(*row, known.get(row.name)) for row in rows]
    return FleetCapacity(_machines([each.usage for each in told if each.usage]), told)


def machines(session: Session, actor: Actor, host_name: str | None = None) -> MachineTotals | None:
    """What the machines of the whole fleet, or of one host, have and use."""
    online = select(Host.name).where(*_chosen(session, actor, host_name), Host.offline_since.is_(None))
    return _machines(list(usage.of_machines(session, session.scalars(online).all()).values()))


def offer(session: Session, actor: Actor, host_name: str | None = None) -> OfferTotals:
    """What the whole fleet, or one host, is and offers; `NotFound`."""
    least = func.least(Host.vcpus, Host.memory_mb / sizes.MEMORY_MB[0], Host.disk_gb)
    os = func.coalesce(type_coerce(Host.facts, JSONB)["os"].as_string(), HostFacts().os)
    columns = (
        func.array_agg(os.distinct()),
        func.sum(Host.vcpus),
        func.sum(Host.memory_mb),
        func.max(Host.vcpus),
        func.max(Host.memory_mb),
        func.sum(least),
    )
    oses, *numbers = session.execute(select(*columns).where(*_chosen(session, actor, host_name))).one()
    return OfferTotals(tuple(sorted(oses or ())), *(int(number or 0) for number in numbers))


def heard(session: Session) -> tuple[int, int]:
    """How many hosts there are, and how many of them are offline."""
    found = select(func.count(), func.count(Host.offline_since)).where(Host.removed_at.is_(None))
    total, offline = session.execute(found).one()
    return total, offline


def versions(session: Session, host_name: str | None = None) -> dict[str, str]:
    """The versions of each hypervisor on the hosts that are online, or on one of them."""
    driver = func.jsonb_array_elements(Host.drivers).table_valued(column("value", JSONB)).render_derived()
    of = (
        Host.removed_at.is_(None),
        Host.offline_since.is_(None),
        *([] if host_name is None else [Host.name == host_name]),
    )
    name, version = (driver.c.value[key].as_string() for key in ("name", "version"))
    told: dict[str, set[str]] = {}
    for each, known in session.execute(
        select(name, version).select_from(Host).join(driver, true()).where(*of).distinct()
    ):
        told.setdefault(each, set()).add(known)
    return {each: ", ".join(sorted(filter(None, known))) or "unknown" for each, known in sorted(told.items())}


def _chosen(session: Session, actor: Actor, host_name: str | None) -> tuple[ColumnElement[bool], ...]:
    if host_name is None:
        return (Host.removed_at.is_(None),)
    return (Host.name == hosts.get(session, actor, host_name).name,)


def _machines(told: list[HostUsage]) -> MachineTotals | None:
    machines = {each.machine: each for each in told}.values()
    disks = {each.disk: each for each in told}.values()
    cores = sum(each.cpu_cores for each in machines)
    if not cores:
        return None
    busy = sum(each.cpu_percent * each.cpu_cores for each in machines)
    return MachineTotals(
        cpu_percent=round(busy / cores, 2),
        cpu_cores=cores,
        memory_total_mb=sum(each.memory_total_mb for each in machines),
        memory_used_mb=sum(each.memory_used_mb for each in machines),
        disk_total_mb=sum(each.disk_total_mb for each in disks),
        disk_used_mb=sum(each.disk_used_mb for each in disks),
    )
