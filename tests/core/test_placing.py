"""What VMs ask of their hosts, on the real tables: also of a group that comes at once, and room promised often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import func, select, update

from core import database
from core.contract.errors import Invalid, NoCapacity
from core.contract.states import Observed
from core.contract.vms import Placement
from core.models import Host, Vm
from core.services import hosts, vms
from core.services.context import SYSTEM, Actor
from core.services.intake import inventories
from core.services.vms import VmRequest
from tests.core.conftest import Helpers, Transaction

APART = Placement(apart_from_group="web")


@pytest.fixture
def three(transaction: Transaction, helpers: Helpers) -> tuple[str, ...]:
    """Hosts with room for four each."""
    names = ("host-a", "host-b", "host-c")
    with transaction() as session:
        for name in names:
            inventories.record(session, helpers.inventory(name))
    return names


def place(
    transaction: Transaction, helpers: Helpers, actor: Actor, name: str, placement: Placement = APART, **changes: object
) -> str:
    """The host of a new VM."""
    request: VmRequest = replace(helpers.request(name), placement=placement, **changes)  # type: ignore[arg-type]
    return database.transact(transaction, lambda session: vms.create(session, actor, request).host_name)


@pytest.fixture
def placed(transaction: Transaction, helpers: Helpers, actor: Actor) -> Callable[..., str]:
    return partial(place, transaction, helpers, actor)


def test_of_a_group_no_host_has_two(placed: Callable[..., str], three: tuple[str, ...]) -> None:
    assert {placed(f"web-{number}") for number in range(3)} == set(three)
    with pytest.raises(NoCapacity) as refused:
        placed("web-3")
    assert refused.value.details["rejected"] == [
        {"host": name, "reason": "has another VM of group 'web'"} for name in three
    ]
    assert placed("db-0", Placement(apart_from_group="db")) in three
    assert placed("alone", Placement()) in three
    with pytest.raises(NoCapacity):
        placed("web-3", host="host-a")


def test_groups_are_their_owner_s(
    transaction: Transaction, helpers: Helpers, placed: Callable[..., str], host: str
) -> None:
    assert placed("web") == host
    assert place(transaction, helpers, helpers.user("bob"), "web") == host


def test_of_a_group_that_comes_at_once_no_host_has_two(
    transaction: Transaction, placed: Callable[..., str], three: tuple[str, ...]
) -> None:
    def create(number: int) -> str:
        try:
            return placed(f"web-{number}")
        except NoCapacity:
            return ""

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(create, range(24)))
    assert sorted(filter(None, found)) == list(three)
    with transaction() as session:
        counted = session.execute(select(Host.name, Host.reserved_vcpus).order_by(Host.name))
        assert [tuple(row) for row in counted] == [(name, 1) for name in three]
        assert session.scalar(select(func.count()).select_from(Vm)) == 3


def test_a_place_is_free_again_when_its_vm_is_gone(
    transaction: Transaction, helpers: Helpers, actor: Actor, placed: Callable[..., str], host: str
) -> None:
    helpers.do(
        lambda session: vms.create(session, actor, replace(helpers.request("web"), placement=APART)), Observed.STOPPED
    )
    with pytest.raises(NoCapacity):
        placed("next")
    helpers.do(lambda session: vms.delete(session, actor, "web"), Observed.ABSENT)
    assert placed("next") == host


def test_one_that_was_given_up_does_not_come_back_beside_another(
    transaction: Transaction, placed: Callable[..., str], host: str
) -> None:
    placed("first")
    with transaction() as session:
        first = session.scalars(select(Vm)).one()
        hosts.release(session, first)
    placed("second")
    with transaction() as session:
        first = session.scalars(select(Vm).where(Vm.name == "first")).one()
        assert not hosts.count_again(session, first)
        first.placement = Placement()
        assert hosts.count_again(session, first)
    with transaction() as session:
        assert session.get_one(Host, host).reserved_vcpus == 2


def test_what_explains_is_what_decides(
    transaction: Transaction, helpers: Helpers, actor: Actor, three: tuple[str, ...]
) -> None:
    with transaction() as session:
        session.execute(update(Host).where(Host.name != "host-a").values(labels={"zone": "b"}))
        session.execute(update(Host).where(Host.name == "host-c").values(reserved_memory_mb=1000))
    for placement in (
        Placement(),
        Placement(strategy="pack"),
        Placement(["zone=b"], [], "web", "pack"),
        Placement(["zone=b"], [], "web"),
        Placement(["zone=b"], [], "web"),
        Placement(prefer=["!zone"]),
        Placement(["zone=c"]),
    ):
        request = replace(helpers.request(f"vm-{id(placement)}"), placement=placement)
        with transaction() as session:
            found = vms.explain(session, actor, request)
            assert {each.host for each in found} == set(three)
        best, why_not = found[0].choice, {each.host: each.why_not for each in found}
        with transaction() as session:
            if best is not None:
                assert vms.create(session, actor, request).host_name == best.host
                continue
            with pytest.raises(NoCapacity) as refused:
                vms.create(session, actor, request)
            assert {each["host"]: each["reason"] for each in refused.value.details["rejected"]} == why_not


def test_explaining_makes_nothing(transaction: Transaction, helpers: Helpers, actor: Actor, host: str) -> None:
    with transaction() as session:
        (verdict,) = vms.explain(session, actor, replace(helpers.request("web"), vcpus=5, placement=APART))
    assert verdict.why_not == "5 vCPUs wanted, 4 left"
    with transaction() as session:
        assert session.get_one(Host, host).reserved_vcpus == 0
        assert session.scalar(select(func.count()).select_from(Vm)) == 0
        with pytest.raises(Invalid, match="there is no host 'none'"):
            vms.explain(session, actor, helpers.request("web", "none"))


def test_room_may_be_promised_often(
    transaction: Transaction, helpers: Helpers, placed: Callable[..., str], host: str
) -> None:
    def change(**overcommit: float) -> Host:
        with transaction() as session:
            return hosts.change(session, SYSTEM, host, labels={}, overcommit=overcommit)

    made = change(vcpus=1.5, memory_mb=0.3)
    assert (made.vcpus, made.memory_mb, made.disk_gb) == (6, 1228, 100)
    assert placed("one", Placement(), vcpus=6) == host
    with transaction() as session:  # what the agent tells anew is taken as often
        inventories.record(session, replace(helpers.inventory(host), vcpus=5, memory_mb=10000, disk_gb=2**31 - 1))
    with transaction() as session:
        made = session.get_one(Host, host)
        assert (made.offered_vcpus, made.vcpus, made.memory_mb, made.disk_gb) == (5, 7, 3000, 2**31 - 1)
    assert change(disk_gb=64).disk_gb == 2**31 - 1  # as much as can be counted
    assert change(vcpus=1).vcpus == 5  # less than was promised: what is there stays
    with pytest.raises(NoCapacity, match="1 vCPUs"):
        placed("two", Placement())
