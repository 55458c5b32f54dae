"""VMs that move between two hosts: what the record makes of all that they say."""

from __future__ import annotations

import pytest

from core.contract.commands import Move, Start
from core.contract.errors import Conflict, Invalid, NoCapacity, NotFound, Unsupported
from core.contract.hosts import DriverHealth
from core.contract.states import Kind, Observed
from core.contract.vms import Observation, Placement
from core.services import arrivals, contents, orphans, vms
from tests.workers.fencing import ADMIN, created, departures, live, running
from tests.workers.moving import FILE, again, begin, cancel, handed_over, removed, told
from tests.workers.rig import Rig


def test_a_move_from_its_beginning_to_its_end(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = begin(rig, "web")
    [out] = rig.take()
    assert isinstance(out.params, Move)
    assert (out.params.source, out.params.target, out.params.files, out.vm.home) == ("host-a", "host-b", None, 1)
    assert (rig.vcpus(), other.vcpus()) == (1, 1)  # on both, until it is known which
    with (
        rig.workers.context.transaction() as session,
        pytest.raises(Conflict, match=r"\(move\) is already in progress"),
    ):
        vms.start(session, rig.actor, "web")

    rig.send(rig.workers.report(move, "succeeded", Observed.STOPPED, result=told(FILE)))
    [into] = other.take()
    assert isinstance(into.params, Move)
    assert (into.operation_id, into.params.files, into.vm.home) == (move.id, [FILE], 1)
    assert into.attempt > out.attempt
    other.tell(Observation(vm_id, Observed.STOPPED), vcpus=16)  # before it has said so
    assert rig.workers.scalar("SELECT orphans FROM hosts WHERE name = 'host-b'") == []
    assert (rig.vm(vm_id, "host_name"), other.take()) == ("host-a", [])

    move = again(rig, move)
    assert move.host_name == "host-b"
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED, result=told()))
    assert (rig.vm(vm_id, "host_name"), rig.status(vm_id), rig.workers.state(move)) == (
        "host-b",
        "created",
        "succeeded",
    )
    assert again(rig, move).result == {"old_host": "host-a", "new_host": "host-b"}
    assert (rig.vcpus(), other.vcpus()) == (0, 1)
    moved = "SELECT data FROM events WHERE type = 'vm_moved'"
    assert rig.workers.scalar(moved) == {"old_host": "host-a", "new_host": "host-b"}
    [purge] = rig.take()
    assert (purge.kind, purge.vm.home) == (Kind.DELETE, 1)
    assert departures(rig) == [(vm_id, "host-a")]
    removed(rig, purge, vm_id)
    assert departures(rig) == []


def test_one_that_runs_is_stopped_for_it_and_started_there(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web", "none")
    with pytest.raises(Conflict, match="is running: stop it first"):
        begin(rig, "web")
    move = handed_over(rig, "web", stop=True, grace_seconds=7.0)
    [out] = rig.take()
    assert isinstance(out.params, Move)
    assert (out.params.stop, out.params.grace_seconds, out.params.start) == (True, 7.0, True)
    other.take()
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    [start] = other.take()
    assert isinstance(start.params, Start)
    assert (again(rig, move).result or {})["start_operation_id"] == start.operation_id
    other.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.RUNNING))
    assert (rig.status(vm_id), rig.vm(vm_id, "host_name")) == ("running", "host-b")


def test_where_it_can_not_go(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    with pytest.raises(Conflict, match="is on host 'host-a' already"):
        begin(rig, "web", host="host-a")
    with pytest.raises(Invalid, match="there is no host 'nowhere'"):
        begin(rig, "web", host="nowhere")
    other.tell(vcpus=0)
    with pytest.raises(NoCapacity) as none:
        begin(rig, "web", host="host-b")
    assert [each["host"] for each in none.value.details["rejected"]] == ["host-b"]
    old = DriverHealth("fake", healthy=True, capabilities=["snapshots"])
    other.tell(vcpus=16, drivers=[old])
    with pytest.raises(NoCapacity) as none:
        begin(rig, "web", host="host-b")
    assert "does not offer moves" in str(none.value.details["rejected"])
    rig.tell(Observation(vm_id, Observed.STOPPED), vcpus=16, drivers=[old])
    with pytest.raises(Unsupported, match="does not offer moves"):
        begin(rig, "web")
    assert rig.vm(vm_id, "home") == 0


def test_one_group_is_on_no_host_twice_while_it_moves(rig: Rig, other: Rig) -> None:
    apart = Placement(apart_from_group="db")
    created(rig, "one", "none", placement=apart)
    begin(rig, "one")
    with pytest.raises(NoCapacity):
        created(other, "two", "none", placement=apart)


def test_who_may_have_its_files(rig: Rig, other: Rig) -> None:
    created(rig, "web", "none")
    rig.sql("UPDATE vms SET image_digest = :digest", digest="sha256:" + "b" * 64)
    move = handed_over(rig, "web")
    for host, operation, sha256 in (
        ("host-a", move.id, FILE.sha256),
        ("host-b", "op-none", FILE.sha256),
        ("host-b", move.id, "b" * 64),
    ):
        with rig.workers.context.transaction() as session, pytest.raises(NotFound):
            arrivals.asked_for(session, host, operation, sha256)
    with rig.workers.context.transaction() as session:
        source, vm, file = arrivals.asked_for(session, "host-b", move.id, FILE.sha256)
        assert (source, vm.name, file) == ("host-a", "web", FILE)
        contents.must_need(session, "host-b", "sha256:" + "b" * 64)
    cancel(rig, move)
    other.send(rig.workers.report(move, "cancelled"))
    for ask in (
        lambda session: arrivals.asked_for(session, "host-b", move.id, FILE.sha256),
        lambda session: contents.must_need(session, "host-b", "sha256:" + "b" * 64),
    ):
        with rig.workers.context.transaction() as session, pytest.raises(NotFound):
            ask(session)


def test_no_administrator_removes_one_that_arrives(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    handed_over(rig, "web")
    other.tell(Observation(vm_id, Observed.STOPPED), vcpus=16)
    with rig.workers.context.transaction() as session, pytest.raises(NotFound):
        orphans.remove(session, ADMIN, "host-b", vm_id)
