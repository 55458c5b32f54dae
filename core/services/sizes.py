"""The size of a VM: vCPUs, memory, and the limits of both."""

from __future__ import annotations

from msgspec.structs import replace
from sqlalchemy.orm import Session

from core.contract.commands import Resize
from core.contract.states import Observed
from core.models import Operation, Vm
from core.models.base import JSON
from core.services import hosts, operations, rules, vms
from core.services.accepted import Accepted
from core.services.context import Actor

VCPUS, MEMORY_MB, DISK_GB, PERCENT = (1, 16), (128, 65536), (1, 2048), (1, 100)

DISK_DEFAULT = f"{vms.DEFAULT_DISK_GB}, or what the image needs if more"


def resize(session: Session, actor: Actor, ref: str, changes: JSON) -> Accepted:
    """Give a VM another size, what it needs more reserved on its host: `NoCapacity`. A limit of 100 is none.

    The operation's result says of each of the four whether it holds now or at the next start.
    """
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, "resizing")
    wanted = _limited(replace(size_of(vm), **changes))
    if vm.observed in (Observed.RUNNING, Observed.PAUSED):
        vm.running_vcpus, vm.running_memory_mb = vm.current_vcpus, vm.current_memory_mb
    hosts.take_more(session, vm, vcpus=wanted.vcpus, memory_mb=wanted.memory_mb)
    return operations.begin(session, actor, vm, wanted)


def size_of(vm: Vm) -> Resize:
    """What a VM is to have."""
    return Resize(vm.vcpus, vm.memory_mb, vm.cpu_limit_percent, vm.memory_limit_percent)


def resized(vm: Vm, operation: Operation) -> None:
    """The host has done it, or will at the VM's next start."""
    size = operations.asked(operation, Resize)
    vm.vcpus, vm.memory_mb = size.vcpus, size.memory_mb
    vm.cpu_limit_percent, vm.memory_limit_percent = size.cpu_limit_percent, size.memory_limit_percent


def _limited(size: Resize) -> Resize:
    whole = PERCENT[1]
    return replace(
        size,
        cpu_limit_percent=None if size.cpu_limit_percent == whole else size.cpu_limit_percent,
        memory_limit_percent=None if size.memory_limit_percent == whole else size.memory_limit_percent,
    )
