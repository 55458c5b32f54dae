"""Takes snapshots: the disk's top layer is frozen under a new, empty one, and the memory goes to a file.

At each step the state names a top layer that reads as the disk should: an empty layer equals the one below it, so the
new one is named before a running QEMU is told to write to it, and not after.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.qemu import command, daemon, disks, media, memory, records
from agent.drivers.qemu.folder import Folder, Machine, State
from agent.drivers.qemu.qmp import Monitor
from agent.guest import qga
from core.contract.errors import DriverFailure

FREEZE_SECONDS, THAW_SECONDS = 5.0, 10.0
SPARE_BYTES = 1024 * 1024
RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"


def take(
    folder: Folder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
) -> records.Snapshot:
    """Takes one of the VM as it is, running or not; of one that fails nothing stays."""
    state = folder.state()
    home = records.begin(folder, snapshot_id)
    try:
        return _take(folder, state, snapshot_id, home, include_memory, progress, left, lock)
    except BaseException as error:
        full = shutil.disk_usage(home).free < SPARE_BYTES
        shutil.rmtree(home, ignore_errors=True)
        if full and isinstance(error, DriverFailure):
            raise DriverFailure(
                f"no space is left on the host's disk for snapshot '{snapshot_id}': delete others, or make room",
                code="insufficient_resources",
            ) from error
        raise


def _take(
    folder: Folder,
    state: State,
    snapshot_id: str,
    home: Path,
    include_memory: bool,
    progress: Progress,
    left: Left,
    lock: int,
) -> records.Snapshot:
    if daemon.alive(folder.path) is None:
        power, machine, layer = STOPPED, None, state.disk
        folder.change(disk=disks.layer_over(folder, layer, lock))
    else:
        if include_memory:
            media.check_memory(state)
        with Monitor(folder.path, left()) as monitor:
            power = _power(monitor)
            machine = _as_it_is(state, monitor)
            with _held(folder, monitor, power) if include_memory else _quiet_guest(folder, state, power):
                layer = _freeze_layer(folder, monitor, lock)
                if include_memory:
                    memory.save(monitor, home / records.MEMORY, progress)
    snapshot = records.Snapshot(snapshot_id, layer, power, machine if include_memory else None, [])
    return records.finish(folder, state, snapshot, progress)


def settle(folder: Folder) -> State:
    """Lets a machine go on that a snapshot, cut off half-way, had paused or frozen."""
    state = folder.state()
    if not state.held and not state.frozen:
        return state
    if daemon.alive(folder.path) is not None:
        if state.held:
            with Monitor(folder.path, THAW_SECONDS) as monitor:
                memory.abandon(monitor)
                monitor.ask("cont")
        if state.frozen:
            _thaw(folder)
    return folder.change(held=False, frozen=False)


def _freeze_layer(folder: Folder, monitor: Monitor, lock: int) -> str:
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
    raise DriverFailure("QEMU does not tell what the VM's disk is")


@contextmanager
def _held(folder: Folder, monitor: Monitor, power: str) -> Iterator[None]:
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


@contextmanager
def _quiet_guest(folder: Folder, state: State, power: str) -> Iterator[None]:
    """The guest's file systems frozen, if its agent can; without that the snapshot is as after a power cut."""
    if state.image is None or not state.image.guest_agent or power == PAUSED:
        yield
        return
    folder.change(frozen=True)
    try:
        try:
            qga.ask(folder.path, "guest-fsfreeze-freeze", FREEZE_SECONDS)
        except DriverFailure:
            pass  # not frozen, or late: it is thawed below in any case
        yield
    finally:
        _thaw(folder)
        folder.change(frozen=False)


def _as_it_is(state: State, monitor: Monitor) -> Machine | None:
    """After a crash of ours the machine may have more vCPUs than was kept."""
    return state.machine and replace(state.machine, vcpus=len(monitor.ask("query-cpus-fast")))


def _power(monitor: Monitor) -> str:
    """From QEMU itself: a disk frozen under a machine that runs on would not fit the memory saved after it."""
    return RUNNING if monitor.ask("query-status")["running"] else PAUSED


def _thaw(folder: Folder) -> None:
    try:
        qga.ask(folder.path, "guest-fsfreeze-thaw", THAW_SECONDS)
    except qga.AgentRefused:
        pass  # an agent that can't thaw can't have frozen
