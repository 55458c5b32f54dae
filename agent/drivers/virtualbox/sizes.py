"""Resizes: the processor limit changes at once, vCPUs and memory while the VM is off."""

from __future__ import annotations

from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.limits import Left
from agent.drivers.virtualbox import states
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Applied, Observed

ALL_PERCENT = 100


def refuse(vm: VmSpec) -> None:
    """VirtualBox caps the use of processors, and takes the memory that a machine has."""
    if vm.memory_limit_percent not in (None, ALL_PERCENT):
        raise Unsupported("VirtualBox can't limit a VM to a share of its memory: lower memory_mb instead")


def fit(manage: VBoxManage, folder: VirtualBoxVmFolder, vm: VmSpec, left: Left) -> None:
    """Makes a machine that is off as large as it is to be; a saved one must stay as it is."""
    refuse(vm)
    info = manage.info(folder.uuid) or {}
    wanted = (str(vm.vcpus), str(vm.memory_mb), _cap(vm))
    if info.get("VMState") not in states.SAVED and _has(info) != wanted:
        cpus, memory, cap = wanted
        sizes = ["--cpus", cpus, "--memory", memory, "--cpu-execution-cap", cap]
        manage.change(folder.uuid, "modifyvm", *sizes, timeout=left())


def resize(manage: VBoxManage, folder: VirtualBoxVmFolder, vm: VmSpec, left: Left) -> SizeChange:
    """What can be done now; the next start does the rest, by the sizes that it is given."""
    refuse(vm)
    folder.record()
    info = manage.info(folder.uuid)
    if info is None:
        raise DriverFailure(f"VM '{vm.name}' is not registered with VirtualBox", code="vm_not_found")
    if states.observed(info.get("VMState", "")) not in (Observed.RUNNING, Observed.PAUSED):
        fit(manage, folder, vm, left)
        return SizeChange(*[Applied.AT_NEXT_START] * 4)
    cpus, memory, cap = _has(info)
    if cap != _cap(vm):
        manage.change(folder.uuid, "controlvm", "cpuexecutioncap", _cap(vm), timeout=left())
    return SizeChange(
        vcpus=_applied(cpus == str(vm.vcpus)),
        memory_mb=_applied(memory == str(vm.memory_mb)),
        cpu_limit_percent=Applied.LIVE,
        memory_limit_percent=Applied.LIVE,
    )


def _has(info: dict[str, str]) -> tuple[str, str, str]:
    return info.get("cpus", ""), info.get("memory", ""), info.get("cpuexecutioncap", "")


def _cap(vm: VmSpec) -> str:
    return str(vm.cpu_limit_percent or ALL_PERCENT)


def _applied(holds: bool) -> Applied:
    return Applied.LIVE if holds else Applied.AT_NEXT_START
