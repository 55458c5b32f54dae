"""A user who has all the calls and commands of a host in flight that they may, and what another user notices of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.calls.server import EXECUTES_EACH
from cli.fleet.fleet import Fleet
from tests.support.clients import Client, new_user
from tests.support.waiting import until

HOST = "host-b"


@pytest.fixture
def two(fleet: Fleet) -> Iterator[tuple[Client, Client]]:
    """The greedy one, and another; neither leaves a VM behind."""
    made = new_user(fleet), new_user(fleet)
    yield made
    for client in made:
        vms = client.call("GET", "/vms?limit=100", client.bearer).json()["vms"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda vm, who=client: who.call("DELETE", f"/vms/{vm['id']}", who.bearer), vms))


@pytest.fixture
def slow(fleet: Fleet) -> Iterator[None]:
    """Stops take as long as their grace."""
    path: Path = fleet.home / "hosts" / HOST / "fake.json"
    path.write_text(json.dumps({"slow": {"stop": 600.0}}))
    yield
    path.unlink()


def running(client: Client, name: str) -> None:
    body = {"name": name, "hypervisor": "fake", "host": HOST}
    assert client.call("POST", "/vms", client.bearer, body).status_code == 201
    assert client.call("POST", f"/vms/{name}/start", client.bearer).status_code == 200


def execute(client: Client, who: dict[str, str], command: str) -> Any:
    return client.call("POST", "/vms/web/execute", who, {"command": command, "timeout_seconds": 25})


def test_calls(two: tuple[Client, Client]) -> None:
    greedy, other = two
    for client in two:
        running(client, "web")
    with ThreadPoolExecutor(EXECUTES_EACH) as pool:
        held = [pool.submit(execute, greedy, greedy.bearer, "sleep 22") for _ in range(EXECUTES_EACH)]

        def refused() -> Any:
            answer = execute(greedy, greedy.bearer, "true")
            return [answer] if answer.status_code == 503 else []

        [answer] = until(refused)
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"] == "service_unavailable"
        assert f"{EXECUTES_EACH} commands" in answer.json()["message"]
        answer = execute(greedy, greedy.key, "true")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert execute(other, other.bearer, "true").json()["exit_code"] == 0
        assert [each.result().status_code for each in held].count(200) >= EXECUTES_EACH - 1


def test_commands(two: tuple[Client, Client], slow: None) -> None:
    greedy, other = two
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: running(greedy, f"vm-{n}"), range(20)))
    stops = [
        greedy.call("POST", f"/vms/vm-{n}/stop", greedy.bearer, {"timeout_seconds": 600}, Prefer="respond-async")
        for n in range(20)
    ]
    assert {each.status_code for each in stops} == {202}

    def begun() -> int:
        listed = greedy.call("GET", "/operations?kind=stop&state=running&limit=100", greedy.bearer).json()
        return len(listed["operations"])

    until(lambda: begun() >= 12)
    running(other, "web")
    assert other.call("POST", "/vms/web/restart", other.bearer, {"force": True}).status_code == 200
    waiting = greedy.call("GET", "/vms?limit=100&status=stopping", greedy.bearer).json()["vms"]
    assert len(waiting) == 20, "none is lost, and none has failed"
