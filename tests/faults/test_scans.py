"""Scans while their workers die and their VMs go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.waiting import until

HYPERVISOR = "fake"
FAMILIES = 7  # that bear on HIPAA


@pytest.fixture
def vm(rig: Any) -> str:
    """A running VM whose guest takes a second for anything, and understands none of the checks."""
    rig.create("scanned", slow={"execute": 1.0})
    assert rig.ended(rig.accept("POST", "/vms/scanned/start")) == "succeeded"
    return "scanned"


def test_a_killed_worker_and_a_deleted_vm(rig: Any, vm: str) -> None:
    scan = _begin(rig, vm)
    until(lambda: _see(rig, scan)["progress_percent"] > 20, why="two families were done")
    for worker in rig.fleet.plan.worker_names:
        rig.fleet.kill(worker)
    kept = _see(rig, scan)
    assert 20 < kept["progress_percent"] < 100
    until(lambda: _see(rig, scan)["status"] == "completed", why="another worker went on")
    seen = _see(rig, scan)
    asked = [check["check_id"] for check in seen["results"]["checks_not_run"]]
    assert len(asked) == len(set(asked)) == seen["results"]["total_checks"] > 25
    assert seen["results"]["passed"] == seen["results"]["failed"] == 0
    attempts, done = rig.row("SELECT attempt, done FROM scanned_vms WHERE scan_id = :id", id=scan)
    assert (attempts, len(done)) == (2, FAMILIES)

    again = _begin(rig, vm)
    until(lambda: _see(rig, again)["status"] == "running", why="it is under way")
    assert rig.ended(rig.accept("DELETE", f"/vms/{vm}")) == "succeeded"
    seen = _see(rig, again)
    assert (seen["status"], seen["vms"][0]["reason"]) == ("cancelled", "the VM was deleted")


def test_what_is_accepted_without_redis_is_done_later(rig: Any) -> None:
    rig.create("unheard")
    assert rig.ended(rig.accept("POST", "/vms/unheard/start")) == "succeeded"
    rig.fleet.kill("redis", hold=True)
    try:
        scan = _begin(rig, "unheard")
    finally:
        rig.fleet.restart("redis")
    until(lambda: _see(rig, scan)["status"] == "completed", why="a sweep rang for it")
    assert rig.ended(rig.accept("DELETE", "/vms/unheard")) == "succeeded"


def _begin(rig: Any, target: str) -> str:
    body = {"scan_type": "compliance", "target": target, "frameworks": ["HIPAA"]}
    answer = rig.request("POST", "/security/scan", body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["scan_id"])


def _see(rig: Any, scan: str) -> Any:
    return rig.request("GET", f"/security/scans/{scan}").json()["data"]
