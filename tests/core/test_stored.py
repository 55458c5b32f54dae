"""Rows that an earlier release has written are read as values of the contract, and an odd one hides no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from core.contract.hosts import USER_NETWORK, HostFacts, HostNetwork
from core.contract.states import Observed
from core.contract.vms import Adapter, AdapterWish, Controller, Disk, Hardware, VmNetwork
from core.models import Host, Vm
from core.services import bridges, networks, vms
from core.services.context import Actor

USER: dict[str, Any] = {
    "name": "user",
    "type": "user",
    "subnet": "10.0.2.0/24",
    "gateway": "10.0.2.2",
    "dhcp_enabled": True,
}
BR0: dict[str, Any] = {
    "name": "br0",
    "type": "bridge",
    "subnet": "192.168.200.0/24",
    "gateway": "192.168.200.1",
    "dhcp_enabled": True,
    "dhcp_range": ["192.168.200.100", "192.168.200.102"],
}
FACTS: dict[str, Any] = {
    "os": "Linux",
    "forward_address": "10.0.0.1",
    "forward_ports": [20000, 20010],
    "networks": [BR0, USER],
    "kernel_images": ["linux-default"],
}
DISK: dict[str, Any] = {
    "controller": "SATA",
    "port": 0,
    "device": 0,
    "type": "hdd",
    "medium": "/m/a.vdi",
    "size_bytes": 1 << 40,
    "used_bytes": None,
    "format": "vdi",
    "own": True,
}
ADAPTER: dict[str, Any] = {
    "slot": 0,
    "enabled": True,
    "mode": "bridged",
    "type": "virtio",
    "cable_connected": True,
    "mac_address": "52:54:00:00:00:01",
    "network": "br0",
}
VBOX: dict[str, Any] = {
    "os_type": "Ubuntu_64",
    "network": {"adapter1": {"enabled": True, "type": "nat", "adapter_type": "82540EM", "cable_connected": True}},
    "storage_controllers": [{"name": "SATA", "type": "sata", "port_count": 4}],
    "disks": [DISK],
    "adapters": [ADAPTER],
}
ON_BR0 = {"type": "bridge", "bridge": "br0", "ip": "192.168.200.7", "mac_address": "52:54:c0:a8:c8:07"}
IN_USER_MODE = {"type": "user", "bridge": "chbr0", "ip": "192.168.200.7", "mac_address": "52:54:00:00:00:01"}


@pytest.fixture
def rows(transaction: Any, actor: Actor, host: str, helpers: Any) -> Any:
    """A host and a VM; writes one of their columns as another release would have, and reads it back."""
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)

    def write(table: type[Host] | type[Vm], column: str, value: Any) -> Any:
        with transaction() as session:
            session.execute(text(f"UPDATE {table.__tablename__} SET {column} = :it"), {"it": json.dumps(value)})  # noqa: S608
        with transaction() as session:
            (row,) = session.query(table)
            return getattr(row, column)

    return write


def test_the_facts_of_a_host(rows: Any) -> None:
    br0 = HostNetwork(**BR0 | {"dhcp_range": ("192.168.200.100", "192.168.200.102")})
    assert rows(Host, "facts", FACTS) == HostFacts(
        "Linux", "10.0.0.1", (20000, 20010), [br0, USER_NETWORK], ["linux-default"]
    )
    assert rows(Host, "facts", {}) == HostFacts()
    assert rows(Host, "facts", {"os": "Linux", "mood": [1]}) == HostFacts()


def test_the_network_of_a_vm(rows: Any) -> None:
    assert rows(Vm, "network", ON_BR0) == VmNetwork("bridge", "br0", "192.168.200.7", "52:54:c0:a8:c8:07")
    recorded = rows(Vm, "network", IN_USER_MODE)
    assert recorded == VmNetwork("user", "chbr0", "192.168.200.7", "52:54:00:00:00:01")
    assert (recorded.true.bridge, recorded.true.ip) == ("user", "10.0.2.15")
    assert rows(Vm, "network", {}) == VmNetwork()


def test_the_hardware_of_a_vm(rows: Any) -> None:
    assert rows(Vm, "hardware", VBOX) == Hardware(
        os_type="Ubuntu_64",
        network={"adapter1": AdapterWish()},
        storage_controllers=[Controller("SATA")],
        disks=[Disk(**DISK)],
        adapters=[Adapter(**ADAPTER)],
    )
    assert rows(Vm, "hardware", {"disk_type": "ssd"}) == Hardware(disk_type="ssd")
    assert rows(Vm, "hardware", {}) == Hardware()


@pytest.mark.parametrize(
    "odd",
    [
        [],
        {"networks": "none"},
        {"networks": [{"type": "bridge"}]},
        {"networks": [BR0 | {"subnet": "nowhere"}]},
        {"networks": [BR0 | {"subnet": "192.168.200.1/24"}]},
        {"networks": [BR0 | {"gateway": "10.0.0.1"}]},
        {"networks": [BR0 | {"dhcp_range": None}]},
        {"networks": [BR0 | {"dhcp_range": ["192.168.200.102", "192.168.200.100"]}]},
        {"networks": [BR0 | {"subnet": "0.0.0.0/0", "dhcp_range": ["0.0.0.1", "255.0.0.0"]}]},
        {"forward_ports": [1, 2, 3]},
        {"forward_ports": [30000, 20000]},
    ],
)
def test_odd_facts_are_none_and_stand_in_nobodys_way(rows: Any, transaction: Any, actor: Actor, odd: Any) -> None:
    assert rows(Host, "facts", odd) == HostFacts()
    with transaction() as session:
        assert bridges.wish(session, VmNetwork(bridge="br0")) == bridges.Wish()
        assert [each["name"] for each in networks.list_of(session, actor)] == ["user"]
