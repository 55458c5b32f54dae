"""Another size for a VM: more vCPUs are plugged into a running machine; all else waits for its next start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent import cgroups
from agent.drivers.base import Progress
from agent.drivers.groups.resizing import Resized
from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local.folder import Folder, Machine
from agent.drivers.local.sizes import applied, bring_online
from agent.drivers.qemu import balloon
from agent.drivers.qemu.accelerators import BEYOND_MB
from agent.drivers.qemu.observing import observe
from agent.drivers.qemu.qmp import Monitor
from core.contract.messages import VmSpec
from core.contract.states import Applied, Observed


def resize(folder: Folder, vm: VmSpec, groups: Path | None, progress: Progress, left: Left) -> Resized:
    """Does what can be done now. Plugging is safe to repeat: it counts what is there."""
    state = folder.state()
    group = cgroups.find(groups, vm)  # first: it refuses what the host can't hold
    pid = daemon.alive(folder.path)
    machine = state.machine if pid is not None else None
    if machine is None or pid is None:
        return Resized(*[Applied.AT_NEXT_START] * 4)
    used = vm.vcpus == machine.vcpus
    if machine.vcpus < vm.vcpus <= machine.max_vcpus and observe(folder).state is Observed.RUNNING:
        progress("plugging in vCPUs", None)
        machine = plug(folder, machine, vm.vcpus, left)
        used = bring_online(folder.path, state, vm.vcpus, left)
    held = group is not None and cgroups.holds(group, pid)
    if held and group is not None:
        # A share of what it runs with, which may not be what it is to have.
        size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
        cgroups.limit(group, size, BEYOND_MB[machine.acceleration])
        balloon.fit(folder, machine, vm.memory_limit_percent)
    limits = applied(held or not cgroups.is_limited(vm))
    return Resized(
        vcpus=applied(used),
        memory_mb=applied(vm.memory_mb == machine.memory_mb),
        cpu_limit_percent=limits,
        memory_limit_percent=limits,
    )


def plug(folder: Folder, machine: Machine, vcpus: int, left: Left) -> Machine:
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
