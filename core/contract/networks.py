"""Networks, as hosts and control plane share them: their names, and the addresses that are not on the internet."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

USER, BRIDGE = "user", "bridge"
USER_ADDRESS = "10.0.2.15"
# What the registries of special-purpose addresses (RFC 6890) call not global, and multicast; not what they set aside
# for documents. 64:ff9b::/96 leads to IPv4 addresses, and so to these.
CLOSED: tuple[IPv4Network | IPv6Network, ...] = tuple(
    map(
        ip_network,
        [
            *["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
            *["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"],
            *["::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "fc00::/7", "fe80::/9", "ff00::/8"],
        ],
    )
)


def tap_of(vm_id: str) -> str:
    """The host's interface of a VM on a bridge: Linux allows 15 characters."""
    return f"vm{hashlib.sha256(vm_id.encode()).hexdigest()[:12]}"


def mac_of(address: IPv4Address) -> str:
    """One for each address on a bridge, so that it is unique there, and no neighbour's table is ever wrong."""
    return "52:54:" + ":".join(f"{byte:02x}" for byte in address.packed)


_DEFAULTS = {"intnet": "intnet", "hostonly": "vboxnet0", "natnetwork": "NatNetwork", "bridged": "", "generic": ""}
JOINS_NOTHING = frozenset({"qemu", "cloud-hypervisor"})
"""Drivers whose adapters are on NAT, or on the bridge that the VM was placed on, and on nothing else."""


def joined(mode: str, name: str | None) -> str | None:
    """What an adapter of that mode joins, as operators write it: "mode:name"; None for nothing of a host's."""
    return f"{mode}:{name or _DEFAULTS[mode]}" if mode in _DEFAULTS else None
