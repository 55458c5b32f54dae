"""The bridge of a host and its bridge ports, as plain values from the operator and from VMs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from core import durable
from core.contract.errors import DriverFailure, Invalid
from core.contract.hosts import HostNetwork
from core.contract.messages import Forward, VmSpec, decode
from core.contract.networks import BRIDGE, mac_of, tap_of

NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Bridge:
    """`gateway` is the host's own address there; VMs that ask for none get one from `first` to `last`."""

    name: str
    subnet: IPv4Network
    gateway: IPv4Address
    first: IPv4Address
    last: IPv4Address

    @property
    def mac_address(self) -> str:
        """The gateway's, by the rule that its VMs' are made by."""
        return mac_of(self.gateway)

    def as_reported(self) -> HostNetwork:
        """As the control plane is told of it."""
        return HostNetwork(
            name=self.name,
            type=BRIDGE,
            subnet=str(self.subnet),
            gateway=str(self.gateway),
            dhcp_range=(str(self.first), str(self.last)),
        )


@dataclass(frozen=True)
class BridgePort:
    """A VM's place on a bridge: its interface on the host, its addresses, its ports of the host."""

    vm_id: str
    tap: str
    mac_address: str
    address: str
    forwards: list[Forward]


def bridge_port_of(vm: VmSpec, bridge: Bridge) -> BridgePort:
    """Where a VM is to be; `DriverFailure` for addresses that can't be on that bridge."""
    mac, text = (vm.network.mac_address or "").lower(), vm.network.ip or ""
    try:
        address = IPv4Address(text)
    except ValueError:
        raise DriverFailure(f"VM '{vm.name}' has no valid IPv4 address: '{text}'", code="invalid_request") from None
    if address not in bridge.subnet or not _MAC.fullmatch(mac):
        raise DriverFailure(
            f"VM '{vm.name}' can't be on bridge '{bridge.name}' as {mac} at {address}", code="invalid_request"
        )
    return BridgePort(vm.id, tap_of(vm.id), mac, str(address), vm.forwards)


def no_bridge(name: str) -> DriverFailure:
    """The failure of a VM that is to be on a bridge that the host does not have."""
    return DriverFailure(f"this host has no bridge '{name}': start its agent with --bridge {name}", code="no_bridge")


class BridgePorts:
    """The bridge ports of a bridge: a file each, which outlives the agent and the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[BridgePort]:
        """In the order of their VMs' ids; what can't be read is no port."""
        found = (self.get(path.stem) for path in sorted(self._folder.glob("*.json")))
        return [port for port in found if port is not None]

    def get(self, vm_id: str) -> BridgePort | None:
        """That VM's."""
        try:
            return decode(BridgePort, (self._folder / f"{vm_id}.json").read_bytes())
        except (FileNotFoundError, Invalid):
            return None

    def put(self, port: BridgePort) -> None:
        """Keeps it, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        durable.write(self._folder / f"{port.vm_id}.json", json.dumps(asdict(port)))

    def remove(self, vm_id: str) -> bool:
        """Whether there was one."""
        path = self._folder / f"{vm_id}.json"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    def keep_only(self, vm_ids: Iterable[str]) -> None:
        """Removes those of VMs that are no more."""
        for vm_id in {path.stem for path in self._folder.glob("*.json")} - set(vm_ids):
            self.remove(vm_id)
