"""Capability: measure what VMs use of their host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from core.contract.messages import JSON, VmSpec


@dataclass(frozen=True)
class Sample:
    """The usage of a VM at one moment, measured without asking the hypervisor or the guest.

    `cpu_seconds`: of its process, from that process's start; None without one. `age_seconds`: how long that process has
    lived, then. `memory_bytes`: of its memory, held by the host now. `disk_bytes`: its disk's files.
    """

    vm_id: str
    vcpus: int
    cpu_seconds: float | None
    memory_bytes: int
    disk_bytes: int
    age_seconds: float = 0.0

    def cpu_percent_since(self, before: Sample | None, seconds: float) -> float:
        """The share of all its vCPUs that its process used, 0 to 100: in the `seconds` since, or from its start."""
        used, lasted = self.cpu_seconds or 0.0, self.age_seconds
        if before is not None and before.cpu_seconds is not None and seconds < self.age_seconds:
            used, lasted = used - before.cpu_seconds, seconds
        if lasted <= 0:
            return 0.0
        share = used / (lasted * max(1, self.vcpus))
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Measurement:
    """A VM, measured over a moment. All numbers that count up do so from its start.

    `network`: {"bytes_in", "bytes_out", "packets_in", "packets_out", "source"} as the VM sees in and out; `disk_io`:
    {"read_bytes", "written_bytes", "reads", "writes"}; `guest`: {"cpu", "memory", "file_systems"}, what its agent told.
    `unknown` says of each that is None, or that lacks a part, why.
    """

    sample: Sample
    cpu_percent: float
    network: JSON | None = None
    disk_io: JSON | None = None
    guest: JSON | None = None
    unknown: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class MetricsCapability(Protocol):
    """Has "metrics" among its capabilities."""

    def sample_all(self) -> list[Sample]:
        """One of each VM; cheap enough for every few seconds. What can't be read is left out."""

    def measure(self, vm: VmSpec, timeout: float) -> Measurement:
        """All there is to know. Two readings a moment apart tell the processor's use, as nothing is remembered."""
