"""Hosts that are emptied: what sweeps do of it, whoever does them, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from core.contract.errors import Conflict, Forbidden, NotFound
from core.contract.messages import Failure
from core.contract.states import Kind, Observed
from core.contract.vms import Observation
from core.models import Operation
from core.services import cordons, drains, lost, operations, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.drains import DrainRequest
from tests.workers.conftest import Workers
from tests.workers.rig import Rig
from workers import sweeping

ADMIN = Actor("admin", "root", "admin")


@pytest.fixture
def rig(workers: Workers) -> Rig:
    workers.receiver()
    made = Rig(workers, "host-a")
    made.tell(vcpus=16)
    return made


def running(rig: Rig, *names: str) -> dict[str, str]:
    """The ids of VMs that run."""
    found = {}
    for name in names:
        found[name] = rig.created(name)
        with rig.workers.context.transaction() as session:
            start = vms.start(session, rig.actor, name)
        rig.send(rig.workers.report(start, "succeeded", Observed.RUNNING))
    rig.take()
    return found


def begin(rig: Rig, strategy: str = "stop", **options: Any) -> str:
    with rig.workers.context.transaction() as session:
        return drains.begin(session, ADMIN, rig.host, DrainRequest(strategy, **options)).id


def sweep(rig: Rig, rounds: int = 1) -> None:
    """Each by a worker that knows nothing of the last round."""
    for _ in range(rounds):
        sweeping.sweep(rig.workers.another())


def operation(rig: Rig, operation_id: str) -> Operation:
    with rig.workers.context.transaction() as session:
        return operations.get(session, ADMIN, operation_id)


def outcomes(rig: Rig, operation_id: str) -> dict[str, str]:
    result = operation(rig, operation_id).result or {}
    return {each["vm"]: each["outcome"] for each in result["vms"]}


def state_of(rig: Rig) -> str:
    return str(rig.workers.scalar("SELECT scheduling_state FROM hosts WHERE name = :name", name=rig.host))


def stops(rig: Rig) -> list[Accepted]:
    """Those under way, of VMs in the order of their names."""
    query = "SELECT id FROM operations WHERE kind = 'stop' AND state IN ('queued', 'running') ORDER BY vm_name"
    with rig.workers.context.transaction() as session:
        ids = session.connection().exec_driver_sql(query).scalars().all()
        return [Accepted.of(session.get_one(Operation, each)) for each in ids]


def stopped(rig: Rig, stop: Accepted) -> None:
    rig.send(rig.workers.report(stop, "succeeded", Observed.STOPPED))


def test_each_vm_is_stopped_so_many_at_a_time(rig: Rig) -> None:
    running(rig, "a", "b", "c")
    rig.created("off")
    drain = begin(rig, at_once=2, grace_seconds=7, reason="new disks")
    assert state_of(rig) == "draining"
    sweep(rig, 3)
    first = stops(rig)
    assert (len(first), first[0].params) == (2, {"grace_seconds": 7.0, "force": False})
    said = sorted(outcomes(rig, drain).values())
    assert said == ["stopped", "stopping", "stopping", "waiting"]
    assert operation(rig, drain).progress == {"step": "1 of 4 VMs are off", "percent": 25}
    stopped(rig, first[0])
    sweep(rig)
    assert len(stops(rig)) == 2
    for stop in stops(rig):
        stopped(rig, stop)
    sweep(rig)
    assert (operation(rig, drain).state, state_of(rig)) == ("succeeded", "drained")
    assert outcomes(rig, drain) == dict.fromkeys(("a", "b", "c", "off"), "stopped")
    row = rig.workers.row("SELECT scheduling_by, scheduling_reason FROM hosts")
    assert tuple(row) == ("root", "new disks")


def test_nothing_starts_there_until_the_host_is_activated(rig: Rig) -> None:
    vm_id = rig.created("web")
    drain = begin(rig, "wait", reason="new disks")
    for _ in range(2):
        with rig.workers.context.transaction() as session, pytest.raises(Conflict, match=r"host-a.*\(new disks\)"):
            vms.start(session, rig.actor, "web")
        sweep(rig)
    assert (operation(rig, drain).state, state_of(rig)) == ("succeeded", "drained")
    rig.tell(Observation(vm_id, Observed.STOPPED), vcpus=16, boot_id="another")  # it was rebooted
    assert state_of(rig) == "drained"
    with rig.workers.context.transaction() as session:
        cordons.activate(session, ADMIN, rig.host)
    with rig.workers.context.transaction() as session:
        vms.start(session, rig.actor, "web")


def test_to_wait_touches_nothing(rig: Rig) -> None:
    ids = running(rig, "a", "b")
    drain = begin(rig, "wait")
    sweep(rig, 2)
    assert (stops(rig), outcomes(rig, drain)) == ([], {"a": "waiting", "b": "waiting"})
    with rig.workers.context.transaction() as session:
        vms.stop(session, rig.actor, "a", grace_seconds=0, force=True)
        vms.delete(session, rig.actor, "b")
    sweep(rig)
    assert outcomes(rig, drain) == {"a": "waiting", "b": "waiting"}
    for command in rig.take():
        told = operation(rig, command.operation_id)
        state = Observed.ABSENT if command.kind == Kind.DELETE else Observed.STOPPED
        rig.send(rig.workers.report(Accepted.of(told), "succeeded", state))
    sweep(rig)
    assert (operation(rig, drain).state, outcomes(rig, drain)) == ("succeeded", {"a": "stopped", "b": "deleted"})
    shown = (operation(rig, drain).result or {})["vms"]
    assert [each["vm_id"] for each in shown] == [ids["a"], ids["b"]]


def test_what_is_under_way_is_waited_for(rig: Rig) -> None:
    running(rig, "web")
    with rig.workers.context.transaction() as session:
        pause = vms.pause(session, rig.actor, "web")
    drain = begin(rig)
    sweep(rig, 2)
    assert (stops(rig), outcomes(rig, drain)) == ([], {"web": "waiting"})
    rig.send(rig.workers.report(pause, "succeeded", Observed.PAUSED))
    sweep(rig)
    assert [each.vm_name for each in stops(rig)] == ["web"]


def test_what_can_not_be_stopped_is_told_and_the_others_are(rig: Rig) -> None:
    running(rig, "a", "b")
    drain = begin(rig)
    sweep(rig)
    bad, good = stops(rig)
    rig.send(rig.workers.report(bad, "failed", Observed.RUNNING, failure=Failure("driver_failed", "it hangs")))
    sweep(rig)
    assert operation(rig, drain).state == "running"
    stopped(rig, good)
    sweep(rig)
    ended = operation(rig, drain)
    assert (ended.state, (ended.error or {})["code"], state_of(rig)) == ("failed", "not_drained", "cordoned")
    failed, done = (ended.result or {})["vms"]
    assert (failed["outcome"], failed["error"]["message"], done["outcome"]) == ("failed", "it hangs", "stopped")


def test_the_deadline_ends_it(rig: Rig) -> None:
    running(rig, "web")
    drain = begin(rig, "wait")
    rig.sql("UPDATE operations SET deadline_at = now() - interval '1 second' WHERE id = :id", id=drain)
    sweep(rig)
    ended = operation(rig, drain)
    assert (ended.state, (ended.error or {})["code"], state_of(rig)) == (
        "failed",
        "deadline_exceeded",
        "cordoned",
    )
    assert "1 of 1 VMs of host 'host-a' are not off" in (ended.error or {})["message"]
    assert outcomes(rig, drain) == {"web": "waiting"}


def test_to_cancel_it_ends_it_and_begins_no_more(rig: Rig) -> None:
    running(rig, "a", "b")
    drain = begin(rig, at_once=1)
    sweep(rig)
    with rig.workers.context.transaction() as session:
        operations.cancel(session, ADMIN, drain)
    stopped(rig, stops(rig)[0])
    sweep(rig)
    assert (operation(rig, drain).state, state_of(rig), stops(rig)) == ("cancelled", "cordoned", [])
    assert sorted(outcomes(rig, drain).values()) == ["stopped", "waiting"]
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match="already ended"):
        operations.cancel(session, ADMIN, drain)
    again = begin(rig)  # which a cordon is no reason against
    sweep(rig)
    assert sorted(outcomes(rig, again).values()) == ["stopped", "stopping"]


@pytest.mark.parametrize("verb", [cordons.activate, cordons.uncordon])
def test_to_activate_the_host_ends_it(rig: Rig, verb: Any) -> None:
    running(rig, "web")
    drain = begin(rig, "wait")
    with rig.workers.context.transaction() as session:
        verb(session, ADMIN, rig.host)
    ended = operation(rig, drain)
    assert (ended.state, (ended.error or {})["code"], state_of(rig)) == (
        "cancelled",
        "host_activated",
        "active",
    )
    sweep(rig)
    assert state_of(rig) == "active"
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match="already running"):
        vms.start(session, rig.actor, "web")


def test_to_give_the_host_up_ends_it(rig: Rig) -> None:
    running(rig, "web")
    drain = begin(rig, "wait")
    with rig.workers.context.transaction() as session:
        lost.remove_host(session, ADMIN, rig.host, force=True)
    assert (operation(rig, drain).error or {})["code"] == "host_removed"
    sweep(rig)


def test_a_silent_host_is_waited_for(rig: Rig) -> None:
    ids = running(rig, "web")
    drain = begin(rig)
    rig.silence()
    sweep(rig)
    assert (stops(rig), outcomes(rig, drain)) == ([], {"web": "waiting"})
    rig.sql("UPDATE hosts SET last_seen_at = now()")
    sweep(rig, 2)
    assert [each.vm_id for each in stops(rig)] == [ids["web"]]


def test_what_is_refused(rig: Rig) -> None:
    running(rig, "web")
    for who, name, error in ((rig.actor, rig.host, Forbidden), (ADMIN, "nowhere", NotFound)):
        with rig.workers.context.transaction() as session, pytest.raises(error):
            drains.begin(session, who, name, DrainRequest("stop"))
    drain = begin(rig)
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match=f"by operation {drain}"):
        drains.begin(session, ADMIN, rig.host, DrainRequest("stop"))
    with rig.workers.context.transaction() as session, pytest.raises(NotFound):
        operations.cancel(session, rig.actor, drain)
    with pytest.raises(IntegrityError, match="uq_operations_host_name_live"):
        rig.sql(
            'INSERT INTO operations SELECT (jsonb_populate_record(o, \'{"id": "op-2"}\')).* FROM operations o'
            " WHERE vm_id IS NULL"
        )
    rig.silence()
    with rig.workers.context.transaction() as session:
        cordons.activate(session, ADMIN, rig.host)
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match="is offline"):
        drains.begin(session, ADMIN, rig.host, DrainRequest("stop"))


def test_every_stop_is_in_the_audit_log(rig: Rig) -> None:
    running(rig, "web")
    drain = begin(rig)
    sweep(rig)
    query = "SELECT user_id, result, details ->> 'operation_id' FROM audit_entries WHERE request_id = :id"
    assert tuple(rig.workers.row(query, id=drain)) == ("admin", "accepted", stops(rig)[0].id)
