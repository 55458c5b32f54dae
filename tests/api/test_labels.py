"""Labels of hosts, in both dialects: given with a token or later, shown to all, and asked for in lists."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from core.contract.hosts import DriverHealth, Inventory
from core.models import Event, Host
from core.services.identities import accounts
from core.services.intake import inventories
from tests.api.test_joining import join, mint
from tests.api.world import REFUSED, Caller, World, problem


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture
def name(world: World) -> Iterator[str]:
    """A host's."""
    made = f"h{secrets.token_hex(4)}"
    yield made
    with world.context.transaction() as session:
        accounts.expel(session, made)
        session.execute(delete(Host).where(Host.name == made))


def inventory(name: str, generation: int = 1) -> Inventory:
    size = {"vcpus": 1, "memory_mb": 1, "disk_gb": 1}
    told = {"drivers": [DriverHealth("fake", healthy=True)], "images": [], "vms": []}
    return Inventory(host=name, boot_id="b", generation=generation, at=time.time(), **size, **told)  # type: ignore[arg-type]


def told(world: World, name: str, generation: int = 1) -> None:
    with world.context.transaction() as session:
        inventories.record(session, inventory(name, generation))


def change(world: World, admin: Caller, name: str, labels: Any) -> Any:
    return world.request("PATCH", f"/hosts/{name}", admin.bearer, json={"labels": labels})


def has(world: World, caller: Caller, name: str) -> Any:
    return world.get(f"/hosts/{name}", caller.bearer).json["labels"]


def names(world: World, caller: Caller, label: str) -> list[str]:
    answer = world.get("/hosts", caller.bearer, query_string={"label": label})
    assert answer.status_code == 200, answer.text
    assert answer.json["total"] == len(answer.json["hosts"])
    return [each["name"] for each in answer.json["hosts"]]


def test_a_host_comes_with_the_labels_of_its_token(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name, labels={"zone": "a", "example.com/disk": ""})
    assert made["labels"] == {"zone": "a", "example.com/disk": ""}
    assert world.get(f"/join-tokens/{made['id']}", admin.bearer).json["labels"] == made["labels"]
    assert join(world, made["token"]).status_code == 200
    told(world, name)
    assert has(world, world.caller(), name) == made["labels"]
    change(world, admin, name, {"zone": "b"})
    told(world, name, 2)
    assert has(world, admin, name)["zone"] == "b"  # what an administrator has said since stays


def test_one_that_joins_again_keeps_its_labels(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, labels={"zone": "a"})
    refused = world.post("/join-tokens", admin.bearer, json={"host": name, "replaces": True, "labels": {"zone": "b"}})
    assert problem(refused) == (400, "bad_request")
    assert "keeps its labels" in refused.json["message"]
    assert join(world, mint(world, admin, host=name, replaces=True)["token"]).status_code == 200
    told(world, name, 2)
    assert has(world, admin, name) == {"zone": "a"}


def test_one_that_was_given_up_comes_with_new_ones(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, labels={"zone": "a"})
    assert world.delete(f"/hosts/{name}?force=true", admin.bearer).status_code == 200
    assert join(world, mint(world, admin, host=name, labels={"disk": "ssd"})["token"]).status_code == 200
    told(world, name, 2)
    assert has(world, admin, name) == {"disk": "ssd"}


def test_labels_are_set_and_taken_away(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, labels={"zone": "a", "disk": "ssd"})
    answer = change(world, admin, name, {"zone": "b", "disk": None, "rack": "7", "unheard-of": None})
    assert answer.status_code == 200, answer.text
    assert answer.json["labels"] == {"zone": "b", "rack": "7"} == has(world, world.caller(), name)
    enveloped = world.request("PATCH", f"/hosts/{name}", admin.key, json={"labels": {"rack": "8"}})
    assert enveloped.json["data"]["labels"] == {"zone": "b", "rack": "8"}
    assert world.request("PATCH", f"/hosts/{name}", admin.key, json={}).json["data"]["labels"]["rack"] == "8"


def test_all_hosts_are_found_by_their_labels(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, labels={"only": name})
    caller = world.caller()
    assert names(world, caller, f"only={name}") == [name]
    assert names(world, caller, f"only={name},!other") == [name]
    assert names(world, caller, f"only={name},other") == []
    assert name not in names(world, caller, "!only")
    enveloped = world.get("/hosts", admin.key, query_string={"label": f"only={name}", "status": "online"}).json
    assert [each["name"] for each in enveloped["data"]] == [name]


def test_only_administrators_label(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name)
    caller, reader = world.caller(), world.caller("admin", access="read")
    assert problem(change(world, caller, name, {"zone": "a"})) == (403, "forbidden")
    read_only = world.request("PATCH", f"/hosts/{name}", reader.key, json={"labels": {"zone": "a"}})
    assert problem(read_only)[0] == 403
    assert problem(world.request("PATCH", f"/hosts/{name}", json={"labels": {}}))[0] == 401
    assert problem(change(world, admin, "no-such-host", {"zone": "a"})) == (404, "not_found")
    assert has(world, admin, name) == {}


BAD: list[tuple[Any, str]] = [
    (None, "labels"),
    (5, "labels"),
    (["zone=a"], "labels"),
    ({"Zone!": "a"}, "labels.Zone!"),
    ({"": "a"}, "labels"),
    ({"zone": "a b"}, "labels.zone"),
    ({"zone": 5}, "labels.zone"),
    ({"zone": True}, "labels.zone"),
    ({"zone": {}}, "labels.zone"),
    ({"zone": "a" * 64}, "labels.zone"),
    ({"zone\x00": "a"}, "labels.zone"),
    ({"k" * 5000: "a"}, "labels.kkk"),
    ({f"k{number}": "a" for number in range(65)}, "labels"),
]


@pytest.mark.parametrize(("labels", "field"), BAD)
def test_what_are_no_labels(world: World, admin: Caller, name: str, labels: Any, field: str) -> None:
    world.record.add_host(name)
    for dialect in ("microvm", "vboxmcp"):
        headers = admin.headers(dialect)
        for answer in (
            world.request("PATCH", f"/hosts/{name}", headers, json={"labels": labels}),
            world.post("/join-tokens", headers, json={"labels": labels}),
        ):
            assert problem(answer) == REFUSED[dialect]
            assert field in answer.text
    assert has(world, admin, name) == {}


def test_a_host_has_so_many_at_most(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, labels={f"k{number}": "" for number in range(60)})
    refused = change(world, admin, name, {f"m{number}": "" for number in range(5)})
    assert problem(refused) == (400, "bad_request")
    assert "would have 65 labels" in refused.json["message"]
    assert change(world, admin, name, {"k0": None, **{f"m{number}": "" for number in range(5)}}).status_code == 200


@pytest.mark.parametrize("label", ["=", "a b", "zone=a,", "x" * 5000, ",".join(["a"] * 65)])
def test_what_no_list_is_asked_by(world: World, admin: Caller, label: str) -> None:
    for dialect in ("microvm", "vboxmcp"):
        answer = world.get("/hosts", admin.headers(dialect), query_string={"label": label})
        assert problem(answer) == REFUSED[dialect]


def test_the_change_is_told_and_audited(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name)
    change(world, admin, name, {"zone": "a", "gone": None})
    change(world, admin, name, {"zone": "a"})
    entry = world.get("/security/audit-logs?limit=2", admin.bearer).json["logs"][1]
    assert (entry["action_type"], entry["resource_id"]) == ("host_update", name)
    assert entry["details"]["request"]["labels"] == ["zone=a", "gone-"]
    with world.context.reading() as session:
        told = session.scalars(select(Event.data).where(Event.type == "host_changed", Event.host_name == name))
        assert list(told) == [{"host": name, "labels": {"zone": "a"}}]  # once: the second changed nothing
