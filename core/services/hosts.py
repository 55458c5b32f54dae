"""Hosts: what they offer, what is reserved there, and whether they are online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, type_coerce, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from core.contract.errors import NoCapacity, NotFound
from core.database import violates
from core.labels import Term
from core.models import Host, Vm
from core.placement import Room, lacking
from core.prepared import PREPARED
from core.services import events, groups
from core.services import labels as labelled
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced

ONLINE, OFFLINE = STATUSES = ("online", "offline")
ROOM = ("vcpus", "memory_mb", "disk_gb")
OVERCOMMIT = (0.1, 64.0)  # between which an administrator may choose
ORDERING = Ordering(
    {
        "name": Host.name,
        "first_seen_at": Host.first_seen_at,
        "last_seen_at": Host.last_seen_at,
        "free_vcpus": Host.vcpus - Host.reserved_vcpus,
        "free_memory_mb": Host.memory_mb - Host.reserved_memory_mb,
        "free_disk_gb": Host.disk_gb - Host.reserved_disk_gb,
    },
    key=Host.name,
    by="name",
)


@dataclass(frozen=True)
class HostFilter(Slice):
    """The filter of a list of hosts: online or offline, in a scheduling state, with labels."""

    status: str | None = None
    scheduling: str | None = None
    label: Sequence[Term] = ()


def all_of(session: Session) -> list[Host]:
    """All hosts, by name, but those that were given up."""
    return list(session.scalars(select(Host).where(Host.removed_at.is_(None)).order_by(Host.name)))


def status_of(host: Host) -> str:
    """Whether a host is online or offline."""
    return ONLINE if host.offline_since is None else OFFLINE


def list_of(session: Session, actor: Actor, wanted: HostFilter) -> tuple[list[Host], int]:
    """A page of the hosts, by name, and how many match.

    Who may log in may see them: a VM's placement is no secret of another's.
    """
    offline = Host.offline_since.is_not(None)
    conditions: list[ColumnElement[bool]] = [Host.removed_at.is_(None), *labelled.condition(wanted.label)]
    if wanted.status is not None:
        conditions.append(offline if wanted.status == OFFLINE else ~offline)
    if wanted.scheduling is not None:
        conditions.append(Host.scheduling_state == wanted.scheduling)
    total = session.scalar(select(func.count()).select_from(Host).where(*conditions)) or 0
    found = select(Host).where(*conditions).options(selectinload(Host.identity))
    return list(session.scalars(sliced(found, ORDERING, wanted))), total


def get(session: Session, actor: Actor, name: str) -> Host:
    """One host; `NotFound`."""
    host = session.get(Host, name)
    if host is None or host.removed_at is not None:
        raise NotFound(f"host '{name}' not found")
    return host


def locked(session: Session, name: str) -> Host:
    """One host, locked and as it is now; `NotFound`."""
    host = session.get(Host, name, with_for_update=True, populate_existing=True)
    if host is None or host.removed_at is not None:
        raise NotFound(f"host '{name}' not found")
    return host


def change(
    session: Session, actor: Actor, name: str, *, labels: Mapping[str, str | None], overcommit: Mapping[str, float]
) -> Host:
    """Change a host's labels, and how often what its agent offers is promised: by any of `ROOM`. The rest stays.

    What is promised already stays so too, were it more than there is room for by now.
    """
    actor.must_administer()
    host = locked(session, name)
    told: dict[str, object] = {"labels": host.labels} if labelled.change(host, labels) else {}
    for what, ratio in overcommit.items():
        if getattr(host, f"overcommit_{what}") != ratio:
            setattr(host, f"overcommit_{what}", ratio)
            told["overcommit"] = {each: getattr(host, f"overcommit_{each}") for each in ROOM}
    if told:
        session.flush()
        events.of_host(session, "host_changed", name, {"host": name, **told})
    return host


def free(host: Host) -> Room:
    """What is left of its capacity; less than nothing where it has promised more than it has by now."""
    return Room(
        host.vcpus - host.reserved_vcpus, host.memory_mb - host.reserved_memory_mb, host.disk_gb - host.reserved_disk_gb
    )


def take_whole(session: Session, host: str, name: str, size: Room) -> None:
    """Count a VM that is there already, and of no record so far, on its host: `NoCapacity` without room for it."""
    if not take(session, host, size):
        short = lacking(free(session.get_one(Host, host)), size)
        raise NoCapacity(
            f"host '{host}' has no room for VM '{name}' with {size.vcpus} vCPUs, {size.memory_mb} MB memory and"
            f" {size.disk_gb} GB disk",
            rejected=[{"host": host, "reason": "; ".join(each.message for each in short)}],
        )


def image_size_gb(session: Session, image: str, host: str | None) -> int:
    """The least size of a disk for a VM of that image on that host, or on any; 0 if none tells."""
    size = type_coerce(Host.facts, JSONB)["image_sizes_gb"][image].as_integer()
    least = select(func.min(size))
    return session.scalar(least.where(Host.name == host) if host is not None else least) or 0


def image_digest(session: Session, host: str, image: str) -> str | None:
    """Which version of that image the host has of its own, as far as it has told."""
    digest = type_coerce(Host.facts, JSONB)["image_digests"][image].as_string()
    return session.scalar(select(digest).where(Host.name == host))


def take_more(session: Session, vm: Vm, *, vcpus: int, memory_mb: int) -> None:
    """Count a VM on its host with that size if it is the larger one, at once or not at all: `NoCapacity`.

    A VM holds the larger of what it has and what it is to have until `recount` is called, so that nothing is given away
    that it may come back to.
    """
    if not vm.reserved:
        return
    more_vcpus, more_memory = max(0, vcpus - _held_vcpus(vm)), max(0, memory_mb - _held_memory_mb(vm))
    if not _move(session, vm, more_vcpus, more_memory, within=True):
        free = session.execute(
            select(Host.vcpus - Host.reserved_vcpus, Host.memory_mb - Host.reserved_memory_mb).where(
                Host.name == vm.host_name
            )
        ).one()
        reason = f"{more_vcpus} vCPUs and {more_memory} MB more wanted, {max(0, free[0])} and {max(0, free[1])} left"
        raise NoCapacity(
            f"host '{vm.host_name}' of VM '{vm.name}' would have no room for it with {vcpus} vCPUs and"
            f" {memory_mb} MB memory",
            rejected=[{"host": vm.host_name, "reason": reason}],
        )


def recount(session: Session, vm: Vm) -> None:
    """Count a VM on its host with what it needs now that nothing is under way: what it has or is to have."""
    if vm.reserved:
        vcpus, memory_mb = max(vm.vcpus, vm.current_vcpus), max(vm.memory_mb, vm.current_memory_mb)
        _move(session, vm, vcpus - _held_vcpus(vm), memory_mb - _held_memory_mb(vm), within=False)


def give_back(session: Session, name: str, size: Room) -> None:
    """Count that much less on a host: of a VM that does not come after all."""
    session.execute(
        update(Host)
        .where(Host.name == name)
        .values(
            reserved_vcpus=Host.reserved_vcpus - size.vcpus,
            reserved_memory_mb=Host.reserved_memory_mb - size.memory_mb,
            reserved_disk_gb=Host.reserved_disk_gb - size.disk_gb,
        )
        .execution_options(synchronize_session=False)
    )


def release(session: Session, vm: Vm) -> None:
    """Give back what a VM had reserved, once."""
    if not vm.reserved:
        return
    vm.reserved = False
    session.execute(
        update(Host)
        .where(Host.name == vm.host_name)
        .values(
            reserved_vcpus=Host.reserved_vcpus - _held_vcpus(vm),
            reserved_memory_mb=Host.reserved_memory_mb - _held_memory_mb(vm),
            reserved_disk_gb=Host.reserved_disk_gb - vm.disk_gb,
        )
        .execution_options(synchronize_session=False, **PREPARED)
    )


def _move(session: Session, vm: Vm, vcpus: int, memory_mb: int, *, within: bool) -> bool:
    """Change what is counted for a VM; with `within`, False unless its host has room for what is more."""
    if not vcpus and not memory_mb:
        return True
    conditions = [Host.name == vm.host_name]
    if within and vcpus > 0:
        conditions.append(Host.reserved_vcpus + vcpus <= Host.vcpus)
    if within and memory_mb > 0:
        conditions.append(Host.reserved_memory_mb + memory_mb <= Host.memory_mb)
    moved = session.scalar(
        update(Host)
        .where(*conditions)
        .values(reserved_vcpus=Host.reserved_vcpus + vcpus, reserved_memory_mb=Host.reserved_memory_mb + memory_mb)
        .returning(Host.name)
        .execution_options(synchronize_session=False)
    )
    if moved is not None:
        vm.held_vcpus, vm.held_memory_mb = _held_vcpus(vm) + vcpus, _held_memory_mb(vm) + memory_mb
    return moved is not None


def _held_vcpus(vm: Vm) -> int:
    return vm.vcpus if vm.held_vcpus is None else vm.held_vcpus


def _held_memory_mb(vm: Vm) -> int:
    return vm.memory_mb if vm.held_memory_mb is None else vm.held_memory_mb


def count_again(session: Session, vm: Vm) -> bool:
    """Whether a VM that was given up is counted on its host again: there is room, its address is still free, and no
    other of its group is there by now."""
    session.flush()
    size = {"vcpus": vm.vcpus, "memory_mb": vm.memory_mb}
    counted = {"reserved": True, **{f"held_{name}": value for name, value in size.items()}}
    try:
        with session.begin_nested() as savepoint:
            session.execute(_of(vm).values(**counted))
            taken = take(session, vm.host_name, Room(vm.vcpus, vm.memory_mb, vm.disk_gb))
            others = groups.hosts_of(session, vm.owner_id, vm.placement.apart_from_group, but=vm.id)
            taken = taken and vm.host_name not in others
            if not taken:
                savepoint.rollback()
    except IntegrityError as error:
        if violates(error, "uq_vms_host_name_address"):
            return False
        raise
    if taken:
        for name, value in counted.items():
            set_committed_value(vm, name, value)
    return taken


def _of(vm: Vm) -> Any:
    return update(Vm).where(Vm.id == vm.id).execution_options(synchronize_session=False)


def take(session: Session, name: str, size: Room, *conditions: ColumnElement[bool], wait: bool = True) -> bool:
    """Count that much on a host, whose row is locked from then on: True if there is room, and the conditions hold.

    Without `wait` also False while another has the row locked.
    """
    if not wait:
        free = select(Host.name).where(Host.name == name).with_for_update(skip_locked=True)
        conditions = (*conditions, Host.name == free.scalar_subquery())
    taken = session.scalar(
        update(Host)
        .where(
            Host.name == name,
            *conditions,
            Host.reserved_vcpus + size.vcpus <= Host.vcpus,
            Host.reserved_memory_mb + size.memory_mb <= Host.memory_mb,
            Host.reserved_disk_gb + size.disk_gb <= Host.disk_gb,
        )
        .values(
            reserved_vcpus=Host.reserved_vcpus + size.vcpus,
            reserved_memory_mb=Host.reserved_memory_mb + size.memory_mb,
            reserved_disk_gb=Host.reserved_disk_gb + size.disk_gb,
        )
        .returning(Host.name)
        .execution_options(synchronize_session=False, **PREPARED)
    )
    return taken is not None
