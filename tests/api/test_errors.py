"""Each error of the microvm document, provoked for real, in exactly its shape, and its counterpart in vboxmcp."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from cli.fleet.postgres import Postgres
from core import migrate
from core.models import Host, Vm
from core.models.base import now
from core.settings import Settings
from tests.api.world import VBOX_VM, Caller, World


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


def _said(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    return answer.json


def _vbox(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The details of an error in the vboxmcp envelope, which is checked."""
    body = _said(answer, status)
    assert (set(body), body["status"]) == ({"status", "error"}, "error")
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code
    assert isinstance(body["error"]["message"], str)
    details: dict[str, Any] = body["error"]["details"]
    return details


def test_400(world: World, caller: Caller) -> None:
    body = _said(world.post("/vms", caller.bearer, json={"name": "x", "template": "none"}), 400)
    issue = "there is no image 'none' on any host"
    expected = {"error": "bad_request", "message": issue, "details": {"field": "template", "issue": issue}}
    assert body == expected
    details = _vbox(world.post("/vms", caller.key, json={**VBOX_VM, "cpus": 17}), 400, "invalid_request")
    assert details == {"cpus": "must be at most 16"}


def test_401(world: World) -> None:
    answer = world.get("/vms")
    assert _said(answer, 401) == {"error": "unauthorized", "message": "Authentication required"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert set(_said(world.get("/vms", {"Authorization": "Bearer x"}), 401)) == {"error", "message"}
    assert _vbox(world.get("/vms", {"X-API-Key": "x"}), 401, "unauthorized") == {}


def test_403(world: World, caller: Caller) -> None:
    body = _said(world.get("/security/audit-logs", caller.bearer), 403)
    assert body == {"error": "forbidden", "message": "only an administrator may read the audit log"}
    assert _vbox(world.get("/security/audit-logs", caller.key), 403, "forbidden") == {}


def test_404(world: World, caller: Caller) -> None:
    body = _said(world.get("/vms/test-vm", caller.bearer), 404)
    assert body == {"error": "not_found", "message": "VM 'test-vm' not found"}
    assert _vbox(world.get("/vms/vm-999999", caller.key), 404, "vm_not_found") == {"vm_id": "vm-999999"}


def test_409(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="test-vm")
    body = _said(world.post("/vms", caller.bearer, json={"name": "test-vm"}), 409)
    assert body == {"error": "conflict", "message": "VM 'test-vm' already exists"}
    assert _vbox(world.post("/vms", caller.key, json={**VBOX_VM, "name": "test-vm"}), 409, "invalid_state") == {
        "vm": "test-vm"
    }


def test_422(world: World, caller: Caller) -> None:
    body = _said(world.post("/vms", caller.bearer, json={"name": "x", "memory_mb": 64}), 422)
    assert body == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": [{"field": "memory_mb", "error": "must be at least 128"}],
    }


def test_429(limited: World) -> None:
    caller = limited.caller()
    for _ in range(5):
        assert limited.get("/vms", caller.bearer).status_code == 200
    answer = limited.get("/vms", caller.bearer)
    body = _said(answer, 429)
    seconds = body.pop("retry_after_seconds")
    assert body == {"error": "rate_limit_exceeded", "message": "Too many requests"}
    assert type(seconds) is int
    assert str(seconds) == answer.headers["Retry-After"]
    details = _vbox(limited.get("/vms", caller.key), 429, "rate_limit_exceeded")
    assert type(details["retry_after_seconds"]) is int


@pytest.fixture
def broken(postgres: Postgres, settings: Settings) -> Iterator[tuple[World, Caller]]:
    """The API on a database of its own that lacks a table."""
    url = postgres.create_database("api_broken")
    migrate.upgrade(url)
    made = World(replace(settings, database_url=url))
    caller = made.caller()
    with made.context.transaction() as session:
        session.execute(text("DROP TABLE snapshots, scanned_vms, scans"))
    yield made, caller
    made.close()


def test_500(broken: tuple[World, Caller]) -> None:
    world, caller = broken
    answer = world.get("/security/scans", caller.bearer)
    body = _said(answer, 500)
    request_id = body.pop("request_id")
    assert body == {"error": "internal_error", "message": "An unexpected error occurred"}
    assert re.fullmatch(r"req_[0-9a-f]{16}", request_id)
    assert answer.headers["X-Request-ID"] == request_id
    assert set(_vbox(world.get("/security/scans", caller.key), 500, "internal_error")) == {"request_id"}
    for secret in ("scans", "SELECT", "psycopg2", "Traceback"):
        assert secret not in answer.text


@pytest.fixture
def mute(world: World, caller: Caller) -> Iterator[str]:
    """The name of an offline host that has a VM named mute."""
    name = world.add_host("mute", offline_since=now())
    vm = world.add_vm(caller, name="mute", host_name=name)
    yield name
    with world.context.transaction() as session:
        session.delete(session.get_one(Vm, vm))
        session.flush()
        session.delete(session.get_one(Host, name))


def test_503(world: World, caller: Caller, mute: str) -> None:
    answer = world.post("/vms/mute/start", caller.bearer)
    body = _said(answer, 503)
    assert (set(body), body["error"]) == ({"error", "message"}, "service_unavailable")
    assert f"host '{mute}' (running VM 'mute') is offline since" in body["message"]
    assert int(answer.headers["Retry-After"]) > 0
    details = _vbox(world.post("/vms/mute/start", caller.key), 503, "service_unavailable")
    assert details == {"host": mute}
