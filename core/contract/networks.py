"""What host and control plane both know of networks: names."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address

USER, BRIDGE = "user", "bridge"
USER_ADDRESS = "10.0.2.15"


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
