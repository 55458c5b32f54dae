"""What each kind of operation is in a driver's verbs: one verb, but for a restart, which is two journaled steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from msgspec import UNSET

from agent.commands import hardware
from agent.drivers.base import Driver, Progress
from agent.drivers.capabilities.forwards import PortForwards
from agent.drivers.capabilities.hardware import Adapters, DiskRequest, Disks
from agent.drivers.capabilities.resizing import Resizing
from agent.drivers.capabilities.saving import SavedStates
from agent.drivers.capabilities.snapshots import Snapshots
from agent.drivers.offers import offered
from agent.media.media import Media
from core.contract.commands import (
    AdapterSet,
    Create,
    Delete,
    DiskAttach,
    DiskDetach,
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
    Resized,
    Result,
    SizeApplied,
    SnapshotDeleted,
    SnapshotLeft,
    SnapshotTaken,
    Told,
)
from core.contract.vms import Adapter, Disk

STOPPED = "stopped"
FOUND_SECONDS = 10.0  # in which a guest is to have found a disk: one that boots still may take three times that
SPARE_SECONDS = 1.0  # for what is left to do after that


@dataclass(frozen=True)
class Doing:
    """One command being carried out. `step` is the last one journaled by an earlier try, `mark` journals the next."""

    driver: Driver
    command: Command
    progress: Progress
    step: str
    mark: Callable[[str], None]
    media: Media

    @property
    def timeout(self) -> float:
        """Seconds left; `DriverFailure` once there are none."""
        left = self.command.deadline_at - time.time()
        if left <= 0:
            raise DriverFailure(f"{self.command.kind} of VM '{self.command.vm.name}' ran out of time", code="timeout")
        return left


def perform(doing: Doing) -> Result:
    """Does it and returns what is to be told of it; only `CorralError` and `Cancelled` are to be expected."""
    params = doing.command.params
    return _VERBS[type(params)](doing, params)


def _create(doing: Doing, _: Create) -> Result:
    doing.driver.create(doing.command.vm, doing.progress, doing.timeout)
    return hardware.told(doing.driver, doing.command.vm)


def _start(doing: Doing, asked: Start) -> Result:
    vm = doing.command.vm
    if asked.gui:
        vm = replace(vm, hardware=replace(vm.hardware, gui=True))
    doing.driver.start(vm, doing.progress, doing.timeout)
    return Result()


def _stop(doing: Doing, asked: Stopping) -> Result:
    grace = 0.0 if asked.force else asked.grace_seconds
    doing.driver.stop(doing.command.vm, grace, doing.progress, doing.timeout)
    return Result()


def _restart(doing: Doing, asked: Restart) -> Result:
    if doing.step != STOPPED:
        _stop(doing, asked)
        doing.mark(STOPPED)
    return _start(doing, Start())


def _delete(doing: Doing, asked: Delete) -> Result:
    vm = doing.command.vm
    doing.driver.delete(vm, doing.timeout)
    doing.media.leave(vm, delete=asked.delete_disks)
    return Result()


def _pause(doing: Doing, _: Pause) -> Result:
    doing.driver.pause(_pausing(doing), doing.timeout)
    return Result()


def _resume(doing: Doing, _: Resume) -> Result:
    doing.driver.resume(_pausing(doing), doing.timeout)
    return Result()


def _pausing(doing: Doing) -> VmSpec:
    if "pause" not in doing.driver.capabilities:
        raise Unsupported(f"the driver '{doing.driver.name}' can't pause a VM")
    return doing.command.vm


def _save(doing: Doing, _: Save) -> Result:
    driver = offered(doing.driver, SavedStates)
    doing.progress("saving the memory", None)
    driver.save(doing.command.vm, doing.timeout)
    return Result()


def _snapshot_create(doing: Doing, asked: SnapshotCreate) -> Result:
    vm = doing.command.vm
    power = doing.driver.observe(vm.id).state
    taken = offered(doing.driver, Snapshots).snapshot_create(
        vm, asked.snapshot_id, asked.include_memory, doing.progress, doing.timeout
    )
    return SnapshotTaken(**asdict(taken), vm_status=power)


def _snapshot_restore(doing: Doing, asked: SnapshotRestore) -> Result:
    """Restores unless an earlier try did, which shows in the count of restores that the driver keeps.

    A driver without that count restores again, if the agent dies after the restore and before its report is journaled.
    """
    done = doing.driver.observe(doing.command.vm.id).facts.restores
    if doing.step and done is not None and f"restores={done}" != doing.step:
        return hardware.told(doing.driver, doing.command.vm)
    doing.mark(f"restores={done}")
    offered(doing.driver, Snapshots).snapshot_restore(
        doing.command.vm, asked.snapshot_id, asked.start, doing.progress, doing.timeout
    )
    return hardware.told(doing.driver, doing.command.vm)


def _snapshot_delete(doing: Doing, asked: SnapshotDelete) -> Result:
    others = offered(doing.driver, Snapshots).snapshot_delete(
        doing.command.vm, asked.snapshot_id, doing.progress, doing.timeout
    )
    return SnapshotDeleted({name: SnapshotLeft(**asdict(taken)) for name, taken in others.items()})


def _resize(doing: Doing, asked: Resize) -> Result:
    driver = offered(doing.driver, Resizing)
    applied = driver.resize(replace(doing.command.vm, **asked.stored()), doing.progress, doing.timeout)
    return Resized(SizeApplied(**asdict(applied)))


def _disk_attach(doing: Doing, asked: DiskAttach) -> Result:
    driver, vm = offered(doing.driver, Disks), doing.command.vm
    request = DiskRequest(**asked.stored())
    doing.progress("attaching the medium", None)
    try:
        disk = driver.disk_attach(vm, request, doing.timeout)
    except CorralError:
        with suppress(CorralError):
            _disks(doing, driver)
        raise
    disks = _disks(doing, driver)
    left = doing.command.deadline_at - time.time() - SPARE_SECONDS
    return DiskAttached(disks, visible_to_guest=driver.disk_in_guest(vm, disk, min(FOUND_SECONDS, left)))


def _disk_detach(doing: Doing, asked: DiskDetach) -> Result:
    driver, vm = offered(doing.driver, Disks), doing.command.vm
    doing.progress("detaching the medium", None)
    driver.disk_detach(vm, asked.controller, asked.port, asked.device, doing.timeout)
    return Told(_disks(doing, driver))


def _disks(doing: Doing, driver: Disks) -> list[Disk]:
    """What the VM has, which the records of media say too from now on."""
    found = driver.disks(doing.command.vm)
    doing.media.note_attached(doing.command.vm, {disk.medium for disk in found if disk.type == "hdd" and not disk.own})
    return found


def _adapter_set(doing: Doing, asked: AdapterSet) -> Result:
    """What is not said stays as it is; a new network is on its mode's default unless it is named."""
    driver, vm = offered(doing.driver, Adapters), doing.command.vm
    now = next((each for each in driver.adapters(vm) if each.slot == asked.slot), Adapter(asked.slot))
    if asked.mode not in (UNSET, now.mode):
        now = replace(now, network=None)
    doing.progress("setting the adapter", None)
    driver.adapter_set(vm, replace(now, **asked.changes), doing.timeout)
    return Told(adapters=driver.adapters(vm))


def _port_forwards(doing: Doing, _: Params) -> Result:
    driver = offered(doing.driver, PortForwards)
    doing.progress("forwarding ports", None)
    driver.set_port_forwards(doing.command.vm, doing.timeout)
    return Result()


_VERBS: dict[type[Params], Callable[[Doing, Any], Result]] = {
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
}
