"""The capacity that a host offers to VMs unless its operator sets another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.units import GB

VCPUS_PER_CORE = 4
SHARE = 0.9  # of memory and disk; the rest is the host's own


@dataclass(frozen=True)
class HostCapacity:
    """The capacity of a host that VMs may reserve."""

    vcpus: int
    memory_mb: int
    disk_gb: int


def measure(folders: Sequence[Path], vcpus: int | None, memory_mb: int | None, disk_gb: int | None) -> HostCapacity:
    """The given figures, or shares of what the machine has. `folders`: where VMs are, and where their disks are."""
    taken = sum(map(_taken_bytes, folders))
    return HostCapacity(
        vcpus=vcpus or (os.cpu_count() or 1) * VCPUS_PER_CORE,
        memory_mb=memory_mb or int(psutil.virtual_memory().total * SHARE) // 2**20,
        # What VMs take already is theirs to take: without it the capacity would shrink with each start of the agent.
        disk_gb=disk_gb or int((psutil.disk_usage(str(folders[0])).free + taken) * SHARE) // GB,
    )


def _taken_bytes(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
