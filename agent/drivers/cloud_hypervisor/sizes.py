"""Hotplug of vCPUs and memory into a running VM.

Memory comes in blocks of 128 MiB, and more of it is never taken away from a guest that runs.
"""

from __future__ import annotations

from dataclasses import replace

from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.cloud_hypervisor.config import HOTPLUG_MB
from agent.drivers.limits import Left
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.local.sizes import Plugs

BEYOND_MB = 256  # what its process holds beside the guest's memory, at most
BLOCK_MB = 128
SECONDS = 5.0


def beyond_mb(_: VirtualMachineModel) -> int:
    """The same for all of them."""
    return BEYOND_MB


def fit_balloon(folder: LocalVmFolder, machine: VirtualMachineModel, percent: int | None) -> None:
    """Asks the guest to do with that share of its memory; one that has no driver for it does not hear."""
    if machine.balloon:
        size = machine.memory_mb * 2**20 * (100 - (percent or 100)) // 100
        CloudHypervisorApi(folder.path, SECONDS).put("vm.resize", {"desired_balloon": size})


def _takes(state: LocalVmRecord, machine: VirtualMachineModel, memory_mb: int) -> bool:
    more = memory_mb - machine.memory_mb
    booted = (machine.memory_mb - state.spec.memory_mb) + more
    return more > 0 and more % BLOCK_MB == 0 and booted < HOTPLUG_MB


def _plug_vcpus(folder: LocalVmFolder, machine: VirtualMachineModel, vcpus: int, left: Left) -> VirtualMachineModel:
    CloudHypervisorApi(folder.path, left()).put("vm.resize", {"desired_vcpus": vcpus})
    return _noted(folder, replace(machine, vcpus=vcpus))


def _plug_memory(
    folder: LocalVmFolder, machine: VirtualMachineModel, memory_mb: int, left: Left
) -> VirtualMachineModel:
    CloudHypervisorApi(folder.path, left()).put("vm.resize", {"desired_ram": memory_mb << 20})
    return _noted(folder, replace(machine, memory_mb=memory_mb))


def _noted(folder: LocalVmFolder, machine: VirtualMachineModel) -> VirtualMachineModel:
    folder.change(machine=machine)
    return machine


PLUGS = Plugs(beyond_mb, _plug_vcpus, fit_balloon, _takes, _plug_memory)
