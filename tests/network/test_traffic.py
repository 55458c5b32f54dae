"""What passes between guest, host and world, and what does not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from pyroute2 import IPRoute

from agent.network.egress import Egress
from core.contract.messages import Forward, VmSpec
from tests.network.conftest import ADDRESS, BRIDGE, HOST, WORLD, Machine, inside, links, spec
from tests.support.waiting import until

SECONDS = 5.0
SHORT = 0.7  # for what is to fail: dropped packets are told by nobody


@contextmanager
def listening(
    namespace: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM, seconds: float = SECONDS
) -> Iterator[list[str]]:
    """A server there that says who has called; the addresses it was called from."""
    callers: list[str] = []
    with inside(namespace):
        server = socket.socket(socket.AF_INET, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.settimeout(seconds)

    def serve() -> None:
        try:
            if kind == socket.SOCK_DGRAM:
                said, caller = server.recvfrom(99)
                callers.append(caller[0])
                server.sendto(said, caller)
                return
            server.listen(1)
            while True:
                connection, caller = server.accept()
                callers.append(caller[0])
                with connection:
                    connection.sendall(b"welcome")
        except OSError:
            return  # closed, or nobody came

    if kind == socket.SOCK_STREAM:
        server.listen(1)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield callers
    finally:
        if kind == socket.SOCK_STREAM:
            server.shutdown(socket.SHUT_RDWR)
        thread.join(SECONDS + 1)
        server.close()


def welcomed(namespace: str, address: str, port: int, seconds: float = SECONDS) -> bool:
    """Whether a server there answers who comes from that namespace."""
    with inside(namespace), socket.socket() as calling:
        calling.settimeout(seconds)
        try:
            calling.connect((address, port))
            return calling.recv(99) == b"welcome"
        except OSError:
            return False


@pytest.fixture
def vm(machine: Machine) -> VmSpec:
    """A guest at its address."""
    made = spec(Forward("tcp", 8080, 80), Forward("udp", 5353, 53))
    machine.bridged().set_up([])
    machine.plug_in(made)
    machine.bridged().join(made)
    machine.configure(ADDRESS)
    return made


def test_a_forward_carries_tcp_and_udp_from_the_world_until_it_is_gone(machine: Machine, vm: VmSpec) -> None:
    with listening(machine.guest, 80) as callers:
        assert welcomed(machine.world, HOST, 8080)
        assert welcomed(machine.host, HOST, 8080)
        assert callers[0] == WORLD  # the guest sees who calls
        assert not welcomed(machine.world, HOST, 8081, SHORT)
        machine.bridged().join(spec())
        assert not welcomed(machine.world, HOST, 8080, SHORT)
        machine.bridged().join(vm)
        assert welcomed(machine.world, HOST, 8080)
    with (
        listening(machine.guest, 53, socket.SOCK_DGRAM),
        inside(machine.world),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        asking.settimeout(SECONDS)
        asking.sendto(b"there and back", (HOST, 5353))
        assert asking.recv(99) == b"there and back"


def test_a_forward_on_loopback_is_for_the_host_alone(machine: Machine, vm: VmSpec) -> None:
    machine.bridged("127.0.0.1").join(vm)
    with listening(machine.guest, 80) as callers:
        assert welcomed(machine.host, "127.0.0.1", 8080)
        assert callers == [str(BRIDGE.gateway)]
        assert not welcomed(machine.world, HOST, 8080, SHORT)
        assert not welcomed(machine.guest, str(BRIDGE.gateway), 8080, SHORT)


def test_a_guest_reaches_the_world_and_of_its_host_names_alone(machine: Machine, vm: VmSpec) -> None:
    with listening(machine.world, 80) as callers:
        assert welcomed(machine.guest, WORLD, 80)
        assert callers == [HOST]
    with listening(machine.host, 6379):
        assert welcomed(machine.world, HOST, 6379)
        assert not welcomed(machine.guest, HOST, 6379, SHORT)
        assert not welcomed(machine.guest, str(BRIDGE.gateway), 6379, SHORT)
    with inside(machine.guest), socket.create_connection((str(BRIDGE.gateway), 53), SECONDS):
        pass  # dnsmasq resolves names


def test_the_world_reaches_a_guest_by_its_forwards_alone(machine: Machine, vm: VmSpec) -> None:
    with inside(machine.world):
        _route(str(BRIDGE.subnet), HOST)
    with listening(machine.guest, 80):
        assert not welcomed(machine.world, ADDRESS, 80, SHORT)
        assert welcomed(machine.host, ADDRESS, 80)


def test_a_guest_that_takes_anothers_address_is_not_heard(machine: Machine, vm: VmSpec) -> None:
    with listening(machine.world, 80):
        machine.configure("192.168.200.150")
        assert not welcomed(machine.guest, WORLD, 80, SHORT)
        machine.configure(ADDRESS)
        assert welcomed(machine.guest, WORLD, 80)


def test_not_even_a_datagram_leaves_with_anothers_address(machine: Machine, vm: VmSpec) -> None:
    mac = str(links()[BRIDGE.name].get("address"))
    with inside(machine.world), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((WORLD, 9))
        server.settimeout(SHORT)
        for address, heard in (("192.168.200.150", False), (ADDRESS, True)):
            machine.configure(address)
            with inside(machine.guest), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
                _know(str(BRIDGE.gateway), mac)  # so that it need not ask who that is
                sending.sendto(b"hello", (WORLD, 9))
            try:
                assert server.recv(9) == b"hello"
                assert heard
            except TimeoutError:
                assert not heard


def test_dhcp_gives_a_vm_its_own_address_and_strangers_none(machine: Machine, vm: VmSpec) -> None:
    assert _offered(machine, vm.network.mac_address or "") == ADDRESS
    assert _offered(machine, "52:54:00:00:00:99", SHORT) is None
    moved = spec(address="192.168.200.7")
    machine.bridged().join(moved)
    until(lambda: _offered(machine, moved.network.mac_address or "") == "192.168.200.7")


def _offered(machine: Machine, mac: str, seconds: float = SECONDS) -> str | None:
    """What DHCP offers an adapter that asks as RFC 2131 says: a DISCOVER, the answer to be broadcast."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    asked = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0x8000) + bytes(16) + hardware.ljust(16, b"\0") + bytes(192)
    asked += bytes.fromhex("63825363") + b"\x35\x01\x01\xff"
    with inside(machine.guest), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        client.bind(("", 68))
        client.settimeout(seconds)
        client.sendto(asked, ("255.255.255.255", 67))
        try:
            return socket.inet_ntoa(client.recv(2000)[16:20])
        except TimeoutError:
            return None


def _know(address: str, mac: str) -> None:
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="eth0")
        kernel.neigh("replace", dst=address, lladdr=mac, ifindex=index, state="permanent")


def _route(subnet: str, gateway: str) -> None:
    with IPRoute() as kernel:
        kernel.route("add", dst=subnet, gateway=gateway)


def test_private_networks_are_closed_until_the_operator_opens_them(machine: Machine, vm: VmSpec) -> None:
    private, management = "10.9.9.9", "203.0.113.99"
    with inside(machine.world), IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="downlink")
        for address in (private, management):
            kernel.addr("add", index=index, address=address, prefixlen=24)
    with IPRoute() as kernel:
        kernel.route("add", dst="10.9.9.0/24", gateway=WORLD)
    with listening(machine.world, 80):
        assert welcomed(machine.guest, WORLD, 80)
        assert welcomed(machine.host, private, 80)
        assert not welcomed(machine.guest, private, 80, SHORT)
        assert welcomed(machine.guest, management, 80)
        policy = Egress((ip_network("10.9.9.0/24"),), (ip_network(f"{management}/32"),))
        replace(machine.bridged(), policy=policy).join(vm)
        assert welcomed(machine.guest, private, 80)
        assert not welcomed(machine.guest, management, 80, SHORT)


def test_who_comes_from_a_private_network_by_a_forward_is_answered(machine: Machine, vm: VmSpec) -> None:
    with inside(machine.world), IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="downlink")
        kernel.flush_addr(index=index)
        kernel.addr("add", index=index, address="10.9.9.9", prefixlen=24)
        kernel.route("add", dst=f"{HOST}/32", oif=index)
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="uplink")
        kernel.route("add", dst="10.9.9.0/24", oif=index)
    with listening(machine.guest, 80) as callers:
        assert welcomed(machine.world, HOST, 8080)
        assert callers == ["10.9.9.9"]


def test_guests_reach_neither_one_another_nor_one_anothers_forwards(machine: Machine, vm: VmSpec) -> None:
    other = spec(Forward("tcp", 9090, 80), vm_id="vm-2", address="192.168.200.101", mac="52:54:c0:a8:c8:65")
    with machine.another() as neighbour:
        neighbour.plug_in(other)
        machine.bridged().join(other)
        neighbour.configure("192.168.200.101")
        with listening(neighbour.guest, 80):
            assert welcomed(machine.host, "192.168.200.101", 80)
            assert welcomed(machine.world, HOST, 9090)
            assert not welcomed(machine.guest, "192.168.200.101", 80, SHORT)
            assert not welcomed(machine.guest, HOST, 9090, SHORT)
            assert not welcomed(machine.guest, str(BRIDGE.gateway), 9090, SHORT)
            with inside(machine.guest):  # by the gateway, as no ARP gets through
                _know("192.168.200.101", str(_links_of(machine)[BRIDGE.name].get("address")))
            assert not welcomed(machine.guest, "192.168.200.101", 80, SHORT)
            with inside(machine.guest):  # and with the right address of its card
                _know("192.168.200.101", str(other.network.mac_address))
            assert not welcomed(machine.guest, "192.168.200.101", 80, SHORT)
            assert _offered(machine, str(other.network.mac_address), SHORT) is None


def _links_of(machine: Machine) -> dict[str, Any]:
    with inside(machine.host):
        return links()
