"""What each kind of operation is in a driver's verbs: one verb, but for a restart, which is two journaled steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from agent import hardware
from agent.drivers.base import Driver, Progress
from agent.drivers.groups.forwards import PortForwards
from agent.drivers.groups.hardware import Adapters, DiskRequest, Disks
from agent.drivers.groups.resizing import Resizing
from agent.drivers.groups.saving import SavedStates
from agent.drivers.groups.snapshots import Snapshots
from agent.drivers.offers import offered
from core.contract.errors import DriverFailure, Invalid, Unsupported
from core.contract.messages import JSON, Command, VmSpec
from core.contract.states import Kind
from core.contract.vms import Adapter

GRACE_SECONDS = 30.0
STOPPED = "stopped"


@dataclass(frozen=True)
class Doing:
    """One command being carried out. `step` is the last one journaled by an earlier try, `mark` journals the next."""

    driver: Driver
    command: Command
    progress: Progress
    step: str
    mark: Callable[[str], None]

    @property
    def timeout(self) -> float:
        """Seconds left; `DriverFailure` once there are none."""
        left = self.command.deadline_at - time.time()
        if left <= 0:
            raise DriverFailure(f"{self.command.kind} of VM '{self.command.vm.name}' ran out of time", code="timeout")
        return left


def perform(doing: Doing) -> JSON:
    """Does it and returns the report's `result`; only `CorralError` and `Cancelled` are to be expected."""
    return _VERBS[doing.command.kind](doing)


def _create(doing: Doing) -> JSON:
    doing.driver.create(doing.command.vm, doing.progress, doing.timeout)
    return hardware.told(doing.driver, doing.command.vm)


def _start(doing: Doing) -> JSON:
    vm = doing.command.vm
    if _param(doing, "gui", bool, False):
        vm = replace(vm, hardware=replace(vm.hardware, gui=True))
    doing.driver.start(vm, doing.progress, doing.timeout)
    return {}


def _stop(doing: Doing) -> JSON:
    force = _param(doing, "force", bool, False)
    grace = 0.0 if force else float(_param(doing, "grace_seconds", (int, float), GRACE_SECONDS))
    doing.driver.stop(doing.command.vm, max(0.0, grace), doing.progress, doing.timeout)
    return {}


def _restart(doing: Doing) -> JSON:
    if doing.step != STOPPED:
        _stop(doing)
        doing.mark(STOPPED)
    return _start(doing)


def _delete(doing: Doing) -> JSON:
    doing.driver.delete(doing.command.vm, doing.timeout)
    return {}


def _pause(doing: Doing) -> JSON:
    doing.driver.pause(_pausing(doing), doing.timeout)
    return {}


def _resume(doing: Doing) -> JSON:
    doing.driver.resume(_pausing(doing), doing.timeout)
    return {}


def _pausing(doing: Doing) -> VmSpec:
    if "pause" not in doing.driver.capabilities:
        raise Unsupported(f"the driver '{doing.driver.name}' can't pause a VM")
    return doing.command.vm


def _save(doing: Doing) -> JSON:
    driver = offered(doing.driver, SavedStates)
    doing.progress("saving the memory", None)
    driver.save(doing.command.vm, doing.timeout)
    return {}


def _snapshot_create(doing: Doing) -> JSON:
    snapshot_id = _param(doing, "snapshot_id", str)
    with_memory = _param(doing, "include_memory", bool, False)
    vm = doing.command.vm
    power = doing.driver.observe(vm.id).state
    taken = offered(doing.driver, Snapshots).snapshot_create(
        vm, snapshot_id, with_memory, doing.progress, doing.timeout
    )
    return {**asdict(taken), "vm_status": power.value}


def _snapshot_restore(doing: Doing) -> JSON:
    """Restores unless an earlier try did, which shows in the count of restores that the driver keeps.

    A driver without that count restores again, if the agent dies after the restore and before its report is journaled.
    """
    snapshot_id = _param(doing, "snapshot_id", str)
    start = _param(doing, "start", (bool, type(None)), None)
    done = doing.driver.observe(doing.command.vm.id).facts.restores
    if doing.step and done is not None and f"restores={done}" != doing.step:
        return hardware.told(doing.driver, doing.command.vm)
    doing.mark(f"restores={done}")
    offered(doing.driver, Snapshots).snapshot_restore(
        doing.command.vm, snapshot_id, start, doing.progress, doing.timeout
    )
    return hardware.told(doing.driver, doing.command.vm)


def _snapshot_delete(doing: Doing) -> JSON:
    snapshot_id = _param(doing, "snapshot_id", str)
    others = offered(doing.driver, Snapshots).snapshot_delete(
        doing.command.vm, snapshot_id, doing.progress, doing.timeout
    )
    return {"snapshots": {name: asdict(taken) for name, taken in others.items()}}


def _resize(doing: Doing) -> JSON:
    driver = offered(doing.driver, Resizing)
    sizes = {name: _param(doing, name, int) for name in ("vcpus", "memory_mb")}
    limits = {name: _param(doing, name, (int, type(None))) for name in ("cpu_limit_percent", "memory_limit_percent")}
    applied = driver.resize(replace(doing.command.vm, **sizes, **limits), doing.progress, doing.timeout)
    return {"applied": asdict(applied)}


def _disk_attach(doing: Doing) -> JSON:
    driver, vm = offered(doing.driver, Disks), doing.command.vm
    request = DiskRequest(
        *_place(doing),
        type=_param(doing, "type", str),
        medium=_param(doing, "medium", str),
        create_if_missing=_param(doing, "create_if_missing", bool, False),
        size_gb=_param(doing, "size_gb", (int, type(None)), None),
    )
    doing.progress("attaching the medium", None)
    driver.disk_attach(vm, request, doing.timeout)
    return hardware.disks(driver, vm)


def _disk_detach(doing: Doing) -> JSON:
    driver, vm = offered(doing.driver, Disks), doing.command.vm
    doing.progress("detaching the medium", None)
    driver.disk_detach(vm, *_place(doing), doing.timeout)
    return hardware.disks(driver, vm)


def _place(doing: Doing) -> tuple[str, int, int]:
    return _param(doing, "controller", str), _param(doing, "port", int), _param(doing, "device", int)


def _adapter_set(doing: Doing) -> JSON:
    """What is not said stays as it is; a new network is on its mode's default unless it is named."""
    driver, vm, slot = offered(doing.driver, Adapters), doing.command.vm, _param(doing, "slot", int)
    now = next((each for each in driver.adapters(vm) if each.slot == slot), Adapter(slot))
    kinds = {"enabled": bool, "mode": str, "type": str, "cable_connected": bool, "network": (str, type(None))}
    asked = {name: _param(doing, name, kind) for name, kind in kinds.items() if name in doing.command.params}
    if asked.get("mode", now.mode) != now.mode:
        now = replace(now, network=None)
    doing.progress("setting the adapter", None)
    driver.adapter_set(vm, replace(now, **asked), doing.timeout)
    return hardware.adapters(driver, vm)


def _port_forwards(doing: Doing) -> JSON:
    driver = offered(doing.driver, PortForwards)
    doing.progress("forwarding ports", None)
    driver.set_port_forwards(doing.command.vm, doing.timeout)
    return {}


_REQUIRED = object()


def _param(doing: Doing, name: str, kind: Any, default: Any = _REQUIRED) -> Any:
    value = doing.command.params.get(name, default)
    if value is _REQUIRED or not isinstance(value, kind):
        raise Invalid(f"{doing.command.kind}: parameter '{name}' is missing or of the wrong type")
    return value


_VERBS: dict[Kind, Callable[[Doing], JSON]] = {
    Kind.CREATE: _create,
    Kind.START: _start,
    Kind.STOP: _stop,
    Kind.RESTART: _restart,
    Kind.DELETE: _delete,
    Kind.PAUSE: _pause,
    Kind.RESUME: _resume,
    Kind.SAVE: _save,
    Kind.RESIZE: _resize,
    Kind.DISK_ATTACH: _disk_attach,
    Kind.DISK_DETACH: _disk_detach,
    Kind.ADAPTER_SET: _adapter_set,
    Kind.SNAPSHOT_CREATE: _snapshot_create,
    Kind.SNAPSHOT_RESTORE: _snapshot_restore,
    Kind.SNAPSHOT_DELETE: _snapshot_delete,
    Kind.PORT_FORWARD_CREATE: _port_forwards,
    Kind.PORT_FORWARD_DELETE: _port_forwards,
}
