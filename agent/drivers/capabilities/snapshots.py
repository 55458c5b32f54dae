"""Capability: snapshots of a VM's disk, and of its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agent.drivers.base import Progress
from core.contract.messages import VmSpec
from core.contract.vms import Observation


@dataclass(frozen=True)
class FinishedSnapshot:
    """A finished snapshot. `checksum` is "sha256:<hex>" over everything it consists of."""

    size_bytes: int
    checksum: str
    include_memory: bool


@runtime_checkable
class SnapshotsCapability(Protocol):
    """Has "snapshots" among its capabilities. A snapshot is known by its id, unique everywhere."""

    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> FinishedSnapshot:
        """Disk, and with memory if asked and the VM runs; the VM goes on as it was."""

    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Back to it, then running or not as `start` says; None: as it was when the snapshot was taken.

        With memory the guest resumes where it was. Checks that the snapshot is whole before it touches the VM.
        As its last act it adds one to a count that `observe` shows as `facts.restores`: a restore that was done
        can't be told from its effect, and doing it again would lose what the guest wrote since.
        """

    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, FinishedSnapshot]:
        """Removes it, unless it is gone. Returns the VM's others by their ids: they may be stored otherwise now."""

    def snapshot_ids(self, vm_id: str) -> list[str]: ...
