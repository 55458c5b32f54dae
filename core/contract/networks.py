"""What host and control plane both know of networks: the one that every VM can have, and names."""

from __future__ import annotations

import hashlib
from typing import Any

USER, BRIDGE = "user", "bridge"
USER_ADDRESS = "10.0.2.15"
USER_NETWORK = {
    "name": USER,
    "type": USER,
    "subnet": "10.0.2.0/24",
    "gateway": "10.0.2.2",
    "dhcp_enabled": True,
}
"""QEMU's user-mode network, which each VM has for itself: in it every guest has the same address."""


def true_network(recorded: dict[str, Any]) -> dict[str, Any]:
    """Where a VM is by its record, which for one in user mode may still say what was asked for."""
    return recorded if recorded.get("type") == BRIDGE else recorded | {"type": USER, "bridge": USER, "ip": USER_ADDRESS}


def tap_of(vm_id: str) -> str:
    """The host's interface of a VM on a bridge: Linux allows 15 characters."""
    return f"vm{hashlib.sha256(vm_id.encode()).hexdigest()[:12]}"
