"""Which dialect answers, and that whatever goes wrong is told in its shape."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from core.contract.errors import Unavailable
from core.settings import Settings
from tests.api.world import Caller, World, problem


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/api/v1/vms", {}, "microvm"),
        ("/api/v1/vms", {"Authorization": "Bearer x"}, "microvm"),
        ("/api/v1/vms", {"X-API-Key": "x"}, "vboxmcp"),
        ("/api/v1/vms", {"X-API-Key": ""}, "vboxmcp"),
        ("/api/v1/vms", {"X-API-Key": "x", "Authorization": "Bearer x"}, "vboxmcp"),
        ("/api/v1/health", {}, "microvm"),
        ("/api/v1/auth/login", {"X-API-Key": "x"}, "microvm"),
        ("/api/v1/ws", {}, "vboxmcp"),
        ("/api/v1/ws", {"Authorization": "Bearer x"}, "vboxmcp"),
        ("/openapi/vboxmcp.json", {}, "vboxmcp"),
        ("/docs/vboxmcp/", {}, "vboxmcp"),
        ("/docs/microvm/", {"X-API-Key": "x"}, "microvm"),
        ("/nowhere", {}, "microvm"),
        ("/nowhere", {"X-API-Key": "x"}, "vboxmcp"),
    ],
)
def test_the_credential_decides_among_those_that_have_the_path(
    world: World, path: str, headers: dict[str, str], dialect: str
) -> None:
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "SERVER_NAME": "x"}
    environ |= {"SERVER_PORT": "80", "SCRIPT_NAME": "", "QUERY_STRING": ""}
    if path.endswith("/ws"):
        environ |= {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    assert world.application.choose(environ).name == f"corral.{dialect}"


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_unknown_paths_and_methods(world: World, caller: Caller, dialect: str) -> None:
    headers = caller.headers(dialect)
    assert problem(world.get("/nowhere", headers)) == (404, "not_found")
    answer = world.request("PATCH", "/vms", headers)
    assert problem(answer) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_not_found_is_told_as_each_document_does(world: World, caller: Caller) -> None:
    shown = world.get("/vms/test-vm", caller.bearer).json
    assert shown == {"error": "not_found", "message": "VM 'test-vm' not found"}
    assert world.get("/vms/vm-999999", caller.key).json == {
        "status": "error",
        "error": {"code": "vm_not_found", "message": "VM 'vm-999999' not found", "details": {"vm_id": "vm-999999"}},
    }


def test_conflicts_are_told_as_each_document_does(world: World, caller: Caller) -> None:
    running = world.add_vm(caller, observed="running", wanted="running")
    stopped = world.add_vm(caller)
    assert problem(world.post(f"/vms/{running}/start", caller.bearer)) == (409, "conflict")
    assert problem(world.post(f"/vms/{running}/start", caller.key)) == (409, "vm_already_running")
    assert problem(world.post(f"/vms/{stopped}/stop", caller.key)) == (409, "vm_not_running")
    assert problem(world.post(f"/vms/{stopped}/execute", caller.key, json={"command": "x"})) == (409, "vm_not_running")


def test_another_users_vm_is_404_and_an_administrator_sees_it(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller, name="private")
    other, admin = world.caller(), world.caller("admin")
    for ref in (vm, "private"):
        assert problem(world.get(f"/vms/{ref}", other.bearer)) == (404, "not_found")
        assert problem(world.delete(f"/vms/{ref}", other.key)) == (404, "vm_not_found")
        assert world.get(f"/vms/{ref}", admin.bearer).status_code == 200
    assert all(found["id"] != vm for found in world.get("/vms", other.key).json["data"])


def test_request_ids_are_kept_if_sane_and_made_otherwise(world: World, caller: Caller) -> None:
    answer = world.get("/vms", caller.bearer | {"X-Request-ID": "my-id.1"})
    assert answer.headers["X-Request-ID"] == "my-id.1"
    for odd in ("", "a b", "x" * 129, "é"):
        made = world.get("/nowhere", {"X-Request-ID": odd}).headers["X-Request-ID"]
        assert made.startswith("req_")


def test_what_nobody_foresaw_is_500_with_the_id_that_is_in_the_log(
    world: World, caller: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no one knows")

    monkeypatch.setattr("core.services.hosts.list_of", broken)
    with caplog.at_level(logging.ERROR):
        answer = world.get("/hosts", caller.bearer | {"X-Request-ID": "the-id"})
        other = world.get("/hosts", caller.key)
    assert answer.status_code == 500
    expected = {"error": "internal_error", "message": "An unexpected error occurred", "request_id": "the-id"}
    assert answer.json == expected
    assert problem(other) == (500, "internal_error")
    assert "the-id" in caplog.text
    assert "no one knows" in caplog.text


def test_what_cannot_be_reached_is_503_and_worth_a_retry(
    world: World, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("host 'host-a' did not answer")

    monkeypatch.setattr("core.services.hosts.list_of", away)
    for headers in (caller.bearer, caller.key):
        answer = world.get("/hosts", headers)
        assert problem(answer) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


def test_without_a_database_it_is_503_and_health_says_so_at_once(settings: Settings, caller: Caller) -> None:
    world = World(replace(settings, database_url=settings.database_url.replace("/api", "/gone")))
    try:
        assert problem(world.get("/vms", caller.key)) == (503, "service_unavailable")
        health = world.get("/health").json
        assert (health["status"], health["components"]["database"]) == ("unhealthy", "unhealthy")
        assert health["components"]["redis"] == "healthy"
    finally:
        world.close()
