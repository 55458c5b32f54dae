"""A VM in messages: as requested, as its driver has it, and as observed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from msgspec import Meta

from core.contract.bounds import Count, Line, Moment, Name, Percent, Serial
from core.contract.networks import BRIDGE, USER, USER_ADDRESS
from core.contract.states import Observed

Some = Meta(max_length=256)
# The words of VBoxManage, which every driver is asked in.
ADAPTER_MODES = ("none", "null", "nat", "natnetwork", "bridged", "intnet", "hostonly", "generic")
ADAPTER_TYPES = ("Am79C970A", "Am79C973", "82540EM", "82543GC", "82545EM", "virtio")
DISK_TYPES = ("hdd", "dvd")
SPREAD, PACK = STRATEGIES = ("spread", "pack")


@dataclass(frozen=True)
class VmNetwork:
    """The network of a VM: a bridge with that address, or user mode, where `bridge` and `ip` have what was asked
    for.
    """

    type: Name = USER
    bridge: Name | None = None
    ip: Name | None = None
    mac_address: Name | None = None

    @property
    def on_bridge(self) -> bool:
        """Whether it was placed there."""
        return self.type == BRIDGE

    @property
    def true(self) -> VmNetwork:
        """Where the VM really is."""
        return self if self.on_bridge else replace(self, type=USER, bridge=USER, ip=USER_ADDRESS)


@dataclass(frozen=True)
class Placement:
    """The demands of a VM on its host. `require` and `prefer` are terms for labels (`core.labels`).

    `apart_from_group`: the VM is of that group of its owner's, of which no host is to have two. `strategy`: "spread"
    takes the host with most memory left, "pack" the one with least.
    """

    require: list[Line] = field(default_factory=list)
    prefer: list[Line] = field(default_factory=list)
    apart_from_group: Name | None = None
    strategy: Name = SPREAD


@dataclass(frozen=True)
class AdapterWish:
    """A network adapter that a new VM is to have, in VirtualBox's words. `type` is its mode."""

    enabled: bool = True
    type: Name = "nat"
    adapter_type: Name = "82540EM"
    cable_connected: bool = True
    bridge_adapter: Name | None = None


@dataclass(frozen=True)
class Controller:
    """A storage controller of a VM."""

    name: Name
    type: Name = "sata"
    port_count: Count = 4


@dataclass(frozen=True)
class Disk:
    """A medium as it is attached: `medium` the host's own path, `format` in lower case, such as "vdi".

    `own`: it is the VM's own disk and goes with it. `used_bytes`: what it takes on the host, where that can be told.
    """

    controller: Name
    port: Count
    device: Count
    type: Name
    medium: Line
    size_bytes: Serial
    used_bytes: Serial | None
    format: Name
    own: bool


@dataclass(frozen=True)
class Adapter:
    """A network adapter, asked for or as it is. `slot` counts from 0.

    `mode`: "none", "null", "nat", "natnetwork", "bridged", "intnet", "hostonly", "generic"; `network`: which interface
    or network that is, None for the mode's own default. `mac_address`: None leaves it as it is.
    """

    slot: Count
    enabled: bool = True
    mode: Name = "nat"
    type: Name = "82540EM"
    cable_connected: bool = True
    mac_address: Name | None = None
    network: Name | None = None


@dataclass(frozen=True)
class Misbehaviour:
    """The misbehaviour of the fake driver for one VM, by verb; agent/drivers/fake/behaviour.py explains each."""

    slow: dict[Name, float] | None = None
    linger: dict[Name, float] | None = None
    fail: dict[Name, dict[Name, Name | bool]] | None = None
    hang: list[Name] | None = None
    broken: list[Name] | None = None
    crash_after_seconds: float | None = None


@dataclass(frozen=True)
class Hardware:
    """The hardware of a VM beside its size, as requested, and as its host has reported it since.

    `os_type`: VirtualBox's word for the guest; `disk_type`: the caller's for a disk. `network`: adapters by "adapter1"
    to "adapter8". `disks` and `adapters`: None until its host has told. `gui`: with a window, for this one start.
    """

    os_type: Name | None = None
    disk_type: Name | None = None
    network: dict[Name, AdapterWish] = field(default_factory=dict)
    storage_controllers: Annotated[list[Controller], Some] = field(default_factory=list)
    gui: bool = False
    disks: Annotated[list[Disk], Some] | None = None
    adapters: Annotated[list[Adapter], Some] | None = None
    fake: Misbehaviour | None = None


@dataclass(frozen=True)
class Running:
    """What a driver can tell of a VM beside its state: `vcpus` and `memory_mb` are what a running one runs with, which
    need not be what it is to have. `restores` counts how often it was brought back to a snapshot. `disk`: how its disk
    came from the image, where the driver knows several ways: "reflink", "layer" or "copy"."""

    restores: Count | None = None
    vcpus: Count | None = None
    memory_mb: Count | None = None
    acceleration: Name | None = None
    disk: Name | None = None


@dataclass(frozen=True)
class Progress:
    """How far an operation is."""

    step: Name
    percent: Percent | None = None


@dataclass(frozen=True)
class Observation:
    """The observation of one VM by its driver."""

    vm_id: Name
    state: Observed
    started_at: Moment | None = None
    pid: Serial | None = None
    reason: Line | None = None
    facts: Running = field(default_factory=Running)


@dataclass(frozen=True)
class VmUsage:
    """The usage of a VM now. `cpu_percent`: of all its vCPUs, since the last measurement or its start."""

    at: Moment
    cpu_percent: float
    memory_mb: Serial
    disk_gb: float
