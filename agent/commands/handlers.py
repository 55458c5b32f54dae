"""Command handlers: the driver verbs for each kind of operation; a restart is two journaled steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from msgspec import UNSET

from agent.commands import hardware, moves
from agent.drivers.base import Driver, Progress
from agent.drivers.capabilities.forwards import PortForwardsCapability
from agent.drivers.capabilities.hardware import AdaptersCapability, DiskRequest, DisksCapability
from agent.drivers.capabilities.resizing import ResizingCapability
from agent.drivers.capabilities.saving import SavedStatesCapability
from agent.drivers.capabilities.snapshots import SnapshotsCapability
from agent.drivers.offers import offered
from agent.media.media import MediaFolders
from agent.moves.arrivals import Arrivals
from core.contract.commands import (
    AdapterSet,
    Create,
    Delete,
    DiskAttach,
    DiskDetach,
    Move,
    Params,
    Pause,
    PortForwardCreate,
    PortForwardDelete,
    Resize,
    Restart,
    Resume,
    Save,
    SnapshotCreate,
    SnapshotDelete,
    SnapshotRestore,
    Start,
    Stop,
    Stopping,
)
from core.contract.errors import CorralError, DriverFailure, Unsupported
from core.contract.messages import Command, VmSpec
from core.contract.results import (
    DiskAttached,
    HardwareResult,
    Resized,
    Result,
    SizeApplied,
    SnapshotDeleted,
    SnapshotLeft,
    SnapshotTaken,
)
from core.contract.vms import Adapter, Disk

STOPPED = "stopped"
FOUND_SECONDS = 10.0  # in which a guest is to have found a disk: one that boots still may take three times that
SPARE_SECONDS = 1.0  # for what is left to do after that


@dataclass(frozen=True)
class CommandContext:
    """One command being carried out. `step` is the last one journaled by an earlier try, `mark` journals the next."""

    driver: Driver
    command: Command
    progress: Progress
    step: str
    mark: Callable[[str], None]
    media: MediaFolders
    arrivals: Arrivals | None = None

    @property
    def timeout(self) -> float:
        """Seconds left; `DriverFailure` once there are none."""
        left = self.command.deadline_at - time.time()
        if left <= 0:
            raise DriverFailure(f"{self.command.kind} of VM '{self.command.vm.name}' ran out of time", code="timeout")
        return left


def perform(context: CommandContext) -> Result:
    """Does it and returns what is to be told of it; only `CorralError` and `Cancelled` are to be expected."""
    params = context.command.params
    return _HANDLERS[type(params)](context, params)


def _create(context: CommandContext, _: Create) -> Result:
    context.driver.create(context.command.vm, context.progress, context.timeout)
    return hardware.hardware_of(context.driver, context.command.vm)


def _start(context: CommandContext, asked: Start) -> Result:
    vm = context.command.vm
    if asked.gui:
        vm = replace(vm, hardware=replace(vm.hardware, gui=True))
    context.driver.start(vm, context.progress, context.timeout)
    return Result()


def _stop(context: CommandContext, asked: Stopping) -> Result:
    grace = 0.0 if asked.force else asked.grace_seconds
    context.driver.stop(context.command.vm, grace, context.progress, context.timeout)
    return Result()


def _restart(context: CommandContext, asked: Restart) -> Result:
    if context.step != STOPPED:
        _stop(context, asked)
        context.mark(STOPPED)
    return _start(context, Start())


def _delete(context: CommandContext, asked: Delete) -> Result:
    vm = context.command.vm
    if not _has_come_back(context):
        context.driver.delete(vm, context.timeout)
        context.media.leave(vm, delete=asked.delete_disks)
    return Result()


def _has_come_back(context: CommandContext) -> bool:
    """Whether the VM was elsewhere, and is here again, since what the command is about."""
    there = None
    with suppress(CorralError):  # one that can't be read is deleted too
        there = context.driver.remembered(context.command.vm.id)
    return there is not None and there.home > context.command.vm.home


def _pause(context: CommandContext, _: Pause) -> Result:
    context.driver.pause(_pausing(context), context.timeout)
    return Result()


def _resume(context: CommandContext, _: Resume) -> Result:
    context.driver.resume(_pausing(context), context.timeout)
    return Result()


def _pausing(context: CommandContext) -> VmSpec:
    if "pause" not in context.driver.capabilities:
        raise Unsupported(f"the driver '{context.driver.name}' can't pause a VM")
    return context.command.vm


def _save(context: CommandContext, _: Save) -> Result:
    driver = offered(context.driver, SavedStatesCapability)
    context.progress("saving the memory", None)
    driver.save(context.command.vm, context.timeout)
    return Result()


def _snapshot_create(context: CommandContext, asked: SnapshotCreate) -> Result:
    vm = context.command.vm
    power = context.driver.observe(vm.id).state
    taken = offered(context.driver, SnapshotsCapability).snapshot_create(
        vm, asked.snapshot_id, asked.include_memory, context.progress, context.timeout
    )
    return SnapshotTaken(**asdict(taken), vm_status=power)


def _snapshot_restore(context: CommandContext, asked: SnapshotRestore) -> Result:
    """Restores unless an earlier try did, which shows in the count of restores that the driver keeps.

    A driver without that count restores again, if the agent dies after the restore and before its report is journaled.
    """
    done = context.driver.observe(context.command.vm.id).facts.restores
    if context.step and done is not None and f"restores={done}" != context.step:
        return hardware.hardware_of(context.driver, context.command.vm)
    context.mark(f"restores={done}")
    offered(context.driver, SnapshotsCapability).snapshot_restore(
        context.command.vm, asked.snapshot_id, asked.start, context.progress, context.timeout
    )
    return hardware.hardware_of(context.driver, context.command.vm)


def _snapshot_delete(context: CommandContext, asked: SnapshotDelete) -> Result:
    others = offered(context.driver, SnapshotsCapability).snapshot_delete(
        context.command.vm, asked.snapshot_id, context.progress, context.timeout
    )
    return SnapshotDeleted({name: SnapshotLeft(**asdict(taken)) for name, taken in others.items()})


def _resize(context: CommandContext, asked: Resize) -> Result:
    driver = offered(context.driver, ResizingCapability)
    applied = driver.resize(replace(context.command.vm, **asked.stored()), context.progress, context.timeout)
    return Resized(SizeApplied(**asdict(applied)))


def _disk_attach(context: CommandContext, asked: DiskAttach) -> Result:
    driver, vm = offered(context.driver, DisksCapability), context.command.vm
    request = DiskRequest(**asked.stored())
    context.progress("attaching the medium", None)
    try:
        disk = driver.disk_attach(vm, request, context.timeout)
    except CorralError:
        with suppress(CorralError):
            _disks(context, driver)
        raise
    disks = _disks(context, driver)
    left = context.command.deadline_at - time.time() - SPARE_SECONDS
    return DiskAttached(disks, visible_to_guest=driver.disk_in_guest(vm, disk, min(FOUND_SECONDS, left)))


def _disk_detach(context: CommandContext, asked: DiskDetach) -> Result:
    driver, vm = offered(context.driver, DisksCapability), context.command.vm
    context.progress("detaching the medium", None)
    driver.disk_detach(vm, asked.controller, asked.port, asked.device, context.timeout)
    return HardwareResult(_disks(context, driver))


def _disks(context: CommandContext, driver: DisksCapability) -> list[Disk]:
    """What the VM has, which the records of media say too from now on."""
    found = driver.disks(context.command.vm)
    context.media.note_attached(
        context.command.vm, {disk.medium for disk in found if disk.type == "hdd" and not disk.own}
    )
    return found


def _adapter_set(context: CommandContext, asked: AdapterSet) -> Result:
    """What is not said stays as it is; a new network is on its mode's default unless it is named."""
    driver, vm = offered(context.driver, AdaptersCapability), context.command.vm
    now = next((each for each in driver.adapters(vm) if each.slot == asked.slot), Adapter(asked.slot))
    if asked.mode not in (UNSET, now.mode):
        now = replace(now, network=None)
    context.progress("setting the adapter", None)
    driver.adapter_set(vm, replace(now, **asked.changes), context.timeout)
    return HardwareResult(adapters=driver.adapters(vm))


def _port_forwards(context: CommandContext, _: Params) -> Result:
    driver = offered(context.driver, PortForwardsCapability)
    context.progress("forwarding ports", None)
    driver.set_port_forwards(context.command.vm, context.timeout)
    return Result()


def _move(context: CommandContext, asked: Move) -> Result:
    driver, vm, progress, timeout = context.driver, context.command.vm, context.progress, context.timeout
    if asked.files is None:
        return moves.leave(driver, vm, asked, progress, timeout)
    return moves.arrive(driver, vm, asked, context.arrivals, progress, timeout)


_HANDLERS: dict[type[Params], Callable[[CommandContext, Any], Result]] = {
    Create: _create,
    Start: _start,
    Stop: _stop,
    Restart: _restart,
    Delete: _delete,
    Pause: _pause,
    Resume: _resume,
    Save: _save,
    SnapshotCreate: _snapshot_create,
    SnapshotRestore: _snapshot_restore,
    SnapshotDelete: _snapshot_delete,
    Resize: _resize,
    DiskAttach: _disk_attach,
    DiskDetach: _disk_detach,
    AdapterSet: _adapter_set,
    PortForwardCreate: _port_forwards,
    PortForwardDelete: _port_forwards,
    Move: _move,
}
