"""Another size for a VM: more vCPUs and memory are plugged into a running machine; the rest waits for its next start.

Memory comes in blocks of 128 MiB, and more of it is never taken away from a guest that runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent import cgroups
from agent.drivers.base import Progress
from agent.drivers.cloud_hypervisor.api import Api
from agent.drivers.cloud_hypervisor.config import HOTPLUG_MB
from agent.drivers.cloud_hypervisor.observing import observe
from agent.drivers.groups.resizing import Resized
from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local.folder import Folder, Machine, State
from agent.drivers.local.sizes import applied, bring_memory_online, bring_online
from core.contract.messages import VmSpec
from core.contract.states import Applied, Observed

BEYOND_MB = 256  # what its process holds beside the guest's memory, at most
BLOCK_MB = 128
SECONDS = 5.0


def resize(folder: Folder, vm: VmSpec, groups: Path | None, progress: Progress, left: Left) -> Resized:
    """Does what can be done now. It may be done again: each step looks at what is there."""
    state = folder.state()
    group = cgroups.find(groups, vm)  # first: it refuses what the host can't hold
    pid = daemon.alive(folder.path)
    machine = state.machine if pid is not None else None
    if machine is None or pid is None:
        return Resized(*[Applied.AT_NEXT_START] * 4)
    processors, memory = vm.vcpus == machine.vcpus, vm.memory_mb == machine.memory_mb
    if observe(folder).state is Observed.RUNNING:
        if machine.vcpus < vm.vcpus <= machine.max_vcpus:
            progress("plugging in vCPUs", None)
            machine = _plug(folder, machine, left, vcpus=vm.vcpus)
            processors = bring_online(folder.path, state, vm.vcpus, left)
        if _can_plug(state, machine, vm.memory_mb):
            progress("plugging in memory", None)
            machine = _plug(folder, machine, left, memory_mb=vm.memory_mb)
            memory = bring_memory_online(folder.path, state, left)
    held = group is not None and cgroups.holds(group, pid)
    if held and group is not None:
        # A share of what it runs with, which may not be what it is to have.
        size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
        cgroups.limit(group, size, BEYOND_MB)
        fit_balloon(folder, machine, vm.memory_limit_percent)
    limits = applied(held or not cgroups.is_limited(vm))
    return Resized(
        vcpus=applied(processors), memory_mb=applied(memory), cpu_limit_percent=limits, memory_limit_percent=limits
    )


def fit_balloon(folder: Folder, machine: Machine, percent: int | None) -> None:
    """Asks the guest to do with that share of its memory; one that has no driver for it does not hear."""
    if machine.balloon and percent is not None:
        size = machine.memory_mb * 2**20 * (100 - percent) // 100
        Api(folder.path, SECONDS).put("vm.resize", {"desired_balloon": size})


def _can_plug(state: State, machine: Machine, memory_mb: int) -> bool:
    more = memory_mb - machine.memory_mb
    booted = (machine.memory_mb - state.spec.memory_mb) + more
    return more > 0 and more % BLOCK_MB == 0 and booted < HOTPLUG_MB


def _plug(folder: Folder, machine: Machine, left: Left, *, vcpus: int = 0, memory_mb: int = 0) -> Machine:
    if vcpus:
        Api(folder.path, left()).put("vm.resize", {"desired_vcpus": vcpus})
        machine = replace(machine, vcpus=vcpus)
    if memory_mb:
        Api(folder.path, left()).put("vm.resize", {"desired_ram": memory_mb << 20})
        machine = replace(machine, memory_mb=memory_mb)
    folder.change(machine=machine)
    return machine
