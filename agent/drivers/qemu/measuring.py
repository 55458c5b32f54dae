"""What QEMU's monitor tells of a VM beside what the host knows."""

from __future__ import annotations

from typing import Any

from agent.drivers.groups.metrics import Measured
from agent.drivers.local import measuring
from agent.drivers.local.folder import Folder
from agent.drivers.qemu.observing import observe
from agent.drivers.qemu.qmp import Monitor
from core.contract.messages import JSON

MONITOR_SECONDS = 2.0


def measure(folder: Folder, timeout: float) -> Measured:
    """All of it, within `timeout` seconds; what does not answer in time is told among the unknown."""
    return measuring.measure(folder, observe(folder).state, lambda: measuring.Counted(_disk_io(folder)), timeout)


def _disk_io(folder: Folder) -> JSON:
    with Monitor(folder.path, MONITOR_SECONDS) as monitor:
        found: list[Any] = [each["stats"] for each in monitor.ask("query-blockstats")]
    names = {
        "read_bytes": "rd_bytes",
        "written_bytes": "wr_bytes",
        "reads": "rd_operations",
        "writes": "wr_operations",
    }
    return {name: sum(stats[theirs] for stats in found) for name, theirs in names.items()}
