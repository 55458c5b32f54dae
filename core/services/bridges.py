"""Bridges of hosts, and the place of a new VM on one: which, and with which address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, Unfit
from core.contract.networks import BRIDGE, USER, mac_of
from core.contract.vms import VmNetwork
from core.models import Host, Vm
from core.services import addresses


@dataclass(frozen=True)
class OfferedBridge:
    """A bridge of a host; addresses from `first` to `last` go to VMs that ask for none."""

    host: str
    name: str
    subnet: IPv4Network
    gateway: IPv4Address
    first: IPv4Address
    last: IPv4Address

    def why_not(self, address: IPv4Address) -> str:
        """Why no VM there can have that address; "" if one can."""
        where = f"bridge '{self.name}' ({self.subnet})"
        if address not in self.subnet:
            return f"must be in the subnet of {where}"
        if address == self.gateway:
            return f"must not be the gateway of {where}"
        if address in (self.subnet.network_address, self.subnet.broadcast_address):
            return f"must not be the first or last address of {where}"
        return ""


@dataclass(frozen=True)
class Wish:
    """The network of a new VM: `bridges` by host, one each; none of them: the user-mode network.

    `unfit`: the hosts that can't have it, and why.
    """

    bridges: dict[str, OfferedBridge] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)


def wish(session: Session, network: VmNetwork) -> Wish:
    """What `network` means by its `bridge` and `ip` among the hosts there are.

    Where no host has any bridge it means the user-mode network, so that what names one runs on a laptop too. Else
    `Unfit` for a bridge or an address that no host has, `Conflict` for an address that is taken on each.
    """
    if not network.bridge and not network.ip:
        return Wish()
    hosts = list(session.scalars(select(Host).where(Host.removed_at.is_(None))))
    all_bridges = [bridge for host in hosts for bridge in bridges_of(host)]
    if not all_bridges:
        return Wish()
    fit = _of_that_name(all_bridges, network.bridge)
    if network.ip:
        fit = _with_address(session, fit, IPv4Address(network.ip))
    chosen = {bridge.host: bridge for bridge in reversed(fit)}
    return Wish(chosen, {host.name: "has no such bridge or address" for host in hosts if host.name not in chosen})


def joined(session: Session, host: str, wanted: Wish, network: VmNetwork, vm_id: str) -> VmNetwork:
    """The VM's `network` on the host that was chosen, whose row is locked: so nobody else takes an address there."""
    bridge = wanted.bridges.get(host)
    if bridge is None:
        return replace(network, type=USER, mac_address=addresses.claim(session, vm_id))
    address = IPv4Address(network.ip) if network.ip else _free_address(session, bridge)
    return VmNetwork(BRIDGE, bridge.name, str(address), mac_of(address))


def taken(network: VmNetwork) -> Conflict:
    """The error for an address that another VM has."""
    return Conflict(f"address {network.ip} on bridge '{network.bridge}' is taken by another VM")


def bridges_of(host: Host) -> Iterator[OfferedBridge]:
    """Those that its agent tells of."""
    for each in host.facts.networks:
        if each.type == BRIDGE and each.dhcp_range is not None:
            first, last = map(IPv4Address, each.dhcp_range)
            yield OfferedBridge(host.name, each.name, IPv4Network(each.subnet), IPv4Address(each.gateway), first, last)


def _of_that_name(bridges: list[OfferedBridge], name: str | None) -> list[OfferedBridge]:
    found = [bridge for bridge in bridges if name in (None, bridge.name)]
    if not found:
        there = ", ".join(sorted({bridge.name for bridge in bridges}))
        raise Unfit.of("network_config.bridge", f"no host has a bridge '{name}'; there are: {there}")
    return found


def _with_address(session: Session, bridges: list[OfferedBridge], address: IPv4Address) -> list[OfferedBridge]:
    problems = {bridge.host: bridge.why_not(address) for bridge in bridges}
    possible = [bridge for bridge in bridges if not bridge.why_not(address)]
    if not possible:
        raise Unfit.of("network_config.ip", next(iter(problems.values())))
    free = [bridge for bridge in possible if address not in _addresses(session, bridge)]
    if not free:
        raise taken(VmNetwork(BRIDGE, possible[0].name, str(address)))
    return free


def _addresses(session: Session, bridge: OfferedBridge) -> set[IPv4Address]:
    """Those that VMs on a bridge have."""
    here: Any = (
        Vm.reserved,
        Vm.host_name == bridge.host,
        Vm.network["type"].astext == BRIDGE,
        Vm.network["bridge"].astext == bridge.name,
    )
    return {IPv4Address(text) for text in session.scalars(select(Vm.network["ip"].astext).where(*here))}


def _free_address(session: Session, bridge: OfferedBridge) -> IPv4Address:
    having = _addresses(session, bridge)
    for number in range(int(bridge.first), int(bridge.last) + 1):
        address = IPv4Address(number)
        if address not in having and not bridge.why_not(address):
            return address
    raise Conflict(f"bridge '{bridge.name}' of host '{bridge.host}' has no free address")
