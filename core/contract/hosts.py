"""A host in messages: its facts, drivers and usage in inventories, and its heartbeat."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from msgspec import Meta

from core.contract.bounds import Count, Line, Moment, Name, Port, Serial
from core.contract.networks import BRIDGE, USER
from core.contract.vms import Observation

_WIDEST = 16  # bits of a bridge's prefix: addresses there are looked through one by one


@dataclass(frozen=True)
class HostNetwork:
    """A network that VMs of a host may be in. `dhcp_range`: the first and last address for VMs that ask for none."""

    name: Name
    type: Name
    subnet: Name
    gateway: Name
    dhcp_enabled: bool = True
    dhcp_range: tuple[Name, Name] | None = None

    def __post_init__(self) -> None:
        """`ValueError` for addresses that can't be."""
        subnet, gateway = IPv4Network(self.subnet), IPv4Address(self.gateway)
        first, last = map(IPv4Address, self.dhcp_range or (gateway, gateway))
        if not all(address in subnet for address in (gateway, first, last)) or first > last:
            raise ValueError(f"network '{self.name[:80]}' has addresses outside of its subnet {subnet}")
        if self.type == BRIDGE and (self.dhcp_range is None or subnet.prefixlen < _WIDEST):
            raise ValueError(f"bridge '{self.name[:80]}' has no dhcp_range, or a subnet wider than /{_WIDEST}")


USER_NETWORK = HostNetwork(name=USER, type=USER, subnet="10.0.2.0/24", gateway="10.0.2.2")
"""QEMU's user-mode network, which each VM has for itself: in it every guest has the same address."""


@dataclass(frozen=True)
class HostFacts:
    """The facts about a host beside its size; what an older agent does not send has its default.

    `forward_ports`: the first and the last that one is chosen from, below 32768, where Linux begins to hand out ports
    for outgoing connections. `kernel_images`: those that need their kernel beside them. `image_sizes_gb`: the least
    size of a VM's disk by image. `image_digests`: which version of each image it is. `image_contents`: the digests of
    those and of all that it has got from the fleet, which it does if it `pulls_images`. `own_ports`: where something of
    Corral's listens. `joinable`: what adapters of VirtualBox may join, each as "mode:name"; None: not told.
    """

    os: Name = "Linux"
    forward_address: Name = "127.0.0.1"
    forward_ports: tuple[Port, Port] = (20000, 29999)
    networks: Annotated[list[HostNetwork], Meta(max_length=64)] = field(default_factory=lambda: [USER_NETWORK])
    kernel_images: list[Line] = field(default_factory=list)
    image_sizes_gb: dict[Line, Count] = field(default_factory=dict)
    image_digests: dict[Line, Name] = field(default_factory=dict)
    image_contents: list[Name] = field(default_factory=list)
    pulls_images: bool = False
    joinable: Annotated[list[Name], Meta(max_length=256)] | None = None
    own_ports: Annotated[list[Port], Meta(max_length=64)] = field(default_factory=list)

    def __post_init__(self) -> None:
        """`ValueError` for ports in the wrong order."""
        first, last = self.forward_ports
        if first > last:
            raise ValueError(f"there are no forward_ports from {first} to {last}")


@dataclass(frozen=True)
class ReportedMedium:
    """A disk that VMs of one owner may have. `name` is what the owner calls it, `vm_id` the VM that has it now.

    `made`: it was made here, and what it may take is counted on its host; else its operator has put it there.
    """

    id: Name
    owner: Name
    name: Line
    format: Name
    size_bytes: Serial
    used_bytes: Serial | None = None
    vm_id: Name = ""
    made: bool = True
    created_at: Moment = 0.0


@dataclass(frozen=True)
class DriverHealth:
    """The health of one driver, as probed by use: `healthy`, or `problem` says what is wrong and what to do.

    `observed`: an inventory has its VMs; else they could not be looked at, and nothing is known of them now.
    """

    name: Name
    healthy: bool
    version: Name = ""
    acceleration: Name = ""
    capabilities: list[Name] = field(default_factory=list)
    problem: Line = ""
    observed: bool = True


@dataclass(frozen=True)
class Inventory:
    """An inventory. `boot_id` changes with every start of the agent, `home_id` is that of the home it has.

    An agent of an older release tells no `media`.
    """

    host: Name
    boot_id: Name
    generation: Serial
    at: Moment
    vcpus: Count
    memory_mb: Count
    disk_gb: Count
    drivers: list[DriverHealth]
    images: list[Name]
    vms: list[Observation]
    facts: HostFacts = field(default_factory=HostFacts)
    home_id: str = ""
    media: list[ReportedMedium] | None = None


@dataclass(frozen=True)
class Heartbeat:
    """An agent is alive."""

    host: Name
    boot_id: Name
    at: Moment


@dataclass(frozen=True)
class Fence:
    """The number of the host's last fence, larger than any before; `closed`: it holds still."""

    number: Serial
    closed: bool


@dataclass(frozen=True)
class HostUsage:
    """The usage of a host's machine now. Agents that share a kernel send the same `machine`, and `disk` a file
    system.
    """

    host: Name
    at: Moment
    machine: Name
    disk: Name
    cpu_percent: float
    cpu_cores: Count
    memory_total_mb: Serial
    memory_used_mb: Serial
    disk_total_mb: Serial
    disk_used_mb: Serial
    disk_free_mb: Serial | None = None


@dataclass(frozen=True)
class RedisNodeState:
    """How a worker has found a Redis server beside the one that is used. `problem`: empty when it has the accounts."""

    at: Moment
    problem: Line
