"""The audit log over HTTP: nothing that changes something, or was refused, is missing in it, and nothing secret is."""

from __future__ import annotations

import json
import queue
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import select, text

from api.auditing import flood
from api.auditing.flood import Flood
from cli.fleet.postgres import Postgres
from core import migrate
from core.models import AuditEntry, Vm
from core.services.audit.records import AuditRecord
from core.settings import Settings
from tests.api.auditing import ASYNC, entries_of, new_mark, said
from tests.api.world import PASSWORD, VBOX_VM, Caller, World, problem

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
ASKING = ("/api/v1/placements", "/api/v1/join/release")
"""What changes nothing, whatever its method."""


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture(autouse=True)
def _few_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "OF_ONE_CALLER", 1000)
    monkeypatch.setattr(flood, "OF_ALL_STRANGERS", 1000)


def _routes(world: World) -> Iterator[tuple[str, str, str]]:
    for dialect in ("microvm", "vboxmcp"):
        for rule in getattr(world.application, dialect).url_map.iter_rules():
            for method in sorted(rule.methods & CHANGING if rule.rule not in ASKING else ()):
                yield dialect, method, rule.rule


def test_no_route_that_changes_anything_is_missing(world: World, caller: Caller) -> None:
    nobody = {"microvm": {"Authorization": "Bearer x"}, "vboxmcp": {"X-API-Key": "x"}}
    routes = list(_routes(world))
    assert len(routes) > 25
    for dialect, method, rule in routes:
        path = re.sub(r"<[^>]+>", "nothing", re.sub(r"<int:[^>]+>", "0", rule)).removeprefix("/api/v1")
        for headers in (nobody[dialect], caller.headers(dialect)):
            _, entry = said(world, method, path, headers)
            assert entry.action_type not in ("", "unknown"), rule
            assert entry.resource_type, rule
            known = headers is not nobody[dialect] and not rule.endswith(("/auth/login", "/auth/register", "/join"))
            assert entry.user_id == (caller.actor.user_id if known else None), rule


def test_what_is_done_is_told_with_who_what_and_where(world: World, caller: Caller) -> None:
    answer, entry = said(world, "POST", "/vms", caller.bearer | ASYNC, json={"name": "audited", "vcpus": 2})
    assert answer.status_code == 202
    assert (entry.action_type, entry.resource_type, entry.resource_id) == ("vm_create", "vm", "audited")
    assert (entry.user_id, entry.username) == (caller.actor.user_id, caller.actor.username)
    assert (entry.source_ip, entry.key_id, entry.result, entry.status_code) == ("127.0.0.1", None, "accepted", 202)
    assert entry.details["vm_config"] == {"name": "audited", "vcpus": 2}
    assert entry.details["operation_id"] == answer.json["id"]
    assert entry.details["vm_id"] == answer.json["vm_id"]
    answer, entry = said(world, "POST", "/vms", caller.key | ASYNC, json={**VBOX_VM, "name": "boxed"})
    assert (entry.action_type, entry.resource_id, entry.result) == ("vm_create", "boxed", "accepted")
    assert entry.key_id is not None
    assert entry.key_id.startswith("key-")


@pytest.mark.parametrize(
    ("method", "path", "action", "resource", "status"),
    [
        ("POST", "/vms/{vm}/start", "vm_start", "vm", 202),
        ("POST", "/vms/gone/start", "vm_start", "vm", 404),
        ("POST", "/vms/{vm}/execute", "vm_execute", "vm", 422),
        ("POST", "/vms/{vm}/snapshots", "snapshot_create", "snapshot", 422),
        ("POST", "/vms/{vm}/snapshots/s/restore", "snapshot_restore", "snapshot", 409),
        ("DELETE", "/vms/{vm}/snapshots/s", "snapshot_delete", "snapshot", 409),
        ("DELETE", "/vms/{vm}", "vm_delete", "vm", 202),
        ("DELETE", "/keys/key-x", "key_revoke", "key", 404),
        ("DELETE", "/operations/op-x", "operation_cancel", "operation", 404),
        ("DELETE", "/images/x", "image_delete", "image", 403),
        ("PATCH", "/vms", "unknown", "path", 405),
        ("POST", "/nowhere", "unknown", "path", 404),
    ],
)
def test_actions_have_the_words_that_people_use(
    world: World, caller: Caller, method: str, path: str, action: str, resource: str, status: int
) -> None:
    if not hasattr(caller, "vm"):
        caller.vm = world.add_vm(caller)  # type: ignore[attr-defined]
    vm: str = caller.vm  # type: ignore[attr-defined]
    answer, entry = said(world, method, path.format(vm=vm), caller.bearer | ASYNC)
    assert answer.status_code == status, answer.text
    assert (entry.action_type, entry.resource_type, entry.status_code) == (action, resource, status)
    assert entry.result == ("accepted" if status == 202 else "refused")
    assert (entry.error_code is None) == (status == 202)


def test_logins_are_told_good_and_bad(world: World, caller: Caller) -> None:
    name = caller.actor.username
    _, good = said(world, "POST", "/auth/login", {}, json={"username": name, "password": PASSWORD})
    assert (good.action_type, good.user_id, good.result) == ("login", caller.actor.user_id, "success")
    _, bad = said(world, "POST", "/auth/login", {}, json={"username": name, "password": "wrong horse"})
    assert (bad.action_type, bad.resource_id, bad.user_id) == ("login_failed", name, None)
    assert (bad.result, bad.status_code, bad.error_code) == ("refused", 401, "unauthorized")


def test_nobody_can_choose_the_id_of_an_entry(world: World, caller: Caller) -> None:
    answer, entry = said(world, "POST", "/keys", caller.bearer, json={"name": "k"})
    assert entry.request_id == answer.headers["X-Corral-Request-ID"]
    assert entry.request_id.startswith("req_")
    assert entry.details["client_request_id"] == answer.headers["X-Request-ID"] != entry.request_id


def test_reading_is_told_only_where_it_was_denied(world: World, caller: Caller) -> None:
    mark = new_mark()
    assert world.get("/vms", caller.bearer | mark).status_code == 200
    assert world.get("/vms/gone", caller.bearer | mark).status_code == 404
    assert entries_of(world, mark["X-Request-ID"]) == []
    _, entry = said(world, "GET", "/security/audit-logs", caller.bearer)
    assert (entry.action_type, entry.status_code, entry.user_id) == ("access_denied", 403, caller.actor.user_id)


def test_no_secret_is_ever_in_it(world: World, caller: Caller) -> None:
    mark, canary = new_mark(), f"canary{secrets.token_hex(8)}"
    vm = world.add_vm(caller, observed="stopped")
    key = world.post("/keys", caller.bearer | mark, json={"name": "k"}).json["key"]
    world.post("/auth/register", mark, json={"username": f"u{canary[6:]}", "password": canary})
    world.post("/auth/login", mark, json={"username": "nobody", "password": canary})
    world.post("/auth/login", mark, json={"username": {"password": canary}, "token": canary})
    execution = {"command": f"PASS={canary} run -p{canary}", "environment": {"name": canary, "path": canary}}
    world.post(f"/vms/{vm}/execute", caller.bearer | mark, json=execution)
    world.post(f"/vms/{vm}/execute", caller.key | mark, json=execution | {"stdin": canary, "content": canary})
    world.post("/vms", {"X-API-Key": canary, **mark}, json={"name": "x", "password": canary, "x": {"name": canary}})
    world.post("/vms", {"Authorization": f"Bearer {canary}", **mark}, json=[canary])
    entries = entries_of(world, mark["X-Request-ID"])
    assert len(entries) == 8
    for entry in entries:
        shown = json.dumps({name: str(getattr(entry, name)) for name in AuditEntry.__table__.columns.keys()})  # noqa: SIM118
        assert canary not in shown
        assert key not in shown
        assert caller.key["X-API-Key"] not in shown


def test_odd_bodies_and_paths_are_told_all_the_same(world: World, caller: Caller) -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = {"network": [deep]}
    odd = [
        deep,
        "a\0b",
        float("nan"),
        "\ud800",
        10**400,
        float("inf"),
        {"name": ["\0"] * 50},
        "x" * 100_000,
        None,
        "\udfff" * 300,
        [[[]]] * 100,
    ]
    for value in odd:
        _, entry = said(
            world,
            "POST",
            "/vms",
            caller.bearer,
            data=json.dumps({"name": value, "vcpus": value}),
            content_type="application/json",
        )
        assert entry.status_code == 422
        assert len(json.dumps(entry.details)) < 10_000
    for path in ("/vms/%00/start", "/vms/%ed%a0%80/start", f"/vms/{'x' * 5000}/start", "/%00"):
        _, entry = said(world, "POST", path, caller.bearer)
        assert entry.status_code == 404
        assert len(entry.resource_id) < 1500


def test_a_request_answered_again_says_so(world: World, caller: Caller) -> None:
    headers = caller.bearer | {"Idempotency-Key": secrets.token_hex(8)}
    _, first = said(world, "POST", "/keys", headers, json={"name": "again"})
    _, second = said(world, "POST", "/keys", headers, json={"name": "again"})
    assert (first.details.get("replayed"), second.details.get("replayed")) == (None, True)
    assert first.details["id"].startswith("key-")


def test_forwarded_addresses_are_believed_only_of_our_proxies(settings: Settings, world: World, caller: Caller) -> None:
    own = World(replace(settings, trusted_proxies=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))))
    try:
        for told, believed in (
            ("203.0.113.7", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7, 10.1.1.1", "203.0.113.7"),
            ("6.6.6.6, nonsense, 10.1.1.1", "10.1.1.1"),
            ("", "127.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
        ):
            _, entry = said(own, "POST", "/vms/gone/start", caller.bearer | {"X-Forwarded-For": told})
            assert entry.source_ip == believed, told
    finally:
        own.close()
    _, entry = said(world, "POST", "/vms/gone/start", caller.bearer | {"X-Forwarded-For": "6.6.6.6"})
    assert entry.source_ip == "127.0.0.1"


def test_what_cannot_be_recorded_is_not_done(postgres: Postgres, settings: Settings) -> None:
    url = postgres.create_database("api_without_audit")
    migrate.upgrade(url)
    own = World(replace(settings, database_url=url))
    try:
        own.record.add_host("host-a")
        caller = own.caller()
        with own.context.transaction() as session:
            session.execute(text("DROP TABLE audit_entries"))
        assert problem(own.post("/vms", caller.bearer, json={"name": "unseen"})) == (500, "internal_error")
        with own.context.transaction() as session:
            assert session.scalar(select(Vm)) is None
        assert problem(own.post("/vms/gone/start", caller.key)) == (404, "vm_not_found")
    finally:
        own.close()


def _refusal(number: int, user: str | None = None) -> AuditRecord:
    return AuditRecord("vm_start", "vm", "x", "refused", "r", user, source_ip=f"10.0.0.{number}", status_code=401)


def test_a_flood_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "OF_ONE_CALLER", 5)
    monkeypatch.setattr(flood, "OF_ALL_STRANGERS", 50)
    written: list[AuditRecord] = []
    made = Flood(written.append, window_seconds=3600)
    assert sum(made.admits(_refusal(1)) for _ in range(1000)) == 5
    assert sum(made.admits(_refusal(1, "user-1")) for _ in range(20)) == 5
    strangers = sum(made.admits(_refusal(number)) for number in range(2, 1000))
    assert 0 <= strangers <= 50
    assert made.admits(_refusal(1, "user-2"))
    made.flush()
    assert len(written) <= 202
    assert written[0].details == {"repeated": 995}
    assert sum(record.details["repeated"] for record in written) == 995 + 15 + (998 - strangers)


def test_a_floods_sum_is_written_by_itself_after_its_minute() -> None:
    written: queue.Queue[AuditRecord] = queue.Queue()
    made = Flood(written.put, window_seconds=0.2)
    assert sum(made.admits(_refusal(1)) for _ in range(flood.OF_ONE_CALLER + 1)) == flood.OF_ONE_CALLER
    assert written.get(timeout=5).details == {"repeated": 1}
    assert written.empty()
    assert made.admits(_refusal(1))
