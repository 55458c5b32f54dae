"""Keeps a bridge as configured: each change is written to disk, then the kernel's state is made to agree."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.network import dhcp, firewall, links
from agent.network.bridge import Bridge, BridgePort, BridgePorts, bridge_port_of, no_bridge
from agent.network.egress import Egress
from core import filelocks
from core.contract.messages import VmSpec


@dataclass(frozen=True)
class Bridged:
    """A bridge, where its forwards listen, and two folders: `kept` for who is on it, `runtime` until the next boot.

    `policy`: what its guests may reach.
    """

    bridge: Bridge
    listen: str
    kept: Path
    runtime: Path
    policy: Egress = field(default_factory=Egress)
    _one: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Held for as long as an agent serves it; SystemExit when another does."""
        try:
            self.runtime.mkdir(parents=True, exist_ok=True)
            claim = filelocks.take(self.runtime / "agent.lock")
        except PermissionError as error:
            raise SystemExit(f"a bridge needs root: {error}") from None
        except BlockingIOError:
            raise SystemExit(f"another agent of this machine uses the bridge '{self.bridge.name}'") from None
        try:
            yield
        finally:
            os.close(claim)

    def set_up(self, vm_ids: Iterable[str]) -> None:
        """Makes it, or finds it: with the ports of these VMs, and without what was left of others."""
        with self._alone():
            self._ports.keep_only(vm_ids)
            self._agree()

    def join(self, vm: VmSpec) -> str:
        """The VM's tap, ready for its process, and its forwards in effect."""
        if vm.network.bridge != self.bridge.name:
            raise no_bridge(str(vm.network.bridge))
        port = bridge_port_of(vm, self.bridge)
        with self._alone():
            self._ports.put(port)
            self._agree()
        return port.tap

    def leave(self, vm_id: str) -> None:
        """Its tap, its address and its forwards are gone."""
        with self._alone():
            if self._ports.remove(vm_id):
                self._agree()

    def port(self, vm_id: str) -> BridgePort | None:
        """Where a VM is, if it is here."""
        return self._ports.get(vm_id)

    def remove(self) -> None:
        """Takes all of it away; VMs that run lose their network."""
        with self._alone():
            dhcp.stop(self.runtime)
            firewall.remove(self.bridge, self.runtime)
            links.remove(self.bridge)
            self._ports.keep_only([])
            shutil.rmtree(self.runtime)

    @property
    def _ports(self) -> BridgePorts:
        return BridgePorts(self.kept)

    def _agree(self) -> None:
        """The rules come first: a tap that they don't know yet could send what it likes."""
        ports = self._ports.all()
        firewall.apply(self.bridge, ports, self.listen, self.runtime, self.policy)
        links.ensure(self.bridge, [port.tap for port in ports], from_loopback=self.listen.startswith("127."))
        dhcp.ensure(self.bridge, ports, self.runtime)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time, in this process and beside any other."""
        self.runtime.mkdir(parents=True, exist_ok=True)
        with self._one, filelocks.locked(self.runtime / "lock"):
            yield
