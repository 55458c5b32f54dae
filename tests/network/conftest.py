"""A machine of its own for each test: a network namespace, beside it one that is the world, and one that is a guest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute, netns

from agent.network import dhcp
from agent.network.bridge import Bridge
from agent.network.bridged import Bridged
from core.contract.messages import Forward, VmSpec
from core.contract.networks import tap_of
from core.contract.vms import VmNetwork
from tests.support import leftovers

BRIDGE = Bridge(
    "chbr0",
    IPv4Network("192.168.200.0/24"),
    IPv4Address("192.168.200.1"),
    IPv4Address("192.168.200.100"),
    IPv4Address("192.168.200.200"),
)
ADDRESS, MAC = "192.168.200.100", "52:54:c0:a8:c8:64"
HOST, WORLD = "203.0.113.1", "203.0.113.2"


def spec(*forwards: Forward, vm_id: str = "vm-1", address: str = ADDRESS, mac: str = MAC) -> VmSpec:
    """A VM on the bridge."""
    network = VmNetwork("bridge", BRIDGE.name, address, mac)
    return VmSpec(vm_id, "web", "qemu", "linux", 1, 256, 4, network=network, forwards=list(forwards))


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """What this thread does meanwhile, it does there; a socket stays where it was made."""
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()


@dataclass(frozen=True)
class Machine:
    """Tests run inside `host`, and may spoil it. `runtime` is where Corral keeps what no boot outlives."""

    host: str
    world: str
    guest: str
    runtime: Path
    kept: Path

    def bridged(self, listen: str = HOST) -> Bridged:
        """Its bridge, in the hands of an agent that remembers nothing."""
        return Bridged(BRIDGE, listen, self.kept, self.runtime)

    @contextmanager
    def another(self) -> Iterator[Machine]:
        """The same with one more guest."""
        name = leftovers.namespace("guest")
        try:
            _create(name)
            yield replace(self, guest=name)
        finally:
            netns.remove(name)

    def plug_in(self, vm: VmSpec) -> None:
        """The guest's namespace in the place of that VM: its tap is one end of a cable."""
        with IPRoute() as kernel:
            tap = tap_of(vm.id)
            kernel.link("add", ifname=tap, kind="veth", peer={"ifname": "eth0", "net_ns_fd": self.guest})
        with inside(self.guest), IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname="eth0")
            kernel.link("set", index=index, address=vm.network.mac_address, state="up")

    def configure(self, address: str) -> None:
        """The guest takes that address by itself."""
        with inside(self.guest), IPRoute() as kernel:
            (index,) = kernel.link_lookup(ifname="eth0")
            kernel.flush_addr(index=index)
            kernel.addr("add", index=index, address=address, prefixlen=24)
            kernel.route("replace", dst="default", gateway=str(BRIDGE.gateway))


def links() -> dict[str, Any]:
    """The interfaces there are, by name."""
    with IPRoute() as kernel:
        return {link.get("ifname"): link for link in kernel.get_links()}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One for a test."""
    with new_machine(tmp_path) as made:
        yield made


@contextmanager
def new_machine(folder: Path) -> Iterator[Machine]:
    """One that is gone afterwards, whatever came of what was done there. Its bridge is kept in the folder."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    names = [leftovers.namespace(role) for role in ("host", "world", "guest")]
    runtime = Path(tempfile.mkdtemp(prefix=f"{leftovers.mark()}-", dir=leftovers.RUNTIME))
    runtime.chmod(0o755)  # dnsmasq reads there, and is not root
    made = Machine(names[0], names[1], names[2], runtime, folder / "network")
    try:
        for name in names:
            _create(name)
        with inside(made.host):
            _as_most_kernels()
            _cable(made)
            yield made
    finally:
        dhcp.stop(runtime)
        for name in names:
            if name in netns.listnetns():
                netns.remove(name)
        shutil.rmtree(runtime, ignore_errors=True)  # --remove-network has removed it


def _create(name: str) -> None:
    try:
        netns.create(name)
    except OSError as error:
        pytest.skip(f"this machine makes no network namespaces: {error}")


def _as_most_kernels() -> None:
    """What a bridge passes on, the rules for routed packets do not see, unless someone has loaded br_netfilter."""
    seen = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if seen.exists():
        seen.write_text("0")


def _cable(machine: Machine) -> None:
    """From the host to the world."""
    with IPRoute() as kernel:
        kernel.link("add", ifname="uplink", kind="veth", peer={"ifname": "downlink", "net_ns_fd": machine.world})
        for name in ("lo", "uplink"):
            (index,) = kernel.link_lookup(ifname=name)
            kernel.link("set", index=index, state="up")
        kernel.addr("add", index=index, address=HOST, prefixlen=24)
    with inside(machine.world), IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="downlink")
        kernel.addr("add", index=index, address=WORLD, prefixlen=24)
        kernel.link("set", index=index, state="up")
