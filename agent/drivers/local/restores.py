"""Restores: every file is checked, the VM is powered off, then one write makes the snapshot the VM's disk."""

from __future__ import annotations

import time
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.local import daemon, disks, media, records, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.guest import qga
from core.contract.errors import DriverFailure

CLOCK_SECONDS = 5.0


def check(
    folder: LocalVmFolder, snapshot_id: str, acceleration: str | None, progress: Progress
) -> records.LocalSnapshot:
    """The snapshot, if it can be restored under that acceleration (None: its memory is not wanted); touches nothing."""
    snapshot = records.read(folder, snapshot_id)
    if snapshot is None:
        raise DriverFailure(f"snapshot '{snapshot_id}' is not on this host", code="snapshot_not_found")
    records.verify(folder, snapshot, progress)
    if acceleration and snapshot.machine is not None:
        media.check_memory(folder.state())
    if acceleration and snapshot.machine is not None and snapshot.machine.acceleration != acceleration:
        raise DriverFailure(
            f"snapshot '{snapshot_id}' holds memory saved under {snapshot.machine.acceleration}, but this host now "
            f'runs {acceleration}: restore it with "start_vm": false, without its memory',
            code="invalid_state",
        )
    return snapshot


def put_back(
    folder: LocalVmFolder, snapshot: records.LocalSnapshot, events: str, *, running: bool, lock: int
) -> LocalVmRecord:
    """Cuts the machine and makes the snapshot its disk; with `running`, the next launch goes on from its memory.

    `events` is the file with what happened to the machine that is cut.
    """
    layer = disks.layer_over(folder, snapshot.layer, lock)
    folder.change(should_run=False, usable=False, held=False, frozen=False)
    daemon.cut(folder.path)
    (folder.path / events).unlink(missing_ok=True)
    resume = snapshot.id if running and snapshot.machine is not None else None
    state = folder.state()
    adapters = snapshot.machine.adapters if resume and snapshot.machine else state.adapters
    return folder.change(disk=layer, resume=resume, adapters=adapters)


def memory_of(folder: LocalVmFolder, state: LocalVmRecord) -> tuple[records.LocalSnapshot, Path] | None:
    """The snapshot whose memory the next launch goes on from, and where that is; None for a boot."""
    if state.resume is None:
        return None
    snapshot = records.read(folder, state.resume)
    if snapshot is None or snapshot.machine is None:
        return None
    return snapshot, records.home(folder, snapshot.id) / records.MEMORY


def set_clock(folder: LocalVmFolder) -> None:
    """Tells a guest that was away what time it is."""
    if not usable.has_agent(folder.state()):
        return
    try:
        qga.ask(folder.path, "guest-set-time", CLOCK_SECONDS, time=time.time_ns())
    except DriverFailure:
        pass  # refused: it has set its clock, but there is no hardware clock to set; silent: nothing can be done
