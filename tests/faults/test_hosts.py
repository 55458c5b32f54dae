"""Hosts that come and go, with `kill -9` of whatever is at it."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import until

HYPERVISOR = "fake"
HOST = "host-b"


def on_host(rig: Any, name: str, **fake: Any) -> None:
    """A VM of the host's, stopped."""
    wanted = {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10, "host": HOST}
    assert rig.ended(rig.accept("POST", "/vms", wanted)) == "succeeded"
    rig.tell(name, **fake)


def starts(rig: Any, name: str) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{name}/start")) == "succeeded"


def test_a_drain_goes_on_whoever_is_killed(rig: Any) -> None:
    names = [f"drained-{number}" for number in range(4)]
    for name in names:
        on_host(rig, name, slow={"stop": 2.0})
        starts(rig, name)
    body = {"strategy": "stop", "at_once": 2, "grace_seconds": 0}
    answer = rig.request("POST", f"/hosts/{HOST}/drain", body)
    assert answer.status_code == 202, answer.text
    drain = answer.json()["data"]["id"]
    begun = "SELECT count(*) FROM operations WHERE request_id = :id AND state = 'running'"
    until(lambda: rig.row(begun, id=drain)[0] == 2, why="two stops are at work")
    for part in (*rig.fleet.plan.worker_names, "api", HOST):
        rig.fleet.kill(part)
    assert rig.ended(drain) == "succeeded"
    for name in names:
        assert rig.effects(name)["stop"] == 1
        assert rig.row("SELECT observed FROM vms WHERE name = :name", name=name)[0] == "stopped"
    until(lambda: rig.request("POST", f"/hosts/{HOST}/activate").status_code == 200, why="the API is back")
