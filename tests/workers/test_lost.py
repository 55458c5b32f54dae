"""What is promised of the lost: late creates, hosts that are away, hosts that never come back."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract.calls import OperationRef
from core.contract.errors import Conflict, Forbidden, NoCapacity, NotFound
from core.contract.states import Kind, Observed
from core.contract.vms import Observation
from core.services import hosts, listing, lost, orphans, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from tests.support.waiting import until
from tests.workers.conftest import Workers
from tests.workers.rig import Rig
from workers import sweeping

ADMIN = Actor("admin", "admin", "admin")


@pytest.fixture
def rig(workers: Workers) -> Rig:
    workers.receiver()
    made = Rig(workers, "host-a")
    made.tell(vcpus=4)
    return made


def by_report(rig: Rig, create: Accepted) -> None:
    rig.send(rig.workers.report(create, "succeeded", Observed.STOPPED))


def by_inventory(rig: Rig, create: Accepted) -> None:
    rig.tell(Observation(create.vm_id, Observed.STOPPED), vcpus=4)


TOLD = pytest.mark.parametrize("told", [by_report, by_inventory])


@TOLD
def test_a_create_that_ends_late_is_counted_again(rig: Rig, told: Any) -> None:
    create = rig.create("web")
    rig.late()
    assert (rig.vcpus(), rig.status(create.vm_id)) == (0, "failed")
    told(rig, create)
    assert (rig.vcpus(), rig.vm(create.vm_id, "reserved"), rig.status(create.vm_id)) == (1, True, "created")
    rig.tell(Observation(create.vm_id, Observed.STOPPED), vcpus=4)
    assert rig.vcpus() == 1


@TOLD
def test_a_create_that_ends_late_without_room_is_removed(rig: Rig, told: Any) -> None:
    create = rig.create("web")
    rig.late()
    for n in range(4):
        rig.create(f"other-{n}")
    rig.take()
    told(rig, create)
    [command] = rig.commands()
    assert (command.kind, command.vm.id) == (Kind.DELETE, create.vm_id)
    assert (rig.vcpus(), rig.status(create.vm_id)) == (4, "deleting")
    with rig.workers.context.transaction() as session, pytest.raises(Conflict):
        vms.start(session, rig.actor, create.vm_id)


@TOLD
def test_the_address_of_a_late_create_is_nobody_elses(rig: Rig, told: Any) -> None:
    create, other = rig.create("web"), None
    rig.late()
    other = rig.create("other")
    rig.take()
    rig.sql("""UPDATE vms SET network = '{"type": "bridge", "bridge": "br0", "ip": "10.0.0.2"}'""")
    told(rig, create)
    assert [command.kind for command in rig.commands()] == [Kind.DELETE]
    assert (rig.vm(create.vm_id, "reserved"), rig.vm(other.vm_id, "reserved")) == (False, True)


def test_a_late_create_whose_name_is_given_away_is_removed_and_no_orphan(rig: Rig) -> None:
    create = rig.create("web")
    rig.late()
    again = rig.create("web")
    rig.take()
    rig.tell(Observation(create.vm_id, Observed.STOPPED), Observation("vm-stranger", Observed.STOPPED), vcpus=4)
    [command] = rig.take()
    assert (command.kind, command.vm.id) == (Kind.DELETE, create.vm_id)
    assert rig.workers.scalar("SELECT orphans FROM hosts") == ["vm-stranger"]
    assert rig.workers.state(again) == "queued"


def test_what_the_hosts_agent_has_begun_is_not_sent_again(rig: Rig) -> None:
    create = rig.create("web")
    assert len(rig.take()) == 1
    rig.send(rig.workers.report(create, "begun"))
    for _ in range(3):
        rig.sql("UPDATE operations SET send_at = now()")
        sweeping.sweep(rig.workers.context)
    assert rig.commands() == []
    assert {(call.verb, call.params) for call in rig.calls()} == {("report", OperationRef(create.id))}
    rig.tell(boot_id="another")
    sweeping.sweep(rig.workers.context)
    assert [command.attempt for command in rig.commands()] == [2]


def test_what_was_never_begun_is_sent_again(rig: Rig) -> None:
    rig.create("web")
    rig.take()
    rig.sql("UPDATE operations SET send_at = now()")
    sweeping.sweep(rig.workers.context)
    assert [command.attempt for command in rig.commands()] == [2]


def test_a_delete_on_a_dead_host_ends_and_what_is_left_goes_when_it_returns(rig: Rig) -> None:
    vm_id = rig.created("web")
    with rig.workers.context.transaction() as session:
        delete = vms.delete(session, rig.actor, "web")
    rig.take()
    rig.silence()
    assert rig.workers.state(delete) == "succeeded"
    assert rig.workers.scalar("SELECT result FROM operations WHERE id = :id", id=delete.id) == lost.LEFT.stored()
    with rig.workers.context.transaction() as session, pytest.raises(NotFound):
        listing.view(session, rig.actor, "web")
    assert (rig.vcpus(), rig.vm(vm_id, "reserved")) == (1, True)  # its room and address are given to nobody yet
    rig.tell(Observation(vm_id, Observed.RUNNING))
    [command] = rig.take()
    assert (command.kind, command.vm.id) == (Kind.DELETE, vm_id)
    assert (rig.vcpus(), rig.workers.scalar("SELECT orphans FROM hosts")) == (1, [])
    rig.tell()
    assert (rig.vcpus(), rig.vm(vm_id, "reserved"), rig.commands()) == (0, False, [])


def test_a_host_that_never_comes_back(rig: Rig) -> None:
    vm_id, deleted = rig.created("web"), rig.created("old")
    with rig.workers.context.transaction() as session:
        start = vms.start(session, rig.actor, "web")
        vms.delete(session, rig.actor, "old")
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match="is online"):
        lost.remove_host(session, ADMIN, rig.host)
    rig.silence()
    with rig.workers.context.transaction() as session, pytest.raises(Forbidden):
        lost.remove_host(session, rig.actor, rig.host)
    with rig.workers.context.transaction() as session:
        lost.remove_host(session, ADMIN, rig.host)
    sweeping.sweep(rig.workers.context)
    assert (rig.status(vm_id), rig.vcpus(), rig.workers.state(start)) == ("lost", 0, "failed")
    assert rig.vm(deleted, "deleted_at") is not None
    with rig.workers.context.transaction() as session:
        assert hosts.all_of(session) == []
    with rig.workers.context.transaction() as session, pytest.raises(Conflict, match="is lost"):
        vms.start(session, rig.actor, "web")


def test_a_host_that_returns_after_all_is_cleaned_before_it_has_new_vms(rig: Rig) -> None:
    vm_id = rig.created("web")
    rig.silence()
    with rig.workers.context.transaction() as session:
        lost.remove_host(session, ADMIN, rig.host)
    sweeping.sweep(rig.workers.context)
    rig.take()
    rig.tell(Observation(vm_id, Observed.RUNNING), Observation("vm-stranger", Observed.RUNNING))
    assert [(command.kind, command.vm.id) for command in rig.take()] == [(Kind.DELETE, vm_id)]
    with rig.workers.context.transaction() as session:
        assert hosts.all_of(session) == []
    rig.tell(Observation("vm-stranger", Observed.RUNNING))
    with rig.workers.context.transaction() as session:
        assert [host.name for host in hosts.all_of(session)] == [rig.host]
    assert (rig.commands(), rig.status(vm_id), rig.vcpus()) == ([], "lost", 0)
    with rig.workers.context.transaction() as session:
        delete = vms.delete(session, rig.actor, vm_id)
    rig.send(rig.workers.report(delete, "succeeded", Observed.ABSENT))
    assert rig.vm(vm_id, "deleted_at") is not None


def test_a_lost_vm_can_be_deleted_at_once(rig: Rig) -> None:
    vm_id = rig.created("web")
    rig.silence()
    with rig.workers.context.transaction() as session:
        lost.remove_host(session, ADMIN, rig.host)
    sweeping.sweep(rig.workers.context)
    with rig.workers.context.transaction() as session:
        delete = vms.delete(session, rig.actor, vm_id)
    sweeping.sweep(rig.workers.context)
    assert (rig.workers.state(delete), rig.vcpus()) == ("succeeded", 0)
    with pytest.raises((NoCapacity, Conflict, NotFound)), rig.workers.context.transaction() as session:
        vms.start(session, rig.actor, vm_id)


def test_an_orphan_is_removed_by_an_administrator_alone(rig: Rig) -> None:
    rig.tell(Observation("vm-stranger", Observed.RUNNING))
    for actor, orphan, error in ((rig.actor, "vm-stranger", Forbidden), (ADMIN, "vm-unheard-of", NotFound)):
        with rig.workers.context.transaction() as session, pytest.raises(error):
            orphans.remove(session, actor, rig.host, orphan)
    with rig.workers.context.transaction() as session:
        orphans.remove(session, ADMIN, rig.host, "vm-stranger")
    [command] = rig.commands()
    assert (command.kind, command.vm.id, command.vm.hypervisor) == (Kind.DELETE, "vm-stranger", "fake")


def test_an_inventory_does_not_undo_what_was_accepted_while_it_was_read(rig: Rig) -> None:
    vm_id = rig.created("web")
    rig.sql("UPDATE vms SET observed = 'paused', wanted = 'paused'")
    with rig.workers.context.transaction() as session:
        vms.stop(session, rig.actor, "web", grace_seconds=0, force=True)
        session.flush()
        rig.workers.send(rig.host, rig.workers.inventory(rig.host, Observation(vm_id, Observed.RUNNING)))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: rig.workers.scalar(waiting))
    until(lambda: rig.workers.left(rig.host) == 0)
    assert rig.vm(vm_id, "wanted") == "stopped"
