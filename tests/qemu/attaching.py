"""Disks to attach to QEMU's VMs, and where they are."""

from __future__ import annotations

from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.hardware import DiskRequest
from agent.media.media import DISKS
from agent.system import process
from core.contract.vms import Disk

SATA = "SATA Controller"
DATA = DiskRequest(SATA, 1, 0, "hdd", "data", create_if_missing=True, size_gb=1)
EMPTY_ISO = bytes(32768) + b"\1CD001\1" + bytes(2041) + b"\xffCD001\1" + bytes(2041)


def path_of(place: DriverFolders, disk: Disk) -> Path:
    """Where a disk of alice's is."""
    return place.media[0] / DISKS / "alice" / disk.medium


def create(kind: str, path: Path, *options: str) -> None:
    """A disk of one MiB."""
    path.unlink(missing_ok=True)
    process.run(["qemu-img", "create", "-q", "-f", kind, *options, str(path), "1M"], 30.0)
