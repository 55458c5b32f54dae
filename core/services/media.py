"""Media of users: reserved, reported by their hosts, listed, and removed.

A host's word is what counts: a row is there before only to hold the room of a disk that is to be made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from msgspec import structs
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract import hosts as contract
from core.contract.commands import DiskAttach
from core.contract.errors import Conflict, NoCapacity, NotFound
from core.contract.hosts import Inventory
from core.models import Host, Medium, Operation, Vm
from core.models.base import new_id, now
from core.services import rules
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced
from core.units import GB

ORDERING = Ordering(
    {"created_at": Medium.created_at, "name": Medium.name, "size_bytes": Medium.size_bytes, "host": Medium.host_name},
    key=Medium.id,
    by="created_at",
)


@dataclass(frozen=True)
class MediaFilter(Slice):
    """The filter of a list of media: on one host, of one owner, attached or not."""

    host: str | None = None
    owner: str | None = None
    attached: bool | None = None


def list_of(session: Session, actor: Actor, wanted: MediaFilter) -> tuple[list[Medium], int]:
    """A page of the caller's disks, or of everyone's for an administrator, and how many match."""
    conditions: list[ColumnElement[bool]] = [Medium.ready_at.is_not(None)]
    if not actor.is_admin:
        conditions.append(Medium.owner_id == actor.user_id)
    if wanted.host is not None:
        conditions.append(Medium.host_name == wanted.host)
    if wanted.owner is not None:
        conditions.append(Medium.owner_id == wanted.owner)
    if wanted.attached is not None:
        conditions.append(Medium.vm_id.is_not(None) if wanted.attached else Medium.vm_id.is_(None))
    total = session.scalar(select(func.count()).select_from(Medium).where(*conditions)) or 0
    return list(session.scalars(sliced(select(Medium).where(*conditions), ORDERING, wanted))), total


def get(session: Session, actor: Actor, medium_id: str) -> Medium:
    """One disk; `NotFound` when it isn't there or is someone else's."""
    medium = session.get(Medium, medium_id)
    if medium is None or medium.ready_at is None or not (actor.is_admin or medium.owner_id == actor.user_id):
        raise NotFound(f"medium '{medium_id}' not found", code="medium_not_found")
    return medium


def to_delete(session: Session, actor: Actor, medium_id: str) -> Medium:
    """The disk that its host is to remove: `Conflict` while a VM has it."""
    actor.must_write()
    medium = get(session, actor, medium_id)
    host = session.get_one(Host, medium.host_name)
    vm = _holder(session, medium)
    if vm is not None:
        raise Conflict(
            f"medium '{medium.name}' is attached to VM '{vm.name}': detach it first", code="disk_in_use", vm=vm.name
        )
    rules.must_answer(host)
    return medium


def removed(session: Session, medium_id: str) -> None:
    """Its host has removed it."""
    medium = session.get(Medium, medium_id, with_for_update=True)
    if medium is not None:
        _forget(session, [medium])


def reserve(session: Session, vm: Vm, request: DiskAttach) -> DiskAttach:
    """The parameters of an attachment, with the id of the disk if one may have to be made, its room counted now.

    `NoCapacity` when its host has none.
    """
    size_gb = request.size_gb
    if request.type != "hdd" or not request.create_if_missing or not size_gb:
        return request
    name = PurePosixPath(request.medium).name
    here = (Medium.host_name == vm.host_name, Medium.owner_id == vm.owner_id, Medium.name == name)
    if session.scalar(select(Medium.id).where(*here)) is not None:
        return request
    values = {
        "id": new_id("med"),
        "host_name": vm.host_name,
        "owner_id": vm.owner_id,
        "name": name,
        "format": "",
        "size_bytes": size_gb * GB,
        "reserved_gb": size_gb,
        "generation": 0,
        "created_at": now(),
    }
    if not _count(session, vm.host_name, size_gb, within=True):
        free = session.scalar(select(Host.disk_gb - Host.reserved_disk_gb).where(Host.name == vm.host_name)) or 0
        raise NoCapacity(
            f"host '{vm.host_name}' of VM '{vm.name}' has no room for a disk of {size_gb} GB",
            rejected=[{"host": vm.host_name, "reason": f"{size_gb} GB of disk wanted, {max(0, free)} left"}],
        )
    made = session.scalar(insert(Medium).values(values).on_conflict_do_nothing().returning(Medium.id))
    if made is None:  # another request was quicker
        _count(session, vm.host_name, -size_gb, within=False)
        return request
    return structs.replace(request, medium_id=made)


def attached(session: Session, vm: Vm) -> None:
    """What the VM has, as its host has just told, is in the rows of its owner's disks."""
    disks = {disk.medium: disk for disk in vm.hardware.disks or [] if disk.type == "hdd" and not disk.own}
    here = (Medium.host_name == vm.host_name, Medium.owner_id == vm.owner_id)
    of_it = (Medium.vm_id == vm.id) | Medium.name.in_(disks)
    for medium in session.scalars(select(Medium).where(*here, of_it).with_for_update()):
        disk = disks.get(medium.name)
        medium.generation = max(medium.generation, vm.observed_generation)
        if disk is None:
            medium.vm_id = None
        else:
            medium.vm_id, medium.format = vm.id, disk.format
            medium.size_bytes, medium.used_bytes = disk.size_bytes, disk.used_bytes
            medium.ready_at = medium.ready_at or now()


def not_attached(session: Session, operation: Operation) -> None:
    """Its host did not make it, as far as is known; if it did, the host will say so."""
    medium = session.get(Medium, operation.params.get("medium_id", ""), with_for_update=True)
    if medium is not None and medium.ready_at is None:
        _forget(session, [medium])


def vm_is_gone(session: Session, vm: Vm, operation: Operation | None) -> None:
    """Its disks stay, detached, or have gone with it."""
    had = list(session.scalars(select(Medium).where(Medium.vm_id == vm.id).with_for_update()))
    if operation is not None and operation.params.get("delete_disks"):
        _forget(session, had)
    for medium in had:
        medium.vm_id = None


def host_is_gone(session: Session, host: str) -> None:
    """Its disks are not there any more; if it returns, it tells of them anew."""
    _forget(session, session.scalars(select(Medium).where(Medium.host_name == host)))


def reconcile(session: Session, inventory: Inventory) -> None:
    """Take over what a host has, in an inventory that is newer than what was told of each disk before."""
    if inventory.media is None:
        return
    seen = {each.id: each for each in inventory.media}
    rows = {row.id: row for row in session.scalars(select(Medium).where(Medium.host_name == inventory.host))}
    old = {key: row for key, row in rows.items() if row.generation < inventory.generation}
    gone = [row for key, row in old.items() if key not in seen and row.ready_at is not None]
    names = {(each.owner, each.name) for key, each in seen.items() if key not in rows}
    gone += [row for key, row in rows.items() if key not in seen and row.ready_at is None and _name(row) in names]
    _forget(session, gone)
    session.flush()
    for key, row in old.items():
        if key in seen:
            _take_over(row, seen[key], inventory.generation)
    _adopt(session, inventory, (each for key, each in seen.items() if key not in rows))


def _take_over(row: Medium, told: contract.ReportedMedium, generation: int) -> None:
    """Only what differs is written."""
    news = {
        "format": told.format,
        "size_bytes": told.size_bytes,
        "used_bytes": told.used_bytes,
        "vm_id": told.vm_id or None,
    }
    if row.ready_at is None:
        row.ready_at = now()
    for name, value in news.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            row.generation = generation


def _adopt(session: Session, inventory: Inventory, found: Iterable[contract.ReportedMedium]) -> None:
    for each in found:
        size_gb = -(-each.size_bytes // GB) if each.made else 0
        values = {
            "id": each.id,
            "host_name": inventory.host,
            "owner_id": each.owner,
            "name": each.name,
            "format": each.format,
            "size_bytes": each.size_bytes,
            "used_bytes": each.used_bytes,
            "reserved_gb": size_gb,
            "vm_id": each.vm_id or None,
            "generation": inventory.generation,
            "created_at": datetime.fromtimestamp(each.created_at or inventory.at, UTC),
            "ready_at": now(),
        }
        made = session.scalar(insert(Medium).values(values).on_conflict_do_nothing().returning(Medium.id))
        if made is not None:
            _count(session, inventory.host, size_gb, within=False)


def _name(row: Medium) -> tuple[str, str]:
    return row.owner_id, row.name


def _holder(session: Session, medium: Medium) -> Vm | None:
    """The VM that has it, as its host has told of either: a host of an older release tells of VMs alone."""
    here = (Vm.host_name == medium.host_name, Vm.owner_id == medium.owner_id, Vm.deleted_at.is_(None))
    for vm in session.scalars(select(Vm).where(*here)):
        names = {disk.medium for disk in vm.hardware.disks or [] if disk.type == "hdd" and not disk.own}
        if vm.id == medium.vm_id or medium.name in names:
            return vm
    return None


def _forget(session: Session, gone: Iterable[Medium]) -> None:
    for medium in gone:
        session.delete(medium)
        _count(session, medium.host_name, -medium.reserved_gb, within=False)


def _count(session: Session, host: str, size_gb: int, *, within: bool) -> bool:
    """Change what is counted on a host for disks; with `within`, False unless there is room."""
    if not size_gb:
        return True
    conditions = [Host.name == host]
    if within:
        conditions.append(Host.reserved_disk_gb + size_gb <= Host.disk_gb)
    moved = session.scalar(
        update(Host)
        .where(*conditions)
        .values(reserved_disk_gb=func.greatest(0, Host.reserved_disk_gb + size_gb))
        .returning(Host.name)
        .execution_options(synchronize_session=False)
    )
    return moved is not None
