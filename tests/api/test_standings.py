"""Cordons over the API, in both dialects."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from core.models import Host
from tests.api.world import Caller, World, problem


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture
def host(world: World) -> Iterator[str]:
    """A host of the test's own."""
    name = f"h{secrets.token_hex(4)}"
    world.add_host(name)
    yield name
    with world.context.transaction() as session:
        session.delete(session.get_one(Host, name))


def test_who_has_cordoned_a_host_and_why_is_shown_to_all(world: World, admin: Caller, host: str) -> None:
    assert world.get(f"/hosts/{host}", admin.bearer).json["standing"] == {
        "state": "active",
        "since": None,
        "by": None,
        "reason": "",
    }
    answer = world.post(f"/hosts/{host}/cordon", admin.bearer, json={"reason": "new disks"})
    assert answer.status_code == 200, answer.text
    standing = answer.json["standing"]
    assert (standing["state"], standing["by"], standing["reason"]) == ("cordoned", admin.actor.username, "new disks")
    user = world.caller()
    assert world.get(f"/hosts/{host}", user.bearer).json["standing"] == standing
    assert [each["name"] for each in world.get("/hosts?standing=cordoned", user.bearer).json["hosts"]] == [host]
    assert host in [each["name"] for each in world.get("/hosts?standing=cordoned", user.key).json["data"]]

    refused = world.post("/vms", user.bearer, json={"name": "web", "host": host})
    assert problem(refused) == (409, "conflict")
    assert "is cordoned: new disks" in refused.text

    assert world.post(f"/hosts/{host}/uncordon", admin.key).json["data"]["standing"]["state"] == "active"
    assert world.get("/hosts?standing=cordoned", user.bearer).json["hosts"] == []


def test_administrators_alone_may(world: World, admin: Caller, host: str) -> None:
    user, reader = world.caller(), world.caller("admin", access="read")
    for verb in ("cordon", "uncordon", "activate"):
        assert problem(world.post(f"/hosts/{host}/{verb}", user.bearer)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}", user.key)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}", reader.key)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}")) == (401, "unauthorized")
        assert problem(world.post(f"/hosts/none/{verb}", admin.bearer)) == (404, "not_found")
    assert world.get(f"/hosts/{host}", admin.bearer).json["standing"]["since"] is None


def test_it_is_in_the_audit_log(world: World, admin: Caller, host: str) -> None:
    world.post(f"/hosts/{host}/cordon", admin.bearer, json={"reason": "new disks"})
    world.post(f"/hosts/{host}/activate", admin.bearer)
    entries = world.get("/security/audit-logs?resource_type=host&limit=2", admin.bearer).json["logs"]
    assert [(each["action_type"], each["resource_id"], each["result"]) for each in entries] == [
        ("host_activate", host, "success"),
        ("host_cordon", host, "success"),
    ]
    assert entries[1]["details"]["request"] == {"reason": "new disks"}
