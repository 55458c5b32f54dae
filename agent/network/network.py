"""The network of a host as its operator configured it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.network import ports
from agent.network.bridge import no_bridge
from agent.network.group_rules import GroupRules
from agent.network.user_mode import UserMode
from core.contract.errors import DriverFailure
from core.contract.hosts import USER_NETWORK, HostFacts
from core.contract.messages import Forward, VmSpec

if TYPE_CHECKING:
    from agent.network.bridged import Bridged  # Linux's alone


@dataclass(frozen=True)
class HostNetworking:
    """The network settings of a host: where forwards listen, the range of free ports, and the bridge if there is one.

    `user_mode` are the networks that VMs have for themselves, and `groups` holds those of VirtualBox's to the same;
    `joinable`: the networks of VirtualBox's that they may join, each as "mode:name".
    """

    forward_address: str = ports.LOOPBACK
    forward_ports: tuple[int, int] = (20000, 29999)
    bridged: Bridged | None = None
    user_mode: UserMode = field(default_factory=UserMode)
    joinable: frozenset[str] = frozenset()
    groups: GroupRules = field(default_factory=GroupRules)

    def facts(self) -> HostFacts:
        """What the control plane is told of the host, as far as it is known here."""
        bridges = [self.bridged.bridge.as_reported()] if self.bridged else []
        return HostFacts(
            os=platform.system(),
            forward_address=self.forward_address,
            forward_ports=self.forward_ports,
            networks=[*bridges, USER_NETWORK],
            joinable=sorted(self.joinable),
        )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The bridge is this process's alone to change; SystemExit when it is another agent's."""
        with self.bridged.claimed() if self.bridged else nullcontext():
            yield

    def set_up(self, vm_ids: Iterable[str]) -> None:
        """Makes the bridge, or finds it, with the ports of these VMs; SystemExit when that can't be."""
        if self.bridged is not None:
            try:
                self.bridged.set_up(vm_ids)
            except DriverFailure as error:
                raise SystemExit(f"the bridge '{self.bridged.bridge.name}' can't be set up: {error.message}") from None

    def remove(self) -> None:
        """Takes the bridge away with all that belongs to it."""
        if self.bridged is not None:
            self.bridged.remove()

    def join(self, vm: VmSpec) -> str:
        """The tap of a VM that is to be on a bridge, with its forwards in effect."""
        if self.bridged is None:
            raise no_bridge(str(vm.network.bridge))
        return self.bridged.join(vm)

    def leave(self, vm_id: str) -> None:
        """Nothing of a VM is left on a bridge, if it was on one."""
        if self.bridged is not None:
            self.bridged.leave(vm_id)

    def forwards(self, vm_id: str) -> list[Forward]:
        """Those of a VM on a bridge."""
        port = self.bridged.port(vm_id) if self.bridged else None
        return port.forwards if port else []


def on_bridge(vm: VmSpec) -> bool:
    """Whether it was placed there."""
    return vm.network.on_bridge
