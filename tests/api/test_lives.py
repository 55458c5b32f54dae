"""A VM's life over HTTP, in both dialects, on a fleet of real processes with the fake driver."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cli.fleet.fleet import Fleet
from tests.support.clients import Client


def test_a_life_in_microvm(client: Client) -> None:
    def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = client.call(method, path, client.bearer, body)
        return answer.status_code, answer.json() if answer.content else None

    status, made = call("POST", "/vms", {"name": "life", "memory_mb": 512})
    assert (status, made["status"]) == (201, "created")
    assert {"name", "id", "status", "os_type", "vcpus", "memory_mb", "created_at", "network_config"} <= set(made)
    status, started = call("POST", "/vms/life/start")
    assert status == 200
    assert started == {
        "message": "VM started successfully",
        "vm_name": "life",
        "status": "running",
        "started_at": started["started_at"],
    }
    assert call("GET", "/vms/life")[1]["started_at"] == started["started_at"]
    status, done = call("POST", "/vms/life/execute", {"command": "echo hi", "environment": {"A": "1"}})
    assert (status, done["exit_code"], done["command"]) == (200, 0, "echo hi")
    assert {"stdout", "stderr", "execution_time_seconds", "executed_at"} <= set(done)
    status, taken = call("POST", "/vms/life/snapshots", {"name": "s1", "description": "d", "include_memory": True})
    assert status == 201
    assert taken["checksum"].startswith("sha256:")
    assert call("POST", "/vms/life/snapshots", {"name": "s1"})[0] == 409
    (listed,) = call("GET", "/vms/life/snapshots")[1]["snapshots"]
    assert listed["metadata"] == {"vm_status": "running", "vcpus": 1, "memory_mb": 512}
    status, sized = call("PUT", "/vms/life/resources", {"vcpus": 2, "memory_mb": 1024, "cpu_limit_percent": 80})
    assert (status, sized["message"], sized["vm_name"]) == (200, "Resources updated successfully", "life")
    new = {"vcpus": 2, "memory_mb": 1024, "cpu_limit_percent": 80, "memory_limit_percent": None}
    assert sized["new_resources"] == new
    assert sized["applied"] == {name: "at_next_start" if name == "memory_mb" else "live" for name in new}
    shown = call("GET", "/vms/life")[1]
    assert (shown["vcpus"], shown["memory_mb"], shown["at_next_start"]) == (2, 512, new)
    assert call("PUT", "/vms/life/resources", {"vcpus": 1})[1]["applied"]["vcpus"] == "at_next_start"
    assert call("PUT", "/vms/life/resources", {})[0] == 422
    assert call("POST", "/vms/life/restart")[1]["message"] == "VM restarted successfully"
    status, stopped = call("POST", "/vms/life/stop", {"force": False, "timeout_seconds": 5})
    assert (status, stopped["message"], stopped["status"]) == (200, "VM stopped successfully", "stopped")
    status, restored = call("POST", "/vms/life/snapshots/s1/restore")
    assert (status, restored["message"], restored["snapshot_name"]) == (200, "VM restored successfully", "s1")
    assert call("GET", "/vms/life")[1]["status"] == "running"
    assert call("DELETE", "/vms/life/snapshots/s1") == (204, None)
    assert call("POST", "/vms/life/snapshots/s1/restore")[0] == 404
    assert call("DELETE", "/vms/life") == (204, None)
    assert call("GET", "/vms/life")[0] == 404


def test_a_life_in_vboxmcp(client: Client) -> None:
    def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = client.call(method, path, client.key, body, **headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "success"
        return answer.json()["data"]

    body = {"name": "box", "memory_mb": 1024, "cpus": 1, "storage_gb": 10, "os_type": "Ubuntu_64"}
    made = call("POST", "/vms", body)
    assert made == {"id": made["id"], "name": "box", "state": "poweroff", "message": "VM created successfully"}
    assert call("POST", "/vms/box/start")["state"] == "starting"
    assert client.call("GET", "/operations?kind=start", client.key).json()["total"] == 1
    operation = client.call("GET", "/operations?kind=start", client.key).json()["data"][0]["id"]
    waited = client.call("GET", f"/operations/{operation}/wait?timeout=10", client.key)
    assert (waited.status_code, waited.json()["data"]["state"]) == (200, "succeeded")
    shown = call("GET", f"/vms/{made['id']}")
    assert (shown["state"], shown["name"]) == ("running", "box")
    sized = call("PUT", "/vms/box/resources", {"vcpus": 2})
    assert (sized["new_resources"]["vcpus"], sized["applied"]["vcpus"]) == (2, "live")
    assert call("GET", "/vms/box")["cpus"] == 2
    taken = call("POST", "/vms/box/snapshots", {"name": "pre-update", "description": "d", "include_ram": False})
    assert (taken["name"], taken["online"]) == ("pre-update", False)
    restored = call("POST", f"/vms/box/snapshots/{taken['snapshot_id']}/restore", {"start_vm": True})
    assert restored == {
        "vm_id": made["id"],
        "snapshot_id": taken["snapshot_id"],
        "previous_state": "running",
        "message": "Snapshot restored successfully",
    }
    assert call("GET", "/vms/box/snapshots")[0]["size_bytes"] == taken["size_bytes"] > 0
    stopped = call("POST", "/vms/box/stop", Prefer="wait=10")
    assert (stopped["state"], stopped["message"]) == ("poweroff", "VM stopped successfully")
    deleted = call("DELETE", "/vms/box", Prefer="wait=10")
    assert (deleted["state"], deleted["message"]) == ("deleted", "VM deleted successfully")


def test_execute_is_done_once_for_a_key(client: Client) -> None:
    assert client.call("POST", "/vms", client.bearer, {"name": "once"}).status_code == 201
    assert client.call("POST", "/vms/once/start", client.bearer).status_code == 200
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first, second = (
        client.call("POST", "/vms/once/execute", client.bearer, {"command": "date"}, **key) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    other = client.call("POST", "/vms/once/execute", client.bearer, {"command": "ls"}, **key)
    assert other.status_code == 409


@pytest.fixture
def tell(fleet: Fleet) -> Iterator[Callable[..., None]]:
    """Tell the fake driver how to treat a VM."""
    engine = create_engine(fleet.database_url)

    def telling(name: str, **fake: Any) -> None:
        statement = text("UPDATE vms SET hardware = hardware || :more WHERE name = :name")
        with engine.begin() as connection:
            connection.execute(statement, {"more": json.dumps({"fake": fake}), "name": name})

    yield telling
    engine.dispose()


def test_what_the_hypervisor_refuses_is_told_in_each_shape(client: Client, tell: Callable[..., None]) -> None:
    assert client.call("POST", "/vms", client.bearer, {"name": "stubborn"}).status_code == 201
    tell("stubborn", fail={"start": {"message": "no room in the inn"}})
    answer = client.call("POST", "/vms/stubborn/start", client.bearer)
    assert answer.status_code == 409
    assert answer.json() == {"error": "conflict", "message": "no room in the inn"}
    answer = client.call("POST", "/vms/stubborn/start", client.key, Prefer="wait=10")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "operation_failed")
    assert client.call("GET", "/vms/stubborn", client.bearer).json()["status"] == "created"
    failed = client.call("GET", "/operations?state=failed", client.bearer).json()["operations"]
    assert [operation["error"]["message"] for operation in failed] == ["no room in the inn"] * 2


def test_a_cancelled_operation_is_told_to_whoever_waits(client: Client, tell: Callable[..., None]) -> None:
    assert client.call("POST", "/vms", client.bearer, {"name": "slow"}).status_code == 201
    tell("slow", slow={"start": 15})
    begun = client.call("POST", "/vms/slow/start", client.bearer, Prefer="wait=1")
    assert begun.status_code == 202
    with ThreadPoolExecutor(1) as other:
        path = f"/operations/{begun.json()['id']}"
        waited = other.submit(client.call, "GET", f"{path}/wait?timeout=15", client.key)
        assert client.call("DELETE", path, client.bearer).status_code == 202
        assert waited.result(timeout=10).json()["data"]["state"] == "cancelled"


def test_a_command_that_takes_too_long_is_told_so_and_may_be_tried_again(client: Client) -> None:
    assert client.call("POST", "/vms", client.bearer, {"name": "sleeper"}).status_code == 201
    assert client.call("POST", "/vms/sleeper/start", client.bearer).status_code == 200
    body = {"command": "sleep 5", "timeout_seconds": 1}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    answer = client.call("POST", "/vms/sleeper/execute", client.bearer, body, **key)
    assert (answer.status_code, answer.json()["error"]) == (504, "timeout")
    assert client.call("POST", "/vms/sleeper/execute", client.bearer, body, **key).status_code == 504
    assert client.call("POST", "/vms/sleeper/execute", client.key, body).json()["error"]["code"] == "operation_failed"
