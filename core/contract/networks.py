"""What host and control plane both know of networks: names."""

from __future__ import annotations

import hashlib

USER, BRIDGE = "user", "bridge"
USER_ADDRESS = "10.0.2.15"


def tap_of(vm_id: str) -> str:
    """The host's interface of a VM on a bridge: Linux allows 15 characters."""
    return f"vm{hashlib.sha256(vm_id.encode()).hexdigest()[:12]}"
