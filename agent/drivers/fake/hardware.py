"""The fake driver's disks and adapters: the media are real files, and nobody reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.drivers import places
from agent.drivers.fake import state
from agent.drivers.fake.measuring import DISK_BYTES
from agent.drivers.fake.state import FakeVmRecord
from agent.drivers.places import Engine
from agent.media.records import FORMATS
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import Disk


def disks(vm: VmSpec, now: FakeVmRecord) -> list[Disk]:
    """The VM's own, and what is attached."""
    own = Disk(*places.own_place(vm), "hdd", state.STATE, vm.disk_gb << 30, DISK_BYTES, "fake", own=True)
    return [own, *(medium.disk() for medium in now.media)]


def in_guest(now: FakeVmRecord) -> bool | None:
    """A guest that runs has them at once; one that does not can't be asked."""
    return True if now.power == "running" else None


def elsewhere(vms: Path, vm: VmSpec) -> Iterator[str]:
    """The paths of the disks that other VMs have."""
    for file in vms.glob(f"*/{state.STATE}"):
        other = state.read(vms, file.parent.name) if file.parent.name != vm.id else None
        yield from (each.path for each in (other.media if other else []) if each.type == "hdd")


def _make(path: Path, _kind: str, size_bytes: int) -> None:
    """An empty file of that length."""
    with path.open("xb") as file:
        file.truncate(size_bytes)


def _measure(path: Path, _kind: str) -> int:
    """Its length."""
    return path.stat().st_size


ENGINE = Engine(frozenset(FORMATS.values()), _make, _measure)


def check_memory(now: FakeVmRecord, include_memory: bool) -> None:
    """A memory belongs to a machine, and what is attached to that is no part of a snapshot."""
    if include_memory and now.power != "stopped" and now.media:
        raise DriverFailure("media are attached, which a snapshot leaves out: detach them", code="invalid_state")
