"""The share of this machine that each of several agents on it offers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.units import GB

_VCPUS_PER_CORE = 4
_SHARE = 0.9  # of memory and disk; the rest is for everything else


@dataclass(frozen=True)
class Share:
    """What one agent is told to offer."""

    vcpus: int
    memory_mb: int
    disk_gb: int


def of_machine(home: Path, agents: int) -> Share:
    """An equal share for each of so many agents."""
    # What VMs take already is theirs to take: without it the shares would shrink with each start.
    disk = shutil.disk_usage(home).free + _taken_bytes(home / "hosts")
    return Share(
        vcpus=max(1, (os.cpu_count() or 1) * _VCPUS_PER_CORE // agents),
        memory_mb=max(1, int(psutil.virtual_memory().total * _SHARE) // agents // 2**20),
        disk_gb=max(1, int(disk * _SHARE) // agents // GB),
    )


def _taken_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:  # a file that went while we looked
            continue
    return total
