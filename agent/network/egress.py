"""Egress: a guest reaches the internet, and of its host and of private networks what the operator has opened.

The rules are statements of nftables, which hold wherever a guest's packets pass: on the user that its process runs
as, in the network namespace of that process, or on the bridge that it is on.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import psutil

from core.contract.networks import CLOSED

Net = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

REFUSE = "reject with icmpx admin-prohibited"


@dataclass(frozen=True)
class Egress:
    """`allowed`: what of the closed networks is open after all; `denied`: what is closed beside them, and wins.

    `resolv_conf` names the host's servers of names (resolv.conf(5)).
    """

    allowed: tuple[Net, ...] = ()
    denied: tuple[Net, ...] = ()
    resolv_conf: Path = Path("/etc/resolv.conf")

    def rules(self, refuse: str = REFUSE) -> list[str]:
        """For packets that begin something, to elsewhere than the host; what they don't refuse may pass."""
        return [
            *_each(self.denied, refuse),
            *_each(self.allowed, "accept"),
            *_each(CLOSED, refuse),
        ]

    def rules_on_host(self, refuse: str = REFUSE) -> list[str]:
        """As `rules`, for what a process on the host sends: the host is closed too, but for its servers of names."""
        return [
            *names_from(_servers(self.resolv_conf)),
            f"fib daddr type {{ local, broadcast, anycast, multicast }} {refuse}",
            *self.rules(refuse),
        ]


def names_from(servers: Iterable[Address]) -> list[str]:
    """Accepts questions to these servers of names, and nothing else there."""
    return [f"{match} meta l4proto {{ tcp, udp }} th dport 53 accept" for match in _matches(map(ip_network, servers))]


def of_host() -> tuple[Net, ...]:
    """The host's own addresses as they are now, for rules that can't ask the kernel."""
    families = {socket.AF_INET, socket.AF_INET6}
    told = (each for addresses in psutil.net_if_addrs().values() for each in addresses if each.family in families)
    return tuple(sorted({ip_network(each.address.partition("%")[0]) for each in told}, key=str))


def _each(networks: Sequence[Net], verdict: str) -> list[str]:
    return [f"{match} {verdict}" for match in _matches(networks)]


def _matches(networks: Iterable[Net]) -> list[str]:
    """One for each family that has any."""
    found: dict[str, list[str]] = {"ip": [], "ip6": []}
    for network in networks:
        found["ip" if network.version == 4 else "ip6"].append(str(network))
    return [f"{family} daddr {{ {', '.join(those)} }}" for family, those in found.items() if those]


def _servers(file: Path) -> list[Address]:
    try:
        text = file.read_text()
    except OSError:
        return []
    found = []
    for server in re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE):
        try:
            found.append(ip_address(server.partition("%")[0]))
        except ValueError:
            continue
    return found
