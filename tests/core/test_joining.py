"""A network that no operator has opened is refused before a host is asked, in the caller's own field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.contract.commands import AdapterSet
from core.contract.errors import Unfit
from core.contract.hosts import DriverHealth, HostFacts
from core.contract.states import Observed
from core.contract.vms import AdapterWish, Hardware
from core.models import Host, Vm
from core.services import hardware, vms
from core.services.context import Actor
from core.services.intake import inventories
from core.services.vms import VmRequest
from tests.core.conftest import Helpers, Transaction

VIRTUALBOX = DriverHealth("virtualbox", healthy=True, capabilities=["adapters"])
QEMU = DriverHealth("qemu", healthy=True)


@pytest.fixture
def tell(transaction: Transaction, helpers: Helpers) -> Callable[..., None]:
    def told(host: str, joinable: list[str] | None, *drivers: DriverHealth) -> None:
        facts = HostFacts(joinable=joinable)
        seen = replace(helpers.inventory(host), drivers=list(drivers or (VIRTUALBOX,)), facts=facts)
        with transaction() as session:
            inventories.record(session, seen)

    return told


def request_for(name: str, mode: str, network: str | None = None, **changes: Any) -> VmRequest:
    has = Hardware(network={"adapter2": AdapterWish(type=mode, bridge_adapter=network)})
    return replace(
        VmRequest(name, "linux", 1, 512, 10, "linux-default", ("virtualbox", "qemu"), hardware=has), **changes
    )


@pytest.mark.parametrize(
    ("mode", "network", "field", "names"),
    [
        ("bridged", "eth0", "network.adapter2.bridge_adapter", "bridged:eth0"),
        ("hostonly", None, "network.adapter2.type", "hostonly:vboxnet0"),
        ("natnetwork", None, "network.adapter2.type", "natnetwork:NatNetwork"),
        ("generic", "UDPTunnel", "network.adapter2.bridge_adapter", "generic:UDPTunnel"),
    ],
)
@pytest.mark.parametrize("drivers", [(VIRTUALBOX,), (VIRTUALBOX, QEMU)], ids=["virtualbox", "both"])
def test_a_new_vm(
    transaction: Transaction,
    actor: Actor,
    tell: Callable[..., None],
    mode: str,
    network: str | None,
    field: str,
    names: str,
    drivers: tuple[DriverHealth, ...],
) -> None:
    tell("host-a", ["intnet:lab"], *drivers)
    with transaction() as session, pytest.raises(Unfit, match=f"'{names}'.*'intnet:lab'") as refused:
        vms.create(session, actor, request_for("web", mode, network))
    assert [each["field"] for each in refused.value.details["fields"]] == [field]
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Vm)) == 0


def test_the_host_that_has_it_open_is_taken(transaction: Transaction, actor: Actor, tell: Callable[..., None]) -> None:
    tell("host-a", [], VIRTUALBOX, QEMU)
    tell("host-b", ["bridged:eth1"])
    with transaction() as session:
        made = vms.create(session, actor, request_for("web", "bridged", "eth1"))
        assert made.host_name == "host-b"
    with transaction() as session, pytest.raises(Unfit, match="allow NAT and nothing else"):
        vms.create(session, actor, request_for("two", "bridged", "eth1", host="host-a"))


def test_an_older_agent_is_asked(transaction: Transaction, actor: Actor, tell: Callable[..., None]) -> None:
    tell("host-a", None)
    with transaction() as session:
        assert vms.create(session, actor, request_for("web", "bridged", "eth1")).host_name == "host-a"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (AdapterSet(1, mode="bridged", network="eth0"), "bridge_adapter"),
        (AdapterSet(1, mode="intnet"), "mode"),
        (AdapterSet(1, network="eth0"), "bridge_adapter"),
    ],
)
def test_a_vm_that_is_there(
    transaction: Transaction,
    helpers: Helpers,
    actor: Actor,
    tell: Callable[..., None],
    changes: AdapterSet,
    field: str,
) -> None:
    tell("host-a", ["bridged:eth1"])
    helpers.do(lambda session: vms.create(session, actor, request_for("web", "nat")), Observed.STOPPED)
    with transaction() as session:
        has = [{"slot": 1, "mode": "bridged", "network": "eth1"}]
        session.execute(update(Vm).values(hardware={"adapters": has}))
    with transaction() as session, pytest.raises(Unfit) as refused:
        hardware.set_adapter(session, actor, "web", changes)
    assert [each["field"] for each in refused.value.details["fields"]] == [field]
    with transaction() as session:
        hardware.set_adapter(session, actor, "web", AdapterSet(1, mode="bridged", network="eth1"))
        assert session.get_one(Host, "host-a").facts.joinable == ["bridged:eth1"]
