"""A name that fits VMs of several users: an administrator is asked back, on every path that takes one."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from tests.api.world import Caller, World

# A body that each path would take; what needs none has none.
BODIES: dict[str, Any] = {
    "execute": {"command": "true"},
    "execs": {"command": "true"},
    "snapshots": {"name": "s"},
    "disks": {"controller": "c", "port": 1, "medium": "m"},
    "port-forward": {"guest_port": 80},
    "resources": {"vcpus": 1},
    "network-adapters": {"enabled": True},
    "expiry": {"ttl_seconds": 3600},
    "guest-credentials": {"username": "root", "password": "x"},
}
VARIABLES = {"exec_id": "0" * 32, "slot": "0", "controller": "c", "port": "1", "device": "0", "host_port": "20000"}
QUERIES = {"download": "?path=/etc/hostname", "files": "?path=/"}


def _paths(world: World, dialect: str) -> list[tuple[str, str, Any]]:
    """(method, path for the VM "twice", body) of each route that names a VM."""
    found = []
    for rule in getattr(world.application, dialect).url_map.iter_rules():
        names = [name for name in rule.arguments if name in ("vm_name", "vm_id_or_name")]
        if not names or "websocket" in str(rule.endpoint) or rule.websocket:
            continue
        values = {name: VARIABLES.get(name, "x") for name in rule.arguments} | {names[0]: "twice"}
        path = rule.rule
        for name, value in values.items():
            for kind in ("", "int:", "string:"):
                path = path.replace(f"<{kind}{name}>", value)
        steps = [step for step in path.split("/") if step]
        plain = [step for step in rule.rule.split("/") if step and not step.startswith("<")]
        body = BODIES.get(plain[-1])
        path = path.removeprefix("/api/v1") + QUERIES.get(steps[-1], "")
        found += [(method, path, body) for method in rule.methods & {"GET", "POST", "PUT", "DELETE"}]
    return found


@pytest.fixture(scope="module")
def owners(world: World) -> tuple[Caller, list[str]]:
    """An administrator, and the ids of two users' VMs of one name."""
    return world.caller("admin"), [world.add_vm(world.caller(), name="twice") for _ in range(2)]


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_an_administrator_is_asked_back_everywhere(
    world: World, owners: tuple[Caller, list[str]], dialect: str
) -> None:
    admin, ids = owners
    paths = _paths(world, dialect)
    asked_back = 0
    for method, path, body in paths:
        if path.endswith(("/events", "/console", "/stream")) or "files/upload" in path:
            continue  # sockets, and a form: below
        options = {"json": body} if body is not None and method in ("POST", "PUT") else {}
        answer = world.request(method, path, admin.headers(dialect), **options)
        asked_back += 1
        assert answer.status_code == 409, (method, path, "is its body in the table above?", answer.text)
        said = answer.json if dialect == "microvm" else answer.json["error"]
        assert sorted(said["details"]["vm_ids"]) == sorted(ids), (method, path)
    assert asked_back > 25
    scan = world.post("/security/scan", admin.headers(dialect), json={"scan_type": "compliance", "target": "twice"})
    assert scan.status_code == 409
    by_id = world.get(f"/vms/{ids[0]}", admin.headers(dialect))
    assert by_id.status_code == 200


def test_sockets_and_forms_ask_back_too(world: World, owners: tuple[Caller, list[str]]) -> None:
    admin, _ = owners
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    for path in ("/vms/twice/events", "/vms/twice/console", f"/vms/twice/execs/{'0' * 32}/stream"):
        answer = world.get(path, admin.bearer | upgrade)
        assert answer.status_code == 409, (path, answer.text)
    form = {"path": "/x", "file": (BytesIO(b"x"), "x")}
    assert world.post("/vms/twice/files/upload", admin.bearer, data=form).status_code == 409
