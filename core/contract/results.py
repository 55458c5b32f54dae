"""The result of a command in its last report, for each kind of command.

A report says no kind: its result is read as that of the operation that it is about, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field, to_builtins

from core.contract.bounds import Name, Serial
from core.contract.moves import Files
from core.contract.states import Applied, Kind
from core.contract.vms import Adapter, Disk

_SOME, _MANY = Meta(max_length=256), Meta(max_length=10_000)


class Result(Struct, frozen=True, omit_defaults=True):
    """The result of any command; most have nothing to report."""

    def stored(self) -> dict[str, Any]:
        """As plain data."""
        plain: dict[str, Any] = to_builtins(self)
        return plain


class HardwareResult(Result, frozen=True, omit_defaults=True):
    """The hardware of the VM after the command, as far as its driver knows."""

    disks: Annotated[list[Disk], _SOME] | None = None
    adapters: Annotated[list[Adapter], _SOME] | None = None


class DiskAttached(HardwareResult, frozen=True):
    """`visible_to_guest`: whether the guest has found it by then; None, which is told too, when that can't be known."""

    visible_to_guest: bool | UnsetType | None = UNSET


class SnapshotTaken(Result, frozen=True):
    """The size and checksum of a snapshot. `vm_status`: the VM's state when it was taken."""

    size_bytes: Serial
    checksum: Name
    include_memory: bool
    vm_status: Name = ""


@dataclass(frozen=True)
class SnapshotLeft:
    """Another snapshot of the VM, which may be stored differently now."""

    size_bytes: Serial
    checksum: Name
    include_memory: bool = False


class SnapshotDeleted(Result, frozen=True):
    """The VM's other snapshots, by their ids."""

    snapshots: Annotated[dict[Name, SnapshotLeft], _MANY] = field(default_factory=dict)


@dataclass(frozen=True)
class SizeApplied:
    """When each of a VM's new sizes and limits applies."""

    vcpus: Applied
    memory_mb: Applied
    cpu_limit_percent: Applied
    memory_limit_percent: Applied


class Resized(Result, frozen=True):
    """A VM that has another size now, or will have it."""

    applied: SizeApplied


class MoveTold(HardwareResult, frozen=True, omit_defaults=True):
    """By the source of a move, the files that the VM consists of; by its target, what the VM has there."""

    files: Files | None = None


class Moved(Result, frozen=True):
    """A VM that is on another host now. `start_operation_id`: the operation that starts it there, if it is to run."""

    old_host: Name
    new_host: Name
    start_operation_id: Name | None = None


RESULTS: dict[Kind, type[Result]] = dict.fromkeys(Kind, Result) | {
    Kind.CREATE: HardwareResult,
    Kind.DISK_ATTACH: DiskAttached,
    Kind.DISK_DETACH: HardwareResult,
    Kind.ADAPTER_SET: HardwareResult,
    Kind.SNAPSHOT_RESTORE: HardwareResult,
    Kind.SNAPSHOT_CREATE: SnapshotTaken,
    Kind.SNAPSHOT_DELETE: SnapshotDeleted,
    Kind.RESIZE: Resized,
    Kind.MOVE: MoveTold,
}
