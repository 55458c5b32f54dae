"""The fleet, or one host of it, in numbers: what its machines use, and what its VMs were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.contract.hosts import HostUsage
from core.contract.states import Status
from core.models import Host, Vm
from core.services import hosts, usage
from core.services.context import Actor
from core.services.listing import joined
from core.services.status import status_column


@dataclass(frozen=True)
class Machines:
    """What machines have and use, in all. Agents on one machine, or one file system, are counted once."""

    cpu_percent: float
    cpu_cores: int
    memory_total_mb: int
    memory_used_mb: int
    disk_total_mb: int
    disk_used_mb: int


@dataclass(frozen=True)
class Vms:
    """How many VMs there are, and what they were given; `unknown`: on hosts that are silent."""

    total: int
    running: int
    unknown: int
    vcpus: int
    memory_mb: int


@dataclass(frozen=True)
class Told:
    """A host, and what its machine uses; None when it is silent or has not said so lately."""

    host: Host
    usage: HostUsage | None


@dataclass(frozen=True)
class Fleet:
    """`machines` is None while no host has told."""

    machines: Machines | None
    vms: Vms
    hosts: list[Told]


def measure(session: Session, actor: Actor, host_name: str | None = None) -> Fleet:
    """The whole fleet, or one host; `NotFound`. Nothing is asked of any host."""
    chosen = hosts.all_of(session) if host_name is None else [hosts.get(session, actor, host_name)]
    known = usage.of_machines(session)
    told = [Told(host, None if host.silent_since else known.get(host.name)) for host in chosen]
    return Fleet(_machines([each.usage for each in told if each.usage]), count(session, host_name), told)


def count(session: Session, host_name: str | None = None) -> Vms:
    """The VMs of the fleet, or of one host."""
    word = status_column()
    of: list[ColumnElement[bool]] = [Vm.deleted_at.is_(None)]
    if host_name is not None:
        of.append(Vm.host_name == host_name)
    query = joined(
        select(
            func.count(),
            func.count().filter(word == Status.RUNNING.value),
            func.count().filter(word == Status.UNKNOWN.value),
            func.coalesce(func.sum(Vm.vcpus).filter(Vm.reserved), 0),
            func.coalesce(func.sum(Vm.memory_mb).filter(Vm.reserved), 0),
        ).select_from(Vm)
    )
    return Vms(*session.execute(query.where(*of)).one())


def versions(known: Sequence[Host]) -> dict[str, str]:
    """The versions of each hypervisor on those hosts that are online."""
    told: dict[str, set[str]] = {}
    for host in known:
        for driver in host.drivers if host.silent_since is None else []:
            told.setdefault(driver["name"], set()).add(driver["version"])
    return {name: ", ".join(sorted(filter(None, found))) or "unknown" for name, found in told.items()}


def _machines(told: list[HostUsage]) -> Machines | None:
    machines = {each.machine: each for each in told}.values()
    disks = {each.disk: each for each in told}.values()
    cores = sum(each.cpu_cores for each in machines)
    if not cores:
        return None
    busy = sum(each.cpu_percent * each.cpu_cores for each in machines)
    return Machines(
        cpu_percent=round(busy / cores, 2),
        cpu_cores=cores,
        memory_total_mb=sum(each.memory_total_mb for each in machines),
        memory_used_mb=sum(each.memory_used_mb for each in machines),
        disk_total_mb=sum(each.disk_total_mb for each in disks),
        disk_used_mb=sum(each.disk_used_mb for each in disks),
    )
