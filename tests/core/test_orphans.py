"""VMs that a host has and the record has not: taken into it, by an administrator, for an owner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from core.contract.described import DescribeReply
from core.contract.errors import Conflict, CorralError, Forbidden, Invalid, NoCapacity, NotFound
from core.contract.states import Observed
from core.contract.vms import Observation, Running, VmNetwork
from core.models import Host, Vm
from core.services import orphans, vms
from core.services.context import Actor
from core.services.intake import inventories
from tests.core.conftest import Helpers, Transaction

ADMIN = Actor("admin", "admin", "admin")
ID = "vm-0123456789ab"
SEEN = DescribeReply(
    name="lost-one",
    hypervisor="fake",
    os_type="linux",
    image="linux-default",
    vcpus=2,
    memory_mb=1024,
    disk_gb=20,
    network=VmNetwork(mac_address="52:54:00:00:00:09"),
    state="running",
    started_at=1_700_000_000.0,
    facts=Running(vcpus=2, memory_mb=1024),
)


@pytest.fixture
def orphan(transaction: Transaction, helpers: Helpers, host: str, actor: Actor) -> str:
    tell(transaction, helpers, host)
    return host


def tell(transaction: Transaction, helpers: Helpers, host: str, *ids: str) -> None:
    with transaction() as session:
        seen = [Observation(each, Observed.RUNNING) for each in ids or (ID,)]
        inventories.record(session, helpers.inventory(host, seen))


def adopt(transaction: Transaction, host: str, seen: DescribeReply = SEEN, actor: Actor = ADMIN, **changes: Any) -> Vm:
    with transaction() as session:
        return orphans.adopt(session, actor, host, changes.pop("vm_id", ID), seen, **{"owner": "ann"} | changes)


def test_it_is_its_owners_as_it_is_and_counted(
    transaction: Transaction, helpers: Helpers, orphan: str, actor: Actor
) -> None:
    vm = adopt(transaction, orphan)
    assert (vm.id, vm.name, vm.owner_id, vm.started_at is None) == (ID, "lost-one", actor.user_id, False)
    assert helpers.status(actor, "lost-one") == "running"
    with transaction() as session:
        host = session.get_one(Host, orphan)
        assert (host.reserved_vcpus, host.reserved_memory_mb, host.reserved_disk_gb) == (2, 1024, 20)
        assert host.orphans == []
    helpers.do(lambda session: vms.stop(session, actor, "lost-one", grace_seconds=1, force=True), Observed.STOPPED)
    tell(transaction, helpers, orphan)
    with transaction() as session:
        assert session.get_one(Host, orphan).orphans == []
    helpers.do(lambda session: vms.delete(session, actor, "lost-one"), Observed.ABSENT)
    with transaction() as session:
        assert session.get_one(Host, orphan).reserved_vcpus == 0


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"actor": Actor("u", "u", "user")}, Forbidden, "administrator"),
        ({"owner": "nobody"}, Invalid, "there is no user 'nobody'"),
        ({"name": "-"}, Invalid, "a VM's name must have"),
        ({"name": "all"}, Invalid, "means every VM"),
        ({"name": "taken"}, Conflict, "'taken' already exists"),
        ({"vm_id": "vm-unheard-of"}, NotFound, "has no orphan 'vm-unheard-of'"),
        ({"seen": replace(SEEN, vcpus=4)}, NoCapacity, "no room for VM 'lost-one' with 4 vCPUs"),
        ({"seen": replace(SEEN, disk_gb=100)}, NoCapacity, "100 GB disk"),
    ],
)
def test_what_is_refused_changes_nothing(
    transaction: Transaction, helpers: Helpers, orphan: str, actor: Actor, changes: Any, error: type, says: str
) -> None:
    helpers.do(lambda session: vms.create(session, actor, helpers.request("taken")), Observed.STOPPED)
    with pytest.raises(error, match=says):
        adopt(transaction, orphan, **changes)
    with transaction() as session:
        host = session.get_one(Host, orphan)
        assert (host.reserved_vcpus, host.orphans) == (1, [ID])
        assert session.scalar(select(func.count()).select_from(Vm)) == 1


def test_an_address_that_another_has_is_refused(
    transaction: Transaction, helpers: Helpers, orphan: str, actor: Actor
) -> None:
    bridged = replace(SEEN, vcpus=1, network=VmNetwork("bridge", "br0", "10.0.0.2", "52:54:0a:00:00:02"))
    adopt(transaction, orphan, bridged)
    tell(transaction, helpers, orphan, ID, "vm-another")
    with pytest.raises(Conflict, match=r"10\.0\.0\.2 on bridge 'br0' is taken"):
        adopt(transaction, orphan, bridged, vm_id="vm-another", name="another")


def test_of_two_at_once_one_has_it(transaction: Transaction, orphan: str) -> None:
    def one(name: str) -> str:
        try:
            return adopt(transaction, orphan, name=name).name
        except CorralError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, [f"vm-{n}" for n in range(8)]))
    assert outcomes.count("orphan_not_found") == 7
    with transaction() as session:
        assert session.get_one(Host, orphan).reserved_vcpus == 2


def test_a_vm_of_another_host_is_no_new_one(
    transaction: Transaction, helpers: Helpers, orphan: str, actor: Actor
) -> None:
    """As where a host's home was copied."""
    adopt(transaction, orphan)
    tell(transaction, helpers, "host-b")
    with pytest.raises(Conflict, match="in the database already, as 'lost-one' on host 'host-a'"):
        adopt(transaction, "host-b", name="another")


def test_what_was_adopted_is_not_removed_by_an_older_list(transaction: Transaction, orphan: str) -> None:
    adopt(transaction, orphan)
    with transaction() as session:
        session.get_one(Host, orphan).orphans = [ID]  # by an inventory that was read meanwhile
    with transaction() as session, pytest.raises(NotFound):
        orphans.remove(session, ADMIN, orphan, ID)
