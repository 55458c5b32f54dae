"""Measurements of a VM by QEMU's monitor, in addition to the host's."""

from __future__ import annotations

from typing import Any

from agent.drivers.local import measuring
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.qemu.qmp import Monitor

MONITOR_SECONDS = 2.0


def counted(folder: LocalVmFolder) -> measuring.HypervisorCounters:
    """What its disks have read and written."""
    with Monitor(folder.path, MONITOR_SECONDS) as monitor:
        found: list[Any] = [each["stats"] for each in monitor.ask("query-blockstats")]
    names = {
        "read_bytes": "rd_bytes",
        "written_bytes": "wr_bytes",
        "reads": "rd_operations",
        "writes": "wr_operations",
    }
    return measuring.HypervisorCounters({name: sum(stats[theirs] for stats in found) for name, theirs in names.items()})
