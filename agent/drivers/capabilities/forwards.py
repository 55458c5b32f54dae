"""Capability: ports of the host that lead into a VM."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from core.contract.messages import Forward, VmSpec


@runtime_checkable
class PortForwardsCapability(Protocol):
    """Has "port_forwards" among its capabilities. Those of a VM are in its spec, and in effect from each start on."""

    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """Exactly `vm.forwards`, at once if it runs. `PortTaken` for a new one whose port someone else has."""

    def port_forwards(self, vm_id: str) -> list[Forward]:
        """Those in effect now; none of a VM that does not run."""
