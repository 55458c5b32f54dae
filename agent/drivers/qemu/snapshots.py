"""Snapshots: a new, empty layer is put over the disk, and the memory is written to a file.

At each step the state names a top layer that reads as the disk should: an empty layer equals the one below it, so the
new one is named before a running QEMU is told to write to it, and not after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import daemon, disks, records
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.local.media import check_memory
from agent.drivers.local.snapshots import PAUSED, RUNNING, STOPPED, THAW_SECONDS, kept_if_whole, quiet_guest
from agent.drivers.qemu import command, memory
from agent.drivers.qemu.qmp import Monitor
from core.contract.errors import DriverFailure


def take(
    folder: LocalVmFolder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
) -> records.LocalSnapshot:
    """Takes one of the VM as it is, running or not; of one that fails nothing stays."""
    state = folder.state()
    return kept_if_whole(
        folder,
        snapshot_id,
        lambda home: _take(folder, state, snapshot_id, home, include_memory, progress, left, lock),
    )


def _take(
    folder: LocalVmFolder,
    state: LocalVmRecord,
    snapshot_id: str,
    home: Path,
    include_memory: bool,
    progress: Progress,
    left: Left,
    lock: int,
) -> records.LocalSnapshot:
    if daemon.alive(folder.path) is None:
        power, machine, layer = STOPPED, None, state.disk
        folder.change(disk=disks.layer_over(folder, layer, lock))
    else:
        if include_memory:
            check_memory(state)
        with Monitor(folder.path, left()) as monitor:
            power = _power(monitor)
            machine = _as_it_is(state, monitor)
            with _held(folder, monitor, power) if include_memory else quiet_guest(folder, state, power):
                layer = _freeze_layer(folder, monitor, lock)
                if include_memory:
                    memory.save(monitor, home / records.MEMORY, progress)
    snapshot = records.LocalSnapshot(snapshot_id, layer, power, machine if include_memory else None, [])
    return records.finish(folder, state, snapshot, progress)


def go_on(folder: LocalVmFolder) -> None:
    """Lets a machine go on that was held for a snapshot."""
    with Monitor(folder.path, THAW_SECONDS) as monitor:
        memory.abandon(monitor)
        monitor.ask("cont")


def _freeze_layer(folder: LocalVmFolder, monitor: Monitor, lock: int) -> str:
    """Puts a new layer on the one that QEMU writes to, and returns that one's name."""
    frozen = _written(monitor)
    layer = disks.layer_over(folder, frozen, lock)
    folder.change(disk=layer)
    monitor.ask(
        "blockdev-snapshot-sync",
        node_name=command.node_of(frozen),
        snapshot_file=f"layers/{layer}",
        snapshot_node_name=command.node_of(layer),
        format="qcow2",
        mode="existing",
    )
    return frozen


def _written(monitor: Monitor) -> str:
    """The layer that QEMU writes to, as it says itself: after a crash of ours the state may be one ahead."""
    for device in monitor.ask("query-block"):
        if "disk0" in device.get("qdev", "") and "inserted" in device:
            return command.layer_of(device["inserted"]["node-name"])
    raise DriverFailure("QEMU does not report the VM's disk")


@contextmanager
def _held(folder: LocalVmFolder, monitor: Monitor, power: str) -> Iterator[None]:
    """The machine paused, and then as it was."""
    if power == PAUSED:
        if monitor.ask("query-status")["status"] == "postmigrate":
            # QEMU saves no machine twice unless it ran in between, so it runs for a moment.
            monitor.ask("cont")
            monitor.ask("stop")
        yield
        return
    folder.change(held=True)
    monitor.ask("stop")
    try:
        yield
    finally:
        monitor.ask("cont")
        folder.change(held=False)


def _as_it_is(state: LocalVmRecord, monitor: Monitor) -> VirtualMachineModel | None:
    """After a crash of ours the machine may have more vCPUs than was kept."""
    return state.machine and replace(state.machine, vcpus=len(monitor.ask("query-cpus-fast")))


def _power(monitor: Monitor) -> str:
    """From QEMU itself: a disk frozen under a machine that runs on would not fit the memory saved after it."""
    return RUNNING if monitor.ask("query-status")["running"] else PAUSED
