"""The description of an orphan by its driver: enough to make a VM of it."""

from __future__ import annotations

from msgspec import Struct, field

from core.contract.bounds import Count, Line, Moment, Name
from core.contract.vms import Hardware, Running, VmNetwork


class VmRef(Struct, frozen=True):
    """A VM of the host, by its id."""

    vm_id: Name


class DescribeReply(Struct, frozen=True, kw_only=True):
    """A VM as it was asked for last (`messages.VmSpec`), and as it is now (`vms.Observation`)."""

    name: Name
    hypervisor: Name
    os_type: Name
    image: Name
    image_digest: Name = ""
    vcpus: Count
    memory_mb: Count
    disk_gb: Count
    cpu_limit_percent: Count | None = None
    memory_limit_percent: Count | None = None
    network: VmNetwork = field(default_factory=VmNetwork)
    hardware: Hardware = field(default_factory=Hardware)
    state: Name
    started_at: Moment | None = None
    reason: Line | None = None
    facts: Running = field(default_factory=Running)
