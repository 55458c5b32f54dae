"""Every list, in both dialects: paged, filtered and sorted by the same rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.contract.images import MANIFEST, ImageFile, ImageManifest
from core.contract.messages import encode
from core.models import Operation, Snapshot
from core.models.base import now
from core.services import keys
from tests.api.world import Caller, World, problem

LISTS = ("vms", "vms/{vm}/snapshots", "operations", "keys", "hosts", "images")
DIALECTS = ("microvm", "vboxmcp")
MANY = 7


@pytest.fixture(scope="module")
def owner(world: World) -> Caller:
    return world.caller()


@pytest.fixture(scope="module")
def vm(world: World, owner: Caller) -> str:
    """One of several, with snapshots, operations and keys that were all made at the same moment."""
    first = world.add_vm(owner, name="same-0")
    moment = now()
    for number in range(1, MANY):
        world.add_vm(owner, name=f"same-{number}", created_at=moment)
    with world.context.transaction() as session:
        for number in range(MANY):
            session.add(_snapshot(first, f"snap-{number}", moment))
            session.add(_operation(owner, first, number, moment))
            key, _ = keys.create(session, owner.actor, f"key-{number}")
            key.created_at = moment
    for number in range(MANY):
        folder = world.settings.images / f"listed-{number}"
        folder.mkdir(parents=True)
        disk = ImageFile("disk.qcow2", "0" * 64, 1024 * number)
        image = ImageManifest(folder.name, "windows" if number == 0 else "linux", "qcow2", disk, 1)
        (folder / MANIFEST).write_text(encode(image))
    return first


def _snapshot(vm_id: str, name: str, moment: Any) -> Snapshot:
    return Snapshot(
        vm_id=vm_id,
        name=name,
        description="",
        include_memory=False,
        vm_status="stopped",
        vcpus=1,
        memory_mb=128,
        size_bytes=10,
        checksum="",
        created_at=moment,
        ready_at=moment,
    )


def _operation(owner: Caller, vm_id: str, number: int, moment: Any) -> Operation:
    return Operation(
        kind="start",
        state="succeeded",
        vm_id=vm_id,
        vm_name="same-0",
        host_name="host-a",
        owner_id=owner.actor.user_id,
        actor_id=owner.actor.user_id,
        request_id="r",
        params={},
        attempt=1,
        send_at=moment,
        accepted_at=moment,
        ended_at=moment - timedelta(seconds=number) if number else None,
        deadline_at=moment,
    )


def listed(world: World, owner: Caller, dialect: str, path: str) -> tuple[list[Any], Any]:
    """The items and the whole answer."""
    answer = world.get(f"/{path}", owner.headers(dialect))
    assert answer.status_code == 200, answer.text
    noun = path.partition("?")[0].split("/")[-1]
    return answer.json["data" if dialect == "vboxmcp" else noun], answer.json


def name_of(item: Any) -> str:
    return str(item.get("snapshot_id") or item.get("id") or item["name"])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("noun", LISTS)
def test_pages_neither_miss_nor_repeat(world: World, owner: Caller, vm: str, noun: str, dialect: str) -> None:
    path = noun.format(vm=vm)
    for order in ("", "&order=asc", "&order=desc"):
        whole, body = listed(world, owner, dialect, f"{path}?limit=100{order}")
        assert (body["total"], body["limit"], body["offset"]) == (len(whole), 100, 0)
        pages = [listed(world, owner, dialect, f"{path}?limit=2&offset={n}{order}")[0] for n in range(0, len(whole), 2)]
        names = [name_of(item) for page in pages for item in page]
        assert names == [name_of(item) for item in whole]
        assert len(set(names)) == len(names)
        if order == "&order=asc":
            ascending = names
    assert names == ascending[::-1]
    assert listed(world, owner, dialect, f"{path}?offset={2**31 - 1}")[0] == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("noun", LISTS)
def test_what_is_no_page_is_refused(world: World, owner: Caller, vm: str, noun: str, dialect: str) -> None:
    expected = (422, "validation_error") if dialect == "microvm" else (400, "invalid_request")
    limits = ("0", "101", "-1", "x", "1.5", "", "9" * 400, "%00", "null", "%D9%A1", "1_0", "%201")
    odd = [f"limit={value}" for value in limits] + [f"offset={value}" for value in ("-1", "x", "", str(2**31))]
    odd += [f"order={value}" for value in ("up", "", "ASC", "%F0%9F%90%AE")]
    odd += [f"sort={value}" for value in ("password_hash", "", "id;drop", "name,created_at", "%00", "x" * 5000)]
    for query in odd:
        assert problem(world.get(f"/{noun.format(vm=vm)}?{query}", owner.headers(dialect))) == expected, query


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("noun", "sorts"),
    [
        ("vms", ("created_at", "name", "memory_mb", "vcpus", "os_type", "status")),
        ("vms/{vm}/snapshots", ("created_at", "name", "size_bytes")),
        ("operations", ("accepted_at", "ended_at", "kind", "state", "vm_name")),
        ("keys", ("created_at", "name", "expires_at")),
        ("hosts", ("name", "first_seen_at", "last_seen_at", "free_vcpus", "free_memory_mb", "free_disk_gb")),
        ("images", ("name", "os_type", "disk_size_gb", "size_bytes")),
    ],
)
def test_lists_are_sorted(
    world: World, owner: Caller, vm: str, noun: str, sorts: tuple[str, ...], dialect: str
) -> None:
    path = noun.format(vm=vm)
    for sort in sorts:
        up, _ = listed(world, owner, dialect, f"{path}?limit=100&sort={sort}")
        down, _ = listed(world, owner, dialect, f"{path}?limit=100&sort={sort}&order=desc")
        assert {name_of(item) for item in up} == {name_of(item) for item in down}
        for items, backwards in ((up, False), (down, True)):
            values = [item[sort] for item in items if item.get(sort) is not None]
            assert values == sorted(values, reverse=backwards), sort
            assert all(item.get(sort) is None for item in items[len(values) :]), sort


def test_lists_are_filtered(world: World, owner: Caller, vm: str) -> None:
    def totals(dialect: str, path: str) -> int:
        total: int = listed(world, owner, dialect, path)[1]["total"]
        return total

    for dialect in DIALECTS:
        assert totals(dialect, "images?os_type=windows") == 1
        assert totals(dialect, "vms?os_type=windows") == 0
        assert totals(dialect, "operations?state=succeeded&kind=start") == MANY
        assert totals(dialect, "hosts?status=online") == totals(dialect, "hosts")
        assert totals(dialect, "hosts?status=offline") == 0
    assert totals("microvm", "vms?status=created") == MANY
    assert totals("microvm", "vms?status=running") == 0
    assert totals("vboxmcp", "vms?state=poweroff") == MANY
    assert totals("vboxmcp", "vms?state=running") == 0
    assert totals("vboxmcp", "vms?state=deleted") == 0
    assert len(listed(world, owner, "vboxmcp", "vms")[0]) == MANY
    of_hosts = ("hosts?status=odd", "hosts?status=alive", "hosts?status=silent", "hosts?scheduling=odd")
    for query in ("vms?status=odd", "vms?os_type=odd", "images?os_type=odd", *of_hosts):
        assert problem(world.get(f"/{query}", owner.bearer)) == (422, "validation_error")
    assert problem(world.get("/vms?state=odd", owner.key)) == (400, "invalid_request")
