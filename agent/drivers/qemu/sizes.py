"""Hotplug of vCPUs into a running VM."""

from __future__ import annotations

from dataclasses import replace

from agent.drivers.limits import Left
from agent.drivers.local.folder import LocalVmFolder, VirtualMachineModel
from agent.drivers.local.sizes import Plugs
from agent.drivers.qemu import balloon
from agent.drivers.qemu.accelerators import beyond_mb
from agent.drivers.qemu.qmp import Monitor


def plug(folder: LocalVmFolder, machine: VirtualMachineModel, vcpus: int, left: Left) -> VirtualMachineModel:
    """Plugs vCPUs into a running machine until it has so many, in the order in which a launch would count them."""
    with Monitor(folder.path, left()) as monitor:
        slots = monitor.ask("query-hotpluggable-cpus")
        free = sorted((slot for slot in slots if "qom-path" not in slot), key=_position)
        for slot in free[: max(0, vcpus - (len(slots) - len(free)))]:
            name = "cpu-" + "-".join(str(part) for part in _position(slot))
            monitor.ask("device_add", driver=slot["type"], id=name, **slot["props"])
    plugged = replace(machine, vcpus=vcpus)
    folder.change(machine=plugged)
    return plugged


def _position(slot: dict[str, dict[str, int]]) -> tuple[int, ...]:
    return tuple(slot["props"].get(name, 0) for name in ("socket-id", "die-id", "core-id", "thread-id"))


PLUGS = Plugs(beyond_mb, plug, balloon.fit)
