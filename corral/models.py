"""Answers of the API, as frozen values. A field that this version does not know is left out; `None` is "unknown"."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Fields beyond those that the API always sends have defaults, so that older and newer servers are understood.


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Where a VM is: on a bridge of its host, or in user mode."""

    ip: str = ""
    bridge: str = ""
    type: str = ""
    mac_address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a VM used a few seconds ago."""

    cpu_usage_percent: float | None = None
    memory_used_mb: int | None = None
    disk_usage_gb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A size. Limits are shares of it, None where there are none."""

    vcpus: int
    memory_mb: int
    cpu_limit_percent: int | None = None
    memory_limit_percent: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vm:
    """A virtual machine. A list leaves out what only `vms.get` tells."""

    id: str
    name: str
    status: str
    os_type: str
    vcpus: int
    memory_mb: int
    created_at: datetime
    hypervisor: str
    host: str
    network_config: NetworkConfig = field(default_factory=NetworkConfig)
    template: str | None = None
    disk_size_gb: int | None = None
    started_at: datetime | None = None
    uptime_seconds: int | None = None
    resource_usage: Usage | None = None
    reason: str | None = None
    expires_at: datetime | None = None
    placement: dict[str, Any] | None = None
    restart_policy: str = "none"
    last_seen_at: datetime | None = None
    operation_id: str | None = None
    at_next_start: Sizes | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an operation failed."""

    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an operation is."""

    step: str = ""
    percent: int | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A change that was accepted: "queued", "running", then "succeeded", "failed" or "cancelled".

    That of a host, such as a drain, has no VM: `vm_id` and `vm_name` are empty.
    """

    id: str
    kind: str
    state: str
    vm_id: str
    vm_name: str
    host: str
    accepted_at: datetime
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_at: datetime | None = None
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    error: Failure | None = None
    attempt: int = 0
    request_id: str = ""

    @property
    def subject(self) -> str:
        """What it is an operation of, for people: "VM 'web'", "host 'web-7'"."""
        return f"VM '{self.vm_name}'" if self.vm_name else f"host '{self.host}'"

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot of a VM."""

    id: str
    name: str
    vm_name: str
    created_at: datetime
    size_bytes: int
    description: str = ""
    include_memory: bool = False
    checksum: str = ""


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """How a command ended. `truncated`: an output was longer than `output_limit_bytes`."""

    exit_code: int
    stdout: str
    stderr: str
    command: str
    execution_time_seconds: float
    executed_at: datetime
    encoding: str = "text"
    truncated: bool = False
    truncation: str | None = None
    output_limit_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A command that runs, or ran, by itself."""

    id: str
    command: str
    state: str
    started_at: datetime
    name: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    ended_at: datetime | None = None
    timeout_seconds: int | None = None
    working_directory: str | None = None
    execution_time_seconds: float | None = None
    tty: bool = False


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk or DVD that is attached to a VM. `own`: the VM's own disk."""

    controller: str
    port: int
    device: int
    type: str
    medium: str
    size_gb: float | None = None
    used_gb: float | None = None
    format: str = ""
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A disk beside VMs' own. `vm_id`: the VM that has it now."""

    id: str
    name: str
    host: str
    format: str
    owner_id: str
    created_at: datetime
    size_gb: float | None = None
    used_gb: float | None = None
    reserved_gb: float | None = None
    vm_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A network adapter of a VM."""

    slot: int
    enabled: bool
    type: str
    mode: str
    mac_address: str | None = None
    cable_connected: bool = True
    speed_mbps: int | None = None
    bridge_adapter: str | None = None


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A port of the VM's host that leads into the guest."""

    id: str
    host_port: int
    guest_port: int
    protocol: str
    host: str
    host_address: str
    created_at: datetime
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What VMs are made from. `hosts` have it."""

    name: str
    digest: str
    os_type: str
    format: str
    disk_size_gb: int
    size_bytes: int
    has_kernel: bool = False
    guest_agent: bool = False
    cmdline: str = ""
    description: str = ""
    hosts: list[str] = field(default_factory=list)
    disk_sha256: str = ""
    kernel_sha256: str | None = None
    initrd_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key. `key` is its secret, told once, when it is made."""

    id: str
    name: str
    prefix: str
    access: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. `seq` grows; `after=seq` goes on behind it."""

    event_type: str
    timestamp: datetime
    seq: int
    data: dict[str, Any] = field(default_factory=dict)
    vm_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A weakness that a scan found."""

    severity: str
    category: str
    description: str
    recommendation: str
    affected_resource: str
