"""Resizes: what can be hotplugged changes at once, and the rest at the next start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.limits import Left
from agent.drivers.local import daemon, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.guest import qga
from agent.system import cgroups
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Applied, Observed

ONLINE_SECONDS, ASK_SECONDS = 30.0, 5.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Plugs:
    """The hotplug functions of a hypervisor.

    `beyond`: what its process holds beside the guest's memory, at most, in MB. `vcpus` and `memory` plug in more until
    the machine has so many, or so many MB; either may be done again. `takes`: whether a machine can get that much
    memory now. `limit_memory` asks the guest to do with a share of its memory, in percent; None: with all of it.
    """

    beyond: Callable[[VirtualMachineModel], int]
    vcpus: Callable[[LocalVmFolder, VirtualMachineModel, int, Left], VirtualMachineModel]
    limit_memory: Callable[[LocalVmFolder, VirtualMachineModel, int | None], None]
    takes: Callable[[LocalVmRecord, VirtualMachineModel, int], bool] = lambda _state, _machine, _memory_mb: False
    memory: Callable[[LocalVmFolder, VirtualMachineModel, int, Left], VirtualMachineModel] = (
        lambda _folder, machine, _memory_mb, _left: machine
    )


def resize(
    folder: LocalVmFolder,
    vm: VmSpec,
    groups: Path | None,
    power: Observed,
    plugs: Plugs,
    progress: Progress,
    left: Left,
) -> SizeChange:
    """Does what can be done now, with a VM in that state. It may be done again: each step looks at what is there."""
    state = folder.state()
    group = cgroups.find(groups, vm)  # first: it refuses what the host can't hold
    pid = daemon.alive(folder.path)
    machine = state.machine if pid is not None else None
    if machine is None or pid is None:
        return SizeChange(*[Applied.AT_NEXT_START] * 4)
    processors, memory = vm.vcpus == machine.vcpus, vm.memory_mb == machine.memory_mb
    if power is Observed.RUNNING:
        if machine.vcpus < vm.vcpus <= machine.max_vcpus:
            progress("plugging in vCPUs", None)
            machine = plugs.vcpus(folder, machine, vm.vcpus, left)
            processors = bring_online(folder.path, state, vm.vcpus, left)
        if plugs.takes(state, machine, vm.memory_mb):
            progress("plugging in memory", None)
            machine = plugs.memory(folder, machine, vm.memory_mb, left)
            memory = bring_memory_online(folder.path, state, left)
    held = group is not None and cgroups.holds(group, pid)
    if held and group is not None:
        # A share of what it runs with, which may not be what it is to have.
        size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
        cgroups.limit(group, size, plugs.beyond(machine))
        plugs.limit_memory(folder, machine, vm.memory_limit_percent)
    limits = applied(held or not cgroups.is_limited(vm))
    return SizeChange(
        vcpus=applied(processors), memory_mb=applied(memory), cpu_limit_percent=limits, memory_limit_percent=limits
    )


def bring_online(folder: Path, state: LocalVmRecord, vcpus: int, left: Left) -> bool:
    """Whether the guest uses that many by now. Linux is told to; others do it by themselves."""
    if not usable.has_agent(state):
        return False
    deadline = time.monotonic() + min(ONLINE_SECONDS, left())
    while time.monotonic() < deadline:
        try:
            seen = qga.ask(folder, "guest-get-vcpus", ASK_SECONDS)
            resting = [{"logical-id": each.logical_id, "online": True} for each in seen if not each.online]
            if len(seen) - len(resting) >= vcpus:
                return True
            if resting:
                qga.ask(folder, "guest-set-vcpus", ASK_SECONDS, vcpus=resting)
                continue
        except qga.AgentSilent:
            pass  # an emulated guest may take longer for a processor than its agent is given to answer
        except DriverFailure:
            return False  # an agent that can't say; the machine has them all the same
        time.sleep(POLL_SECONDS)
    return False


def bring_memory_online(folder: Path, state: LocalVmRecord, left: Left) -> bool:
    """Whether the guest uses all the memory that it has by now. Linux is told to; others do it by themselves."""
    if not usable.has_agent(state):
        return False
    deadline = time.monotonic() + min(ONLINE_SECONDS, left())
    before: int | None = None
    while time.monotonic() < deadline:
        try:
            seen = qga.ask(folder, "guest-get-memory-blocks", ASK_SECONDS)
            resting = [{"phys-index": each.phys_index, "online": True} for each in seen if not each.online]
            if resting:
                qga.ask(folder, "guest-set-memory-blocks", ASK_SECONDS, **{"mem-blks": resting})
                return True
            if before is not None and len(seen) > before:
                return True  # it has taken them into use by itself
            before = len(seen) if before is None else before
        except qga.AgentSilent:
            pass
        except DriverFailure:
            return False
        time.sleep(POLL_SECONDS)
    return False


def applied(holds: bool) -> Applied:
    """Since when it holds."""
    return Applied.LIVE if holds else Applied.AT_NEXT_START
