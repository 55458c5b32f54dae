"""Cordons and drains over the API, in both dialects."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from core.models import Host, Operation
from core.services.identities import accounts
from tests.api.world import Caller, World, problem


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture
def host(world: World) -> Iterator[str]:
    """A host of the test's own."""
    name = f"h{secrets.token_hex(4)}"
    world.record.add_host(name)
    yield name
    with world.context.transaction() as session:
        session.execute(delete(Operation).where(Operation.host_name == name))
        session.delete(session.get_one(Host, name))


def test_who_has_cordoned_a_host_and_why_is_shown_to_all(world: World, admin: Caller, host: str) -> None:
    assert world.get(f"/hosts/{host}", admin.bearer).json["scheduling"] == {
        "state": "active",
        "since": None,
        "by": None,
        "reason": "",
    }
    answer = world.post(f"/hosts/{host}/cordon", admin.bearer, json={"reason": "new disks"})
    assert answer.status_code == 200, answer.text
    scheduling = answer.json["scheduling"]
    assert (scheduling["state"], scheduling["by"], scheduling["reason"]) == (
        "cordoned",
        admin.actor.username,
        "new disks",
    )
    user = world.caller()
    assert world.get(f"/hosts/{host}", user.bearer).json["scheduling"] == scheduling
    assert [each["name"] for each in world.get("/hosts?scheduling=cordoned", user.bearer).json["hosts"]] == [host]
    assert host in [each["name"] for each in world.get("/hosts?scheduling=cordoned", user.key).json["data"]]

    refused = world.post("/vms", user.bearer, json={"name": "web", "host": host})
    assert problem(refused) == (409, "conflict")
    assert "is cordoned: new disks" in refused.text

    assert world.post(f"/hosts/{host}/uncordon", admin.key).json["data"]["scheduling"]["state"] == "active"
    assert world.get("/hosts?scheduling=cordoned", user.bearer).json["hosts"] == []


def test_administrators_alone_may(world: World, admin: Caller, host: str) -> None:
    user, reader = world.caller(), world.caller("admin", access="read")
    for verb, body in (
        ("cordon", {}),
        ("uncordon", {}),
        ("activate", {}),
        ("drain", {"strategy": "stop"}),
        ("fence", {}),
    ):
        assert problem(world.post(f"/hosts/{host}/{verb}", user.bearer, json=body)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}", user.key, json=body)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}", reader.key, json=body)) == (403, "forbidden")
        assert problem(world.post(f"/hosts/{host}/{verb}", json=body)) == (401, "unauthorized")
        assert problem(world.post(f"/hosts/none/{verb}", admin.bearer, json=body)) == (404, "not_found")
    assert world.get(f"/hosts/{host}", admin.bearer).json["scheduling"]["since"] is None


def test_it_is_in_the_audit_log(world: World, admin: Caller, host: str) -> None:
    world.post(f"/hosts/{host}/cordon", admin.bearer, json={"reason": "new disks"})
    world.post(f"/hosts/{host}/activate", admin.bearer)
    entries = world.get("/security/audit-logs?resource_type=host&limit=2", admin.bearer).json["logs"]
    assert [(each["action_type"], each["resource_id"], each["result"]) for each in entries] == [
        ("host_activate", host, "success"),
        ("host_cordon", host, "success"),
    ]
    assert entries[1]["details"]["request"] == {"reason": "new disks"}


def test_a_drain_is_an_operation_of_its_host(world: World, admin: Caller, host: str) -> None:
    headers = admin.bearer | {"Idempotency-Key": host}
    answer = world.post(f"/hosts/{host}/drain", headers, json={"strategy": "wait", "reason": "new disks"})
    assert answer.status_code == 202, answer.text
    drain = answer.json
    assert (drain["kind"], drain["state"], drain["host"], drain["vm_id"], drain["vm_name"]) == (
        *("drain", "running", host),
        *("", ""),
    )
    assert world.post(f"/hosts/{host}/drain", headers, json={"strategy": "wait", "reason": "new disks"}).json == drain
    scheduling = world.get(f"/hosts/{host}", admin.bearer).json["scheduling"]
    assert (scheduling["state"], scheduling["reason"]) == ("draining", "new disks")
    for path in (f"/operations?host={host}", "/operations?kind=drain&state=running"):
        assert drain["id"] in [each["id"] for each in world.get(path, admin.bearer).json["operations"]]
    assert world.get(f"/operations/{drain['id']}", admin.key).json["data"]["vm_id"] == ""
    assert world.get(f"/operations/{drain['id']}/wait?timeout=0", admin.bearer).status_code == 202
    user = world.caller()
    assert problem(world.get(f"/operations/{drain['id']}", user.bearer)) == (404, "not_found")
    assert problem(world.delete(f"/operations/{drain['id']}", user.bearer)) == (404, "not_found")

    other = world.post(f"/hosts/{host}/drain", admin.bearer, json={"strategy": "stop"})
    assert problem(other) == (409, "conflict")
    assert drain["id"] in other.json["message"]
    assert world.delete(f"/operations/{drain['id']}", admin.bearer).json["cancel_requested_at"]
    assert world.post(f"/hosts/{host}/activate", admin.bearer).json["scheduling"]["state"] == "active"
    ended = world.get(f"/operations/{drain['id']}", admin.bearer).json
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "host_activated")
    again = world.delete(f"/operations/{drain['id']}", admin.bearer)
    assert problem(again) == (409, "conflict")


def test_to_fence_a_host_takes_force_while_it_is_online(world: World, admin: Caller, host: str) -> None:
    refused = world.post(f"/hosts/{host}/fence", admin.bearer)
    assert problem(refused) == (409, "conflict")
    assert "is online" in refused.json["message"]
    fenced = world.post(f"/hosts/{host}/fence", admin.key, json={"force": True, "reason": "smoke"}).json["data"]
    assert (fenced["scheduling"]["state"], fenced["scheduling"]["reason"], fenced["status"]) == (
        "fenced",
        "smoke",
        "offline",
    )
    assert problem(world.post(f"/hosts/{host}/uncordon", admin.bearer)) == (409, "conflict")
    assert problem(world.post(f"/hosts/{host}/drain", admin.bearer, json={"strategy": "stop"})) == (409, "conflict")
    active = world.post(f"/hosts/{host}/activate", admin.bearer).json
    assert (active["scheduling"]["state"], active["status"]) == ("active", "offline")  # it is offline until it is heard


def test_what_becomes_of_a_vm_is_asked_for_when_it_is_made(world: World) -> None:
    user = world.caller()
    later = user.bearer | {"Prefer": "respond-async"}
    for name, body, policy in (("plain", {}, "none"), ("moves", {"restart_policy": "elsewhere"}, "elsewhere")):
        assert world.post("/vms", later, json={"name": name} | body).status_code == 202
        assert world.get(f"/vms/{name}", user.bearer).json["restart_policy"] == policy
        assert world.get(f"/vms/{name}", user.key).json["data"]["restart_policy"] == policy


def test_a_host_s_secret_is_rotated_on_request(world: World, admin: Caller, host: str) -> None:
    refused = world.post(f"/hosts/{host}/rotate", admin.bearer)
    assert problem(refused) == (409, "conflict")
    assert f"corral host rejoin {host}" in refused.json["message"]
    assert world.get(f"/hosts/{host}", admin.bearer).json["secret"] is None
    with world.context.transaction() as session:
        accounts.admit(session, host, "a" * 64)
    before = world.get(f"/hosts/{host}", admin.bearer).json["secret"]
    assert (before["rotating_since"], before["problem"]) == (None, None)
    asked = world.post(f"/hosts/{host}/rotate", admin.bearer).json["secret"]
    assert (asked["changed_at"], asked["rotating_since"] is not None) == (before["changed_at"], True)
    assert world.post(f"/hosts/{host}/rotate", admin.key).json["data"]["secret"] == asked
    user = world.caller()
    assert problem(world.post(f"/hosts/{host}/rotate", user.bearer)) == (403, "forbidden")
    assert world.get(f"/hosts/{host}", user.bearer).json["secret"] is None
    assert problem(world.post("/hosts/nowhere/rotate", admin.bearer)) == (404, "not_found")
    entries = world.get("/security/audit-logs?action_type=host_rotate&limit=4", admin.bearer).json["logs"]
    assert [(each["resource_id"], each["result"]) for each in entries[-2:]] == [(host, "success")] * 2
    with world.context.transaction() as session:
        accounts.expel(session, host)
