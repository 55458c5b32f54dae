"""Capabilities: attach disks, and change network adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.contract.messages import VmSpec
from core.contract.vms import Adapter, Disk


@dataclass(frozen=True)
class DiskRequest:
    """A medium to be attached. `type`: "hdd" or "dvd"; `medium`: a path below one of the host's media folders.

    `create_if_missing`: an empty disk of `size_gb` GiB is made there if nothing is, of the format its name ends in, and
    with that id.
    """

    controller: str
    port: int
    device: int
    type: str
    medium: str
    create_if_missing: bool = False
    size_gb: int | None = None
    medium_id: str = ""


@runtime_checkable
class DisksCapability(Protocol):
    """Has "disks" among its capabilities. A place on a controller has one medium at most."""

    def disks(self, vm: VmSpec) -> list[Disk]:
        """All that is attached, the VM's own disk first."""

    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """Attaches it; the same again is no change. Code "invalid_request" for a medium out of bounds or another VM's,
        "disk_slot_taken" when something else is there, "invalid_state" when the VM would have to be off."""

    def disk_in_guest(self, vm: VmSpec, disk: Disk, timeout: float) -> bool | None:
        """Whether its guest has it, which is waited for that long at most; None when nobody can tell."""

    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """Empties the place; the medium stays. Code "invalid_request" for the VM's own disk."""


@runtime_checkable
class AdaptersCapability(Protocol):
    """Has "adapters" among its capabilities."""

    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """Those that the VM has, by slot."""

    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """Makes the adapter in its slot like that, and tells how it is. Code "invalid_state" for what can't be done
        while the VM runs."""
