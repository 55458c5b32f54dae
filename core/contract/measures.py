"""What a VM was measured to take, as a call tells it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from core.contract.bounds import Count, Line, Name, Serial


class Sample(Struct, frozen=True):
    """What a VM takes of its host at one moment."""

    vm_id: Name
    vcpus: Count
    cpu_seconds: float | None
    memory_bytes: Serial
    disk_bytes: Serial
    age_seconds: float = 0.0


class Measured(Struct, frozen=True):
    """A VM, measured; agent/drivers/capabilities/metrics.py has what its parts are."""

    sample: Sample
    cpu_percent: float
    network: dict[Name, float | Name | None] | None = None
    disk_io: dict[Name, float | None] | None = None
    guest: dict[Name, Any] | None = None
    unknown: dict[Name, Line] = field(default_factory=dict)
