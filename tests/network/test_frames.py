"""Frames that no honest guest sends: what they say of addresses is believed by nobody, tagged or not."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from pyroute2 import IPRoute

from core.contract.messages import VmSpec
from tests.network.conftest import ADDRESS, BRIDGE, MAC, Machine, inside, links, spec
from tests.network.test_traffic import listening, welcomed

REQUEST, REPLY = 1, 2
GATEWAY = str(BRIDGE.gateway)
OTHER = spec(vm_id="vm-2", address="192.168.200.101", mac="52:54:c0:a8:c8:65")
NEIGHBOUR, NEIGHBOURS_MAC = "192.168.200.101", "52:54:c0:a8:c8:65"
STRANGER = "52:54:00:00:00:99"
TAGS = {"": b"", "in no VLAN": b"\x81\x00\x00\x00", "in a VLAN": b"\x81\x00\x00\x05", "by 802.1ad": b"\x88\xa8\x00\x00"}


def raw(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def arp(kind: int, mac: str, address: str, to_mac: str, to: str, tag: bytes = b"", source: str = MAC) -> bytes:
    """A frame from `source` that says that the address is at that MAC address."""
    said = raw(mac) + socket.inet_aton(address) + raw(to_mac) + socket.inet_aton(to)
    return raw("ff:ff:ff:ff:ff:ff") + raw(source) + tag + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, kind) + said


def sent(machine: Machine, *frames: bytes) -> None:
    """As root in the guest sends what it likes."""
    with inside(machine.guest), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("eth0", 0))
        for frame in frames:
            out.send(frame)


def neighbours() -> dict[str, str]:
    """What is believed here: the MAC address of each address, but for those of groups, which nobody says."""
    with IPRoute() as kernel:
        found: list[Any] = list(kernel.get_neighbours(family=socket.AF_INET))
    said = {str(each.get("dst")): str(each.get("lladdr")) for each in found}
    return {address: mac for address, mac in said.items() if not ip_address(address).is_multicast}


@pytest.fixture
def vm(machine: Machine) -> VmSpec:
    """The guest at its address, heard by its host."""
    made = spec()
    machine.bridged().set_up([])
    machine.plug_in(made)
    machine.bridged().join(made)
    machine.configure(ADDRESS)
    with listening(machine.guest, 80):
        assert welcomed(machine.host, ADDRESS, 80)
    return made


@pytest.mark.parametrize("tag", TAGS.values(), ids=[name or "untagged" for name in TAGS])
def test_what_a_guest_says_of_any_address_but_its_own_is_not_believed(machine: Machine, vm: VmSpec, tag: bytes) -> None:
    host_mac = str(links()[BRIDGE.name].get("address"))
    with machine.another() as neighbour:
        neighbour.plug_in(OTHER)
        machine.bridged().join(OTHER)
        neighbour.configure(NEIGHBOUR)
        with listening(neighbour.guest, 80):
            assert welcomed(machine.host, NEIGHBOUR, 80)
            before = neighbours(), _inside(neighbour)
            sent(
                machine,
                *[arp(kind, MAC, GATEWAY, host_mac, GATEWAY, tag) for kind in (REQUEST, REPLY)],
                *[arp(kind, MAC, NEIGHBOUR, host_mac, GATEWAY, tag) for kind in (REQUEST, REPLY)],
                *[arp(kind, MAC, GATEWAY, NEIGHBOURS_MAC, NEIGHBOUR, tag) for kind in (REQUEST, REPLY)],
                arp(REPLY, STRANGER, GATEWAY, host_mac, GATEWAY, tag, source=STRANGER),
                arp(REPLY, MAC, NEIGHBOUR, host_mac, GATEWAY, tag, source=NEIGHBOURS_MAC),
            )
            assert welcomed(machine.host, NEIGHBOUR, 80)
            assert (neighbours(), _inside(neighbour)) == before
            assert (before[0][NEIGHBOUR], before[1][GATEWAY]) == (NEIGHBOURS_MAC, host_mac)


@pytest.mark.parametrize("tag", TAGS.values(), ids=[name or "untagged" for name in TAGS])
@pytest.mark.parametrize("mac", [NEIGHBOURS_MAC, STRANGER])
def test_a_guest_can_not_say_that_its_address_is_somewhere_else(
    machine: Machine, vm: VmSpec, mac: str, tag: bytes
) -> None:
    """What the world sends to it would come to a neighbour."""
    host_mac = str(links()[BRIDGE.name].get("address"))
    sent(machine, *[arp(kind, mac, ADDRESS, host_mac, GATEWAY, tag) for kind in (REQUEST, REPLY)])
    with listening(machine.guest, 80):
        assert welcomed(machine.host, ADDRESS, 80)
    assert neighbours()[ADDRESS] == MAC


def _inside(machine: Machine) -> dict[str, str]:
    with inside(machine.guest):
        return neighbours()
