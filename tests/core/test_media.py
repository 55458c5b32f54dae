"""Disks in the record: their room is counted from the moment they are asked for, and given back when they are gone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import to_builtins
from sqlalchemy import select

from core.contract.commands import DiskAttach
from core.contract.errors import Conflict, Forbidden, NoCapacity, NotFound, Unavailable
from core.contract.hosts import ReportedMedium
from core.contract.messages import Failure
from core.contract.states import Observed
from core.contract.vms import Disk
from core.models import Host, Medium
from core.models.base import now
from core.services import hardware, lost, media, vms
from core.services.accepted import Accepted
from core.services.intake import inventories
from core.services.media import MediaFilter

if TYPE_CHECKING:
    from core.services.context import Actor
    from tests.core.conftest import Helpers, Transaction

GB = 1 << 30
NEW: dict[str, Any] = {
    "controller": "SATA Controller",
    "port": 1,
    "device": 0,
    "type": "hdd",
    "medium": "a.raw",
    "create_if_missing": True,
    "size_gb": 30,
}
OWN = Disk("SATA Controller", 0, 0, "hdd", "disk", 10 * GB, None, "fake", own=True)
DISK = Disk("SATA Controller", 1, 0, "hdd", "a.raw", 30 * GB, 4096, "raw", own=False)


@pytest.fixture
def web(transaction: Transaction, actor: Actor, host: str, helpers: Helpers) -> str:
    """A stopped VM with a disk of 10 GB on a host that has 100; its name."""
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    return "web"


def reserved(transaction: Transaction) -> int:
    with transaction() as session:
        return session.get_one(Host, "host-a").reserved_disk_gb


def rows(transaction: Transaction) -> list[Medium]:
    with transaction() as session:
        return list(session.scalars(select(Medium).order_by(Medium.name)))


def begin(transaction: Transaction, actor: Actor, ref: str = "web", **changes: Any) -> Accepted:
    with transaction() as session:
        return hardware.attach(session, actor, ref, DiskAttach(**(NEW | changes)))


def succeed(helpers: Helpers, operation: Accepted, *disks: Disk) -> None:
    told = {"disks": [to_builtins(disk) for disk in (OWN, *disks)]}
    helpers.apply(helpers.report(operation, "succeeded", Observed.STOPPED, result=told))


def tell(transaction: Transaction, helpers: Helpers, *told: ReportedMedium, generation: int | None = None) -> None:
    told_of = replace(helpers.inventory("host-a"), media=list(told))
    with transaction() as session:
        inventories.record(session, told_of if generation is None else replace(told_of, generation=generation))


def test_a_new_disk_is_counted_when_it_is_asked_for_and_given_back_when_it_fails(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    failing = begin(transaction, actor)
    assert failing.params["medium_id"] == rows(transaction)[0].id
    assert reserved(transaction) == 40
    with transaction() as session:
        assert media.list_of(session, actor, MediaFilter()) == ([], 0)  # not there yet
    failed = helpers.report(failing, "failed", Observed.STOPPED, failure=Failure("invalid_request", "no"))
    for _ in range(2):
        helpers.apply(failed)
    assert (reserved(transaction), rows(transaction)) == (10, [])


def test_a_host_without_room_for_a_disk_refuses_it(transaction: Transaction, actor: Actor, web: str) -> None:
    with transaction() as session, pytest.raises(NoCapacity, match="91 GB") as refused:
        hardware.attach(session, actor, "web", DiskAttach(**NEW | {"size_gb": 91}))
    assert refused.value.details["rejected"] == [{"host": "host-a", "reason": "91 GB of disk wanted, 90 left"}]
    assert (reserved(transaction), rows(transaction)) == (10, [])
    assert begin(transaction, actor, size_gb=90).params["size_gb"] == 90


def test_it_is_listed_attached_and_stays_when_its_vm_goes(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    succeed(helpers, begin(transaction, actor), DISK)
    with transaction() as session:
        (medium,), total = media.list_of(session, actor, MediaFilter(attached=True))
        assert (total, medium.name, medium.format, medium.size_bytes) == (1, "a.raw", "raw", 30 * GB)
        with pytest.raises(Conflict, match="attached to VM 'web'") as refused:
            media.to_delete(session, actor, medium.id)
        assert refused.value.code == "disk_in_use"
        with pytest.raises(NotFound):
            media.get(session, helpers.user("bob"), medium.id)
        assert media.list_of(session, helpers.user("carol"), MediaFilter()) == ([], 0)
    assert begin_again(transaction, actor, helpers, DISK).params["medium_id"] == ""
    helpers.do(lambda s: vms.delete(s, actor, "web"), Observed.ABSENT)
    assert reserved(transaction) == 30
    (left,) = rows(transaction)
    assert left.vm_id is None
    with transaction() as session:
        assert media.to_delete(session, actor, left.id).host_name == "host-a"
        with pytest.raises(Forbidden):
            media.to_delete(session, replace(actor, read_only=True), left.id)
        media.removed(session, left.id)
        media.removed(session, left.id)
    assert (reserved(transaction), rows(transaction)) == (0, [])


def begin_again(transaction: Transaction, actor: Actor, helpers: Helpers, *disks: Disk) -> Accepted:
    operation = begin(transaction, actor)
    succeed(helpers, operation, *disks)
    return operation


def test_its_disks_go_with_a_vm_that_is_deleted_so(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    succeed(helpers, begin(transaction, actor), DISK)
    helpers.do(lambda s: vms.delete(s, actor, "web", delete_disks=True), Observed.ABSENT)
    assert (reserved(transaction), rows(transaction)) == (0, [])


def test_a_delete_that_overtakes_an_attachment_gives_its_room_back(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    begin(transaction, actor)
    helpers.do(lambda s: vms.delete(s, actor, "web"), Observed.ABSENT)
    assert (reserved(transaction), rows(transaction)) == (0, [])


def test_a_detached_disk_is_free(transaction: Transaction, actor: Actor, helpers: Helpers, web: str) -> None:
    succeed(helpers, begin(transaction, actor), DISK)
    with transaction() as session:
        operation = hardware.detach(session, actor, "web", "SATA Controller", 1, 0)
    succeed(helpers, operation)
    assert [each.vm_id for each in rows(transaction)] == [None]


def test_what_a_host_has_is_adopted_counted_and_forgotten(
    transaction: Transaction, actor: Actor, helpers: Helpers, host: str
) -> None:
    made = ReportedMedium("med-1", "gone-user", "old.qcow2", "qcow2", 5 * GB, 4096, created_at=1.0)
    given = ReportedMedium("med-2", actor.user_id, "given.raw", "raw", 7 * GB, 4096, made=False)
    for _ in range(2):
        tell(transaction, helpers, made, given)
    assert [(row.name, row.reserved_gb) for row in rows(transaction)] == [("given.raw", 0), ("old.qcow2", 5)]
    assert reserved(transaction) == 5
    with transaction() as session:
        assert [each.id for each in media.list_of(session, actor, MediaFilter())[0]] == ["med-2"]
        admin = replace(actor, role="admin")
        assert media.list_of(session, admin, MediaFilter(owner="gone-user", attached=False))[1] == 1
        assert media.to_delete(session, admin, "med-1").owner_id == "gone-user"
    tell(transaction, helpers, replace(made, used_bytes=1 << 20))
    (left,) = rows(transaction)
    assert (left.id, left.used_bytes) == ("med-1", 1 << 20)
    tell(transaction, helpers)
    assert (reserved(transaction), rows(transaction)) == (0, [])


def test_an_inventory_from_before_it_was_made_does_not_forget_it(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    early = helpers.inventory("host-a").generation
    succeed(helpers, begin(transaction, actor), DISK)
    tell(transaction, helpers, generation=early)
    assert len(rows(transaction)) == 1
    assert reserved(transaction) == 40


def test_a_disk_that_was_there_all_the_time_takes_the_place_of_one_that_was_to_be_made(
    transaction: Transaction, actor: Actor, helpers: Helpers, web: str
) -> None:
    begin(transaction, actor)
    tell(transaction, helpers, ReportedMedium("med-old", actor.user_id, "a.raw", "raw", 5 * GB))
    assert [(row.id, row.reserved_gb) for row in rows(transaction)] == [("med-old", 5)]
    assert reserved(transaction) == 15


def test_a_silent_host_is_asked_to_delete_nothing(
    transaction: Transaction, actor: Actor, helpers: Helpers, host: str
) -> None:
    tell(transaction, helpers, ReportedMedium("med-1", actor.user_id, "a.raw", "raw", GB))
    with transaction() as session:
        session.get_one(Host, "host-a").offline_since = now()
    with transaction() as session, pytest.raises(Unavailable, match="host-a"):
        media.to_delete(session, actor, "med-1")


def test_the_disks_of_a_host_that_is_given_up_go_and_return_with_it(
    transaction: Transaction, actor: Actor, helpers: Helpers, host: str
) -> None:
    disk = ReportedMedium("med-1", actor.user_id, "a.raw", "raw", GB)
    tell(transaction, helpers, disk)
    with transaction() as session:
        session.get_one(Host, host).offline_since = now()
    with transaction() as session:
        lost.remove_host(session, replace(actor, role="admin"), host)
    assert (reserved(transaction), rows(transaction)) == (0, [])
    tell(transaction, helpers, disk)
    assert (reserved(transaction), [row.id for row in rows(transaction)]) == (1, ["med-1"])
