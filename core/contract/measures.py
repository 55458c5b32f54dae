"""Measurements of a VM in replies. The guest's own values have bounds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from core.contract.bounds import MOST_LISTED, Count, Line, Name, Serial

Share = Annotated[float, Meta(ge=0, le=100)]
"""A percentage of what there is."""


class SampleReply(Struct, frozen=True):
    """The usage of a VM at one moment."""

    vm_id: Name
    vcpus: Count
    cpu_seconds: float | None
    memory_bytes: Serial
    disk_bytes: Serial
    age_seconds: float = 0.0


class Traffic(Struct, frozen=True):
    """The network traffic of a VM's adapters; `source`: who has counted it."""

    bytes_in: Serial
    bytes_out: Serial
    packets_in: Serial | None
    packets_out: Serial | None
    source: Name


class DiskIo(Struct, frozen=True):
    """The disk traffic of a VM."""

    read_bytes: Serial
    written_bytes: Serial
    reads: Serial
    writes: Serial


class GuestCpu(Struct, frozen=True):
    """The processors as the guest's kernel sees them."""

    usage_percent: Share


class GuestMemory(Struct, frozen=True):
    """The memory as the guest's kernel sees it."""

    total_mb: Serial
    used_mb: Serial
    available_mb: Serial
    usage_percent: Share


class FileSystem(Struct, frozen=True):
    """One that is mounted in the guest."""

    mountpoint: Line
    type: Name
    total_bytes: Serial | None = None
    used_bytes: Serial | None = None


FileSystems = Annotated[list[FileSystem], Meta(max_length=MOST_LISTED)]


class GuestMetrics(Struct, frozen=True):
    """The metrics that a guest reports; None for those that it does not."""

    cpu: GuestCpu | None = None
    memory: GuestMemory | None = None
    file_systems: FileSystems | None = None


class MeasureReply(Struct, frozen=True):
    """A VM, measured; agent/drivers/capabilities/metrics.py has what its parts are."""

    sample: SampleReply
    cpu_percent: float
    network: Traffic | None = None
    disk_io: DiskIo | None = None
    guest: GuestMetrics | None = None
    unknown: dict[Name, Line] = field(default_factory=dict)
