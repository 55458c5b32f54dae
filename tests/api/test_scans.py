"""Security scans over HTTP: who may begin and see them, and the document's shapes. The work is done here by hand."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.contract.errors import Conflict, Unavailable
from core.models import ScannedVm, Vm
from core.models.base import now
from core.services.scanning import queue
from core.services.scanning.queue import ScanTask
from core.services.scanning.scans import MOST_AT_ONCE
from tests.api.world import VBOX_VM, Caller, World, problem

SCAN = {"scan_type": "configuration", "target": "all"}
RUNS = {"observed": "running", "wanted": "running"}
DOCUMENTED = {"scan_id", "status", "started_at", "completed_at", "scan_type", "results"}
FINDING = {"severity", "category", "description", "recommendation", "affected_resource"}


@pytest.fixture
def caller(world: World) -> Caller:
    """A user whose VMs are the only ones that wait for a worker."""
    with world.context.transaction() as session:
        session.query(ScannedVm).update({"state": "cancelled", "ended_at": now()})
    return world.caller()


def _outcome(status: str, check: str = "ssh-permitrootlogin", severity: str = "medium") -> dict[str, Any]:
    return {
        "check_id": check,
        "family": "ssh",
        "category": "configuration",
        "severity": severity,
        "status": status,
        "description": "SSH root login enabled",
        "recommendation": "Disable root SSH access",
        "evidence": "permitrootlogin yes",
        "controls": {"SOC2": ["CC6.1"], "PCI_DSS": ["2.2.6", "8.6.1"]},
    }


def _begin(world: World, headers: dict[str, str], **body: Any) -> str:
    answer = world.post("/security/scan", headers, json=SCAN | body)
    assert answer.status_code == 202, answer.text
    return str(answer.json.get("data", answer.json)["scan_id"])


def _take(world: World) -> ScanTask:
    with world.context.transaction() as session:
        work = queue.take(session)
    assert work is not None
    return work


def _see(world: World, caller: Caller, scan: str) -> Any:
    return world.get(f"/security/scans/{scan}", caller.bearer).json


def test_a_scan_from_its_beginning_to_its_end(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller, name="scanned", **RUNS)
    body = {"scan_type": "compliance", "target": "scanned", "frameworks": ["PCI_DSS", "SOC2", "SOC2"]}
    begun = world.post("/security/scan", caller.bearer, json=body)
    assert begun.status_code == 202
    assert set(begun.json) == {"scan_id", "status", "started_at", "estimated_completion"}
    assert begun.json["status"] == "started"
    for at in ("started_at", "estimated_completion"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", begun.json[at])
    scan = begun.json["scan_id"]
    seen = _see(world, caller, scan)
    assert seen.keys() >= DOCUMENTED
    assert (seen["status"], seen["completed_at"], seen["frameworks"]) == ("started", None, ["SOC2", "PCI_DSS"])
    assert (seen["results"]["total_checks"], seen["results"]["risk_score"]) == (0, None)
    assert seen["results"]["assessment"] == "unknown"

    work = _take(world)
    assert (work.scan_id, work.vm.id, work.frameworks, work.done) == (scan, vm, ("SOC2", "PCI_DSS"), ())
    found = [_outcome("failed"), _outcome("warning", "b", "low"), _outcome("passed", "c"), _outcome("not_run", "d")]
    with world.context.transaction() as session:
        assert queue.keep(session, work, "ssh", found, 50)
    seen = _see(world, caller, scan)
    assert (seen["status"], seen["progress_percent"], seen["vms"][0]["status"]) == ("running", 50, "running")
    with world.context.transaction() as session:
        queue.complete(session, work)

    seen = _see(world, caller, scan)
    assert (seen["status"], seen["progress_percent"]) == ("completed", 100)
    assert seen["completed_at"] is not None
    results = seen["results"]
    assert [results[each] for each in ("total_checks", "passed", "failed", "warnings", "not_run")] == [4, 1, 1, 1, 1]
    assert (results["risk_score_of_findings"], results["risk_score"]) == (6, 11)
    assert results["assessment"] == "partial"
    first = results["findings"][0]
    assert first.keys() >= FINDING
    assert first["affected_resource"] == "scanned"
    assert (first["severity"], first["evidence"]) == ("medium", "permitrootlogin yes")
    assert results["checks_not_run"][0]["check_id"] == "d"
    summary = results["frameworks"]["PCI_DSS"]
    assert (summary["checks"], summary["failed"], summary["controls"]) == (4, 1, {"2.2.6": "failed", "8.6.1": "failed"})
    envelope = world.get(f"/security/scans/{scan}", caller.key).json
    assert envelope == {"status": "success", "data": seen}


def test_all_is_every_vm_of_the_callers_and_says_whom_it_skips(world: World, caller: Caller) -> None:
    running, stopped = world.add_vm(caller, **RUNS), world.add_vm(caller)
    windows = world.add_vm(caller, os_type="windows", **RUNS)
    others = world.add_vm(world.caller(), **RUNS)
    seen = _see(world, caller, _begin(world, caller.key))
    states = {vm["vm_id"]: vm["status"] for vm in seen["vms"]}
    assert states == {running: "queued", stopped: "skipped", windows: "skipped"}
    assert all("start it" in vm["reason"] for vm in seen["vms"] if vm["vm_id"] == stopped)
    admin = world.caller("admin")
    assert others in {vm["vm_id"] for vm in _see(world, admin, _begin(world, admin.bearer))["vms"]}


def test_nothing_to_scan_is_complete_at_once(world: World, caller: Caller) -> None:
    seen = _see(world, caller, _begin(world, caller.bearer))
    assert (seen["status"], seen["vms"], seen["results"]["total_checks"]) == ("completed", [], 0)
    assert seen["completed_at"] is not None


def test_only_its_owner_and_administrators_see_a_scan(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="private-scan", **RUNS)
    scan = _begin(world, caller.bearer, target="private-scan")
    other, admin = world.caller(), world.caller("admin")
    assert problem(world.get(f"/security/scans/{scan}", other.bearer)) == (404, "not_found")
    assert problem(world.get(f"/security/scans/{scan}", other.key)) == (404, "not_found")
    assert world.get(f"/security/scans/{scan}", admin.bearer).status_code == 200
    assert world.get("/security/scans", other.bearer).json["total"] == 0
    assert problem(world.post("/security/scan", other.bearer, json=SCAN | {"target": "private-scan"}))[0] == 404
    reader = world.caller(access="read")
    assert problem(world.post("/security/scan", reader.key, json=SCAN)) == (403, "forbidden")


def test_lists_are_paged_newest_first(world: World, caller: Caller) -> None:
    scans = [_begin(world, caller.bearer) for _ in range(3)]
    body = world.get("/security/scans?limit=2", caller.bearer).json
    assert [scan["scan_id"] for scan in body["scans"]] == scans[:0:-1]
    assert (body["total"], body["limit"], body["offset"]) == (3, 2, 0)
    assert world.get("/security/scans?offset=2", caller.key).json["data"][0]["scan_id"] == scans[0]
    oldest = world.get("/security/scans?sort=started_at&order=asc&limit=1", caller.key).json["data"]
    assert [scan["scan_id"] for scan in oldest] == scans[:1]
    assert problem(world.get("/security/scans?limit=101", caller.bearer)) == (422, "validation_error")


@pytest.mark.parametrize(
    "wrong",
    [
        {"scan_type": "x"},
        {"scan_type": None},
        {"scan_type": ["compliance"]},
        {"target": ""},
        {"target": None},
        {"target": "a b"},
        {"target": "x" * 64},
        {"target": 7},
        {"target": "\x00"},
        {"frameworks": ["GDPR"]},
        {"frameworks": "SOC2"},
        {"frameworks": None},
        {"frameworks": [None]},
        {"frameworks": ["SOC2"] * 21},
        {"unknown": 1},
    ],
)
def test_wrong_scans_are_refused_and_the_field_named(world: World, caller: Caller, wrong: dict[str, Any]) -> None:
    answer = world.post("/security/scan", caller.bearer, json=SCAN | wrong)
    assert problem(answer) == (422, "validation_error")
    assert answer.json["details"][0]["field"].startswith(next(iter(wrong)))
    assert problem(world.post("/security/scan", caller.key, json=SCAN | wrong)) == (400, "invalid_request")


def test_no_vm_is_called_what_means_every_vm(world: World, caller: Caller) -> None:
    for who, body, told in ((caller.bearer, {"name": "all"}, "bad_request"), (caller.key, VBOX_VM, "invalid_request")):
        refused = world.post("/vms", who, json=body | {"name": "all"})
        assert problem(refused) == (400, told)
        assert "it means every VM" in refused.text


def test_what_cannot_be_scanned_is_refused(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="off")
    world.add_vm(caller, name="win", os_type="windows", **RUNS)
    assert problem(world.post("/security/scan", caller.bearer, json={"target": "all"})) == (422, "validation_error")
    for target, found in (("off", (409, "conflict")), ("win", (400, "bad_request")), ("gone", (404, "not_found"))):
        assert problem(world.post("/security/scan", caller.bearer, json=SCAN | {"target": target})) == found
    assert problem(world.get(f"/security/scans/{secrets.token_hex(4)}", caller.bearer)) == (404, "not_found")


def test_a_user_has_so_many_scans_under_way(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="busy", **RUNS)
    for _ in range(MOST_AT_ONCE):
        _begin(world, caller.bearer, target="busy")
    assert problem(world.post("/security/scan", caller.bearer, json=SCAN)) == (409, "conflict")


def test_of_many_scans_at_once_no_more_begin(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="hurried", **RUNS)
    with ThreadPoolExecutor(MOST_AT_ONCE + 4) as pool:
        begun = [
            pool.submit(world.post, "/security/scan", caller.bearer, json=SCAN | {"target": "hurried"})
            for _ in range(MOST_AT_ONCE + 4)
        ]
    assert sorted(each.result().status_code for each in begun) == [202] * MOST_AT_ONCE + [409] * 4


def test_a_worker_thought_dead_has_no_say_any_more(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="taken", **RUNS)
    scan = _begin(world, caller.bearer, target="taken")
    first = _take(world)
    with world.context.transaction() as session:
        assert queue.take(session) is None
        assert queue.keep(session, first, "ssh", [_outcome("passed")], 10)
        assert queue.renew(session, first)
        session.query(ScannedVm).filter_by(scan_id=scan).update({"lease_until": now()})
    second = _take(world)
    assert (second.attempt, second.done) == (2, ("ssh",))
    with world.context.transaction() as session:
        assert not queue.renew(session, first)
        assert not queue.keep(session, first, "kernel", [_outcome("failed")], 90)
        queue.complete(session, first)
        queue.fail(session, first, Conflict("no"))
    assert _see(world, caller, scan)["results"]["total_checks"] == 1
    assert _see(world, caller, scan)["status"] == "running"


def test_what_may_pass_is_tried_again_and_the_rest_fails(world: World, caller: Caller) -> None:
    world.add_vm(caller, name="shaky", **RUNS)
    scan = _begin(world, caller.bearer, target="shaky")
    for _ in range(queue.MOST_ATTEMPTS):
        work = _take(world)
        with world.context.transaction() as session:
            queue.fail(session, work, Unavailable("the host is away"))
            session.query(ScannedVm).filter_by(scan_id=scan).update({"lease_until": now()})
    with world.context.transaction() as session:
        assert queue.take(session) is None
    seen = _see(world, caller, scan)
    assert (seen["status"], seen["vms"][0]["status"]) == ("failed", "failed")
    assert "the host is away" in seen["vms"][0]["reason"]
    again = _begin(world, caller.bearer, target="shaky")
    work = _take(world)
    with world.context.transaction() as session:
        queue.fail(session, work, Conflict("the VM was stopped"))
    assert _see(world, caller, again)["vms"][0]["reason"] == "the VM was stopped"


def test_a_scan_ends_with_its_vm(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller, name="short", **RUNS)
    scan = _begin(world, caller.bearer, target="short")
    with world.context.transaction() as session:
        session.get_one(Vm, vm).deleted_at = now()
    with world.context.transaction() as session:
        assert queue.take(session) is None
    seen = _see(world, caller, scan)
    assert (seen["status"], seen["vms"][0]["reason"]) == ("cancelled", "the VM was deleted")
