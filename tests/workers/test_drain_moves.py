"""Hosts that are emptied by moving their VMs."""

from __future__ import annotations

from core.contract.states import Kind, Observed
from core.services import drains
from core.services.drains import DrainRequest
from tests.workers.fencing import ADMIN, created, live, running, sweep
from tests.workers.moving import FILE, told
from tests.workers.rig import Rig


def test_a_drain_moves_each_vm_and_tells_what_became_of_it(rig: Rig, other: Rig) -> None:
    ran, off = running(rig, "ran", "none"), created(rig, "off", "none")
    with rig.workers.context.transaction() as session:
        drain = drains.begin(session, ADMIN, "host-a", DrainRequest("move", at_once=1, grace_seconds=7))
    for vm_id in sorted((ran, off)):
        sweep(rig)
        sweep(rig)
        move = live(rig, vm_id)
        assert (move.kind, move.request_id, move.params["grace_seconds"]) == (Kind.MOVE, drain.id, 7.0)
        rig.send(rig.workers.report(move, "succeeded", Observed.STOPPED, result=told(FILE)))
        other.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.STOPPED))
    sweep(rig)
    assert outcomes(rig, drain.id) == {"ran": "moved", "off": "moved"}
    assert rig.workers.scalar("SELECT scheduling_state FROM hosts WHERE name = 'host-a'") == "drained"
    assert live(rig, ran).kind == Kind.START


def test_a_drain_tells_why_a_vm_stays(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web", "none")
    other.tell(vcpus=0)
    with rig.workers.context.transaction() as session:
        drain = drains.begin(session, ADMIN, "host-a", DrainRequest("move"))
    sweep(rig)
    assert outcomes(rig, drain.id) == {"web": "failed"}
    said = rig.workers.row("SELECT state, result, error FROM operations WHERE id = :id", id=drain.id)
    assert (said[0], said[2]["code"]) == ("failed", "not_drained")
    assert said[1]["vms"][0]["error"]["details"]["rejected"][1]["host"] == "host-b"
    assert rig.workers.scalar("SELECT scheduling_state FROM hosts WHERE name = 'host-a'") == "cordoned"
    assert rig.status(vm_id) == "running"


def outcomes(rig: Rig, operation_id: str) -> dict[str, str]:
    result = rig.workers.scalar("SELECT result FROM operations WHERE id = :id", id=operation_id)
    return {each["vm"]: each["outcome"] for each in result["vms"]}
