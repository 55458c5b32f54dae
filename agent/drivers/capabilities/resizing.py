"""Capability: change a VM's vCPUs, memory and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agent.drivers.base import Progress
from core.contract.messages import VmSpec
from core.contract.states import Applied


@dataclass(frozen=True)
class SizeChange:
    """When each new size applies: `LIVE` only if the VM runs with it now."""

    vcpus: Applied
    memory_mb: Applied
    cpu_limit_percent: Applied
    memory_limit_percent: Applied


@runtime_checkable
class ResizingCapability(Protocol):
    """Has "resizing" among its capabilities; `observe` shows facts.vcpus and facts.memory_mb of what runs."""

    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> SizeChange:
        """Gives a VM the sizes and limits in `vm`: at once what a running one can take, the rest when it starts.

        `Unsupported`, before anything is changed, where the host can't hold it to a limit; so does a start.
        """
