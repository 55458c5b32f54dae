"""Hosts that are said to be dead: what becomes of their VMs, and of what they still say and have when they return."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract import channels
from core.contract.errors import Conflict, Forbidden, NotFound
from core.contract.hosts import Fence
from core.contract.messages import Failure, decode
from core.contract.states import Kind, Observed
from core.contract.vms import Observation
from core.models import Vm
from core.services import cordons, drains, fences, lost, vms
from core.services import departures as departed
from core.services.drains import DrainRequest
from tests.workers.fencing import ADMIN, activate, created, departures, fence, live, running, sweep
from tests.workers.rig import Rig


def test_who_may_and_when(rig: Rig) -> None:
    for who, name, error in ((rig.actor, rig.host, Forbidden), (ADMIN, "nowhere", NotFound)):
        with rig.workers.context.transaction() as session, pytest.raises(error):
            fences.fence(session, who, name)
    with pytest.raises(Conflict, match="is online: power it off"):
        fence(rig, force=False)
    rig.silence()
    fence(rig, force=False, reason="smoke")
    fence(rig, force=False, reason="again")
    row = rig.workers.row("SELECT scheduling_state, scheduling_reason, fence FROM hosts WHERE name = 'host-a'")
    assert tuple(row)[:2] == ("fenced", "smoke")
    for verb in (cordons.uncordon, lambda s, a, n: drains.begin(s, a, n, DrainRequest("stop"))):
        with rig.workers.context.transaction() as session, pytest.raises(Conflict):
            verb(session, ADMIN, rig.host)
    with rig.workers.context.transaction() as session:
        assert cordons.cordon(session, ADMIN, rig.host).scheduling_state == "fenced"


def test_its_vms_are_lost_and_made_anew_elsewhere_as_they_were_wanted(rig: Rig, other: Rig) -> None:
    ran, off, stays = running(rig, "ran"), created(rig, "off"), running(rig, "stays", "none")
    fence(rig)
    rig.sql("UPDATE hosts SET scheduling_state = 'cordoned' WHERE name = 'host-b'")
    sweep(rig)
    assert [rig.status(each) for each in (ran, off, stays)] == ["lost"] * 3  # no host may have them yet
    assert "no host can take" in rig.vm(ran, "observed_reason")
    rig.sql("UPDATE hosts SET scheduling_state = 'active' WHERE name = 'host-b'")
    rig.sql("UPDATE vms SET elsewhere_at = now() WHERE elsewhere_at IS NOT NULL")
    sweep(rig)
    assert [rig.status(each) for each in (ran, off, stays)] == ["creating", "creating", "lost"]
    assert {command.vm.id: command.kind for command in other.take()} == {ran: Kind.CREATE, off: Kind.CREATE}
    for each in (ran, off):
        other.send(rig.workers.report(live(rig, each), "succeeded", Observed.STOPPED))
    sweep(rig)
    [start] = other.take()
    assert (start.kind, start.vm.id, start.vm.home) == (Kind.START, ran, 1)
    other.send(rig.workers.report(live(rig, ran), "succeeded", Observed.RUNNING))
    sweep(rig)
    assert [rig.status(each) for each in (ran, off, stays)] == ["running", "created", "lost"]
    assert (rig.vcpus(), other.vcpus()) == (1, 2)  # what is lost may be found again there
    assert departures(rig) == sorted([(ran, "host-a"), (off, "host-a")])
    assert rig.workers.scalar("SELECT count(*) FROM vms WHERE elsewhere_at IS NOT NULL") == 0


def test_what_the_host_still_says_is_not_heard(rig: Rig, other: Rig) -> None:
    """As what was on its way when it was fenced."""
    vm_id = running(rig, "web")
    with rig.workers.context.transaction() as session:
        stop = vms.stop(session, rig.actor, "web", grace_seconds=0, force=True)
    fence(rig)
    sweep(rig)
    rig.send(rig.workers.report(stop, "succeeded", Observed.STOPPED))
    rig.tell(Observation(vm_id, Observed.RUNNING), vcpus=99)
    assert (rig.status(vm_id), rig.vm(vm_id, "observed"), rig.vm(vm_id, "host_name")) == ("creating", None, "host-b")
    assert rig.workers.scalar("SELECT vcpus FROM hosts WHERE name = 'host-a'") == 16
    # A heartbeat too, and a host is not back by what it says.
    rig.sql("UPDATE hosts SET last_seen_at = now()")
    sweep(rig)
    assert rig.workers.scalar("SELECT offline_since IS NULL FROM hosts WHERE name = 'host-a'") is False


def test_what_was_under_way_has_failed(rig: Rig) -> None:
    created(rig, "web", "none")
    with rig.workers.context.transaction() as session:
        start = vms.start(session, rig.actor, "web")
        drain = drains.begin(session, ADMIN, rig.host, DrainRequest("wait"))
    fence(rig)
    sweep(rig)
    told = "SELECT state, error ->> 'code' FROM operations WHERE id = :id"
    assert tuple(rig.workers.row(told, id=start.id)) == ("failed", "host_fenced")
    assert tuple(rig.workers.row(told, id=drain.id)) == ("cancelled", "host_fenced")
    with (
        rig.workers.context.transaction() as session,
        pytest.raises(Conflict, match="is lost: its host 'host-a' is fen"),
    ):
        vms.start(session, rig.actor, "web")


def test_a_vm_that_was_about_to_start_is_started_elsewhere(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web")
    with rig.workers.context.transaction() as session:
        vms.start(session, rig.actor, "web")
    fence(rig)
    sweep(rig)
    other.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.STOPPED))
    sweep(rig)
    assert live(rig, vm_id).kind == Kind.START


def test_what_it_returns_with_is_removed_and_the_rest_is_found(rig: Rig, other: Rig) -> None:
    moved, stays = running(rig, "moved"), running(rig, "stays", "none")
    fence(rig)
    sweep(rig)
    other.send(rig.workers.report(live(rig, moved), "succeeded", Observed.STOPPED))
    sweep(rig)
    other.send(rig.workers.report(live(rig, moved), "succeeded", Observed.RUNNING))
    activate(rig)
    sweep(rig)
    assert rig.status(stays) == "unknown"
    both = [Observation(each, Observed.STOPPED) for each in (moved, stays)]
    rig.tell(*both, boot_id="after", vcpus=16)
    rig.sql("UPDATE hosts SET offline_since = NULL")
    [purge] = rig.take()
    assert (purge.kind, purge.vm.id, purge.vm.home, purge.operation_id.startswith(departed.PURGE)) == (
        *(Kind.DELETE, moved, 0),
        True,
    )
    assert rig.workers.scalar("SELECT orphans FROM hosts WHERE name = 'host-a'") == []
    assert (rig.status(moved), rig.status(stays)) == ("running", "stopped")
    assert departures(rig) == [(moved, "host-a")]
    rig.tell(both[1], vcpus=16)
    assert departures(rig) == []
    assert rig.status(moved) == "running"


def test_what_is_seen_before_it_is_found_is_not_removed(rig: Rig) -> None:
    """The host's first inventory after its activation may be there before the sweep that finds its VMs."""
    stays = running(rig, "stays", "none")
    fence(rig)
    sweep(rig)
    activate(rig)
    rig.tell(Observation(stays, Observed.STOPPED), boot_id="after", vcpus=16)
    assert rig.take() == []
    sweep(rig)
    rig.tell(Observation(stays, Observed.STOPPED), vcpus=16)
    rig.sql("UPDATE hosts SET offline_since = NULL")
    assert rig.status(stays) == "stopped"


def test_it_does_not_return_to_where_something_of_it_is_left(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web")
    fence(rig)
    sweep(rig)
    other.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.STOPPED))
    activate(rig)
    rig.sql("UPDATE hosts SET offline_since = NULL")
    fence(other)
    sweep(rig)
    assert (rig.status(vm_id), rig.vm(vm_id, "host_name")) == ("lost", "host-b")
    rig.tell(boot_id="after", vcpus=16)
    rig.sql("UPDATE hosts SET offline_since = NULL WHERE name = 'host-a'")
    rig.sql("UPDATE vms SET elsewhere_at = now()")
    sweep(rig)
    assert (rig.status(vm_id), rig.vm(vm_id, "host_name"), rig.vm(vm_id, "home")) == ("creating", "host-a", 2)


def test_a_create_that_fails_is_tried_on_another_host(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web")
    Rig(rig.workers, "host-c").tell(vcpus=16)
    fence(rig)
    sweep(rig)
    first = live(rig, vm_id)
    there = Rig(rig.workers, first.host_name)
    there.send(rig.workers.report(first, "failed", Observed.ABSENT, failure=Failure("driver_failed", "no space")))
    sweep(rig)
    second = live(rig, vm_id)
    assert {first.host_name, second.host_name} == {"host-b", "host-c"}
    assert there.vcpus() == 0


def test_to_delete_a_lost_vm_wins(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web")
    rig.sql("UPDATE hosts SET scheduling_state = 'cordoned' WHERE name = 'host-b'")
    fence(rig)
    sweep(rig)
    with rig.workers.context.transaction() as session:
        vms.delete(session, rig.actor, "web")
    rig.sql("UPDATE hosts SET scheduling_state = 'active' WHERE name = 'host-b'")
    sweep(rig)
    assert rig.vm(vm_id, "deleted_at") is not None
    assert other.commands() == []
    activate(rig)
    rig.tell(Observation(vm_id, Observed.STOPPED), boot_id="after", vcpus=16)
    assert [command.vm.id for command in rig.take()] == [vm_id]


def test_vms_of_a_host_that_is_removed_go_elsewhere_too(rig: Rig, other: Rig) -> None:
    moved, stays = running(rig, "moved"), running(rig, "stays", "none")
    fence(rig)
    with rig.workers.context.transaction() as session:
        lost.remove_host(session, ADMIN, rig.host)
    sweep(rig)
    assert (rig.status(moved), rig.status(stays), rig.vcpus()) == ("creating", "lost", 0)
    rig.tell(*[Observation(each, Observed.RUNNING) for each in (moved, stays)], boot_id="after", vcpus=16)
    assert {command.vm.id for command in rig.take()} == {moved, stays}
    rig.tell(boot_id="after", vcpus=16)
    sweep(rig)
    assert departures(rig) == []
    assert (rig.status(moved), rig.status(stays)) == ("creating", "lost")


def test_its_forwards_follow_it(rig: Rig, other: Rig) -> None:
    vm_id = running(rig, "web")
    beside = created(other, "beside")
    for each, host, guest in ((vm_id, "host-a", 80), (vm_id, "host-a", 81), (beside, "host-b", 80)):
        port = 20_000 if guest == 80 else 20_001
        rig.sql(
            "INSERT INTO port_forwards (id, vm_id, host_name, protocol, host_port, guest_port, description, created_at,"
            " ready_at) VALUES (gen_random_uuid()::text, :vm, :host, 'tcp', :port, :guest, '', now(), now())",
            vm=each,
            host=host,
            port=port,
            guest=guest,
        )
    fence(rig)
    sweep(rig)
    [create] = other.take()
    ports = {forward.guest_port: forward.host_port for forward in create.vm.forwards}
    assert ports[81] == 20_001
    assert ports[80] != 20_000
    with rig.workers.context.transaction() as session:
        assert {forward.host_name for forward in session.get_one(Vm, vm_id).forwards} == {"host-b"}


def test_hosts_are_told_where_they_look_before_they_do_anything(rig: Rig) -> None:
    def told() -> Fence:
        entry: Any = rig.workers.redis.get(channels.fence(rig.host))
        return decode(Fence, entry)

    running(rig, "web")
    with rig.workers.context.transaction() as session:
        vms.stop(session, rig.actor, "web", grace_seconds=0, force=True)
    assert len(rig.commands()) == 1
    fence(rig)
    first = told()
    assert (first.closed, rig.commands()) == (True, [])
    activate(rig)
    assert told() == Fence(first.number, closed=False)
    rig.workers.redis.flushdb()
    sweep(rig)
    assert told() == Fence(first.number, closed=False)
    fence(rig)
    assert told().number > first.number
