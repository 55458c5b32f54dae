"""Where a VM that asks for a bridge or an address is placed, and that no two on a bridge have one address."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from core.contract.errors import Conflict, NoCapacity, Unfit
from core.contract.hosts import HostFacts, HostNetwork
from core.contract.states import Observed
from core.contract.vms import VmNetwork
from core.models.base import JSON
from core.services import lookup, networks, vms
from core.services.context import Actor
from core.services.intake import inventories


def bridge(name: str = "chbr0", subnet: str = "192.168.200", last: int = 102) -> HostNetwork:
    return HostNetwork(
        name,
        "bridge",
        subnet=f"{subnet}.0/24",
        gateway=f"{subnet}.1",
        dhcp_range=(f"{subnet}.100", f"{subnet}.{last}"),
    )


@pytest.fixture
def fleet(transaction: Any, actor: Actor, helpers: Any) -> Any:
    """Adds hosts with those bridges; host-a has none."""

    def add(**bridges: list[HostNetwork]) -> None:
        with transaction() as session:
            inventories.record(session, helpers.inventory("host-a"))
            for name, each in bridges.items():
                told = replace(helpers.inventory(name.replace("_", "-")), facts=HostFacts(networks=each))
                inventories.record(session, told)

    return add


@pytest.fixture
def made(transaction: Any, actor: Actor, helpers: Any) -> Any:
    """Creates a VM with that `network`; its host and its network."""

    def create(name: str, host: str | None = None, **network: str) -> tuple[str, VmNetwork]:
        with transaction() as session:
            wanted = replace(helpers.request(name, host), network=VmNetwork(**network))
            operation = vms.create(session, actor, wanted)
            vm = lookup.vm(session, actor, operation.vm_id)
            return vm.host_name, vm.network

    return create


def test_without_any_bridge_the_documents_example_runs_in_user_mode(fleet: Any, made: Any) -> None:
    fleet()
    _, network = made("web", bridge="chbr0", ip="192.168.200.100")
    assert (network.type, network.bridge, network.ip) == ("user", "chbr0", "192.168.200.100")
    made("twin", bridge="chbr0", ip="192.168.200.100")  # each is alone in its network


def test_a_vm_goes_where_the_bridge_is_and_gets_an_address(fleet: Any, made: Any) -> None:
    fleet(host_b=[bridge()])
    assert made("plain")[1].type == "user"
    host, network = made("web", bridge="chbr0")
    assert (host, network.ip, network.mac_address) == ("host-b", "192.168.200.100", "52:54:c0:a8:c8:64")
    assert made("fixed", ip="192.168.200.7")[1].ip == "192.168.200.7"
    assert made("next", bridge="chbr0")[1].ip == "192.168.200.101"


def test_an_address_is_one_vms_on_a_bridge_of_a_host(fleet: Any, made: Any) -> None:
    fleet(host_b=[bridge()], host_c=[bridge()])
    first, _ = made("one", bridge="chbr0", ip="192.168.200.9")
    second, _ = made("two", bridge="chbr0", ip="192.168.200.9")
    assert {first, second} == {"host-b", "host-c"}  # the same address, on another bridge of that name
    with pytest.raises(Conflict, match=r"192\.168\.200\.9 .* is taken"):
        made("three", bridge="chbr0", ip="192.168.200.9")


def test_the_address_of_a_deleted_vm_is_free(fleet: Any, made: Any, actor: Actor, helpers: Any) -> None:
    fleet(host_b=[bridge()])
    made("one", bridge="chbr0", ip="192.168.200.9")
    helpers.do(lambda s: vms.delete(s, actor, "one"), Observed.ABSENT)
    made("two", bridge="chbr0", ip="192.168.200.9")


def test_of_many_at_once_each_has_its_own_until_none_is_left(fleet: Any, made: Any) -> None:
    fleet(host_b=[bridge(last=101)])

    def create(number: int) -> str:
        try:
            return str(made(f"vm-{number}", bridge="chbr0")[1].ip)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(create, range(4)))
    assert outcomes == ["192.168.200.100", "192.168.200.101", "conflict", "conflict"]


def test_of_many_who_want_one_address_one_gets_it(fleet: Any, made: Any) -> None:
    fleet(host_b=[bridge()])

    def create(number: int) -> str:
        try:
            return str(made(f"vm-{number}", bridge="chbr0", ip="192.168.200.9")[1].type)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == ["bridge", "conflict", "conflict", "conflict"]


@pytest.mark.parametrize(
    ("network", "field", "says"),
    [
        ({"bridge": "chbr1"}, "bridge", "there are: chbr0"),
        ({"bridge": "chbr0", "ip": "10.0.0.1"}, "ip", "subnet"),
        ({"ip": "10.0.0.1"}, "ip", "subnet"),
        ({"bridge": "chbr0", "ip": "192.168.200.1"}, "ip", "gateway"),
        ({"bridge": "chbr0", "ip": "192.168.200.0"}, "ip", "first or last"),
        ({"bridge": "chbr0", "ip": "192.168.200.255"}, "ip", "first or last"),
    ],
)
def test_what_no_bridge_can_give_is_said_of_the_field(
    fleet: Any, made: Any, network: JSON, field: str, says: str
) -> None:
    fleet(host_b=[bridge()])
    with pytest.raises(Unfit) as refused:
        made("web", **network)
    (wrong,) = refused.value.details["fields"]
    assert wrong["field"] == f"network_config.{field}"
    assert says in wrong["error"]


def test_a_host_without_the_bridge_does_not_take_it(fleet: Any, made: Any) -> None:
    fleet(host_b=[bridge()])
    with pytest.raises(NoCapacity) as refused:
        made("web", host="host-a", bridge="chbr0")
    assert refused.value.details["rejected"] == [{"host": "host-a", "reason": "has no such bridge or address"}]


def test_networks_are_listed_with_who_is_on(
    transaction: Any, fleet: Any, made: Any, actor: Actor, helpers: Any
) -> None:
    fleet(host_b=[bridge()])
    made("off", bridge="chbr0")
    for name, wanted in (("on", {"bridge": "chbr0"}), ("plain", {})):
        made(name, "host-b", **wanted)
    with transaction() as session:
        for name in ("on", "plain"):
            lookup.vm(session, actor, name).observed = Observed.RUNNING
        listed = [(each["host"], each["name"], each["vms_connected"]) for each in networks.list_of(session, actor)]
        assert networks.list_of(session, actor, "nowhere") == []
    assert listed == [("host-a", "user", 0), ("host-b", "chbr0", 1)]
