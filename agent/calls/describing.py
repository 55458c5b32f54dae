"""The call `describe`: finds the driver that has an orphan, and what the driver knows of that VM."""

from __future__ import annotations

from collections.abc import Iterable

from agent.drivers.base import Driver
from core.contract.described import DescribeReply
from core.contract.errors import NotFound
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Observation


def described(drivers: Iterable[Driver], vm_id: str) -> DescribeReply:
    """The VM; `NotFound` when no driver has it, or none remembers what was asked for."""
    for driver in drivers:
        spec = driver.remembered(vm_id)
        seen = driver.observe(vm_id)
        if spec is not None and seen.state is not Observed.ABSENT:
            return _of(spec, driver.name, seen)
    raise NotFound(f"no driver of this host has a VM '{vm_id}' that can be adopted", code="orphan_not_found")


def _of(spec: VmSpec, hypervisor: str, seen: Observation) -> DescribeReply:
    return DescribeReply(
        name=spec.name,
        hypervisor=hypervisor,
        os_type=spec.os_type,
        image=spec.image.name if spec.image else "",
        image_digest=spec.image.digest if spec.image else "",
        vcpus=spec.vcpus,
        memory_mb=spec.memory_mb,
        disk_gb=spec.disk_gb,
        cpu_limit_percent=spec.cpu_limit_percent,
        memory_limit_percent=spec.memory_limit_percent,
        network=spec.network,
        hardware=spec.hardware,
        state=seen.state.value,
        started_at=seen.started_at,
        reason=seen.reason,
        facts=seen.facts,
    )
