"""Moves that end before their time, and what is left of them on their hosts."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract.commands import Delete, Start
from core.contract.errors import NoCapacity
from core.contract.messages import Failure
from core.contract.states import Kind, Observed
from core.contract.vms import Observation
from core.models.base import now
from core.services import fences, lost, restored, vms
from tests.workers.fencing import ADMIN, created, departures, live, running, sweep
from tests.workers.moving import FILE, begin, cancel, error, handed_over, told
from tests.workers.rig import Rig


@pytest.mark.parametrize("phase", ["failed", "cancelled"])
@pytest.mark.parametrize("where", ["source", "target"])
def test_one_that_comes_to_nothing_leaves_it_where_it_was(rig: Rig, other: Rig, where: str, phase: str) -> None:
    vm_id = running(rig, "web", "none")
    move = handed_over(rig, "web", stop=True) if where == "target" else begin(rig, "web", stop=True)
    rig.take()
    other.take()
    at_work = other if where == "target" else rig
    seen = Observed.ABSENT if where == "target" else Observed.STOPPED
    failure = Failure("no_space", "no room") if phase == "failed" else None
    at_work.send(rig.workers.report(move, phase, seen, failure=failure))
    assert rig.workers.state(move) == phase
    assert (rig.vm(vm_id, "host_name"), rig.vcpus(), other.vcpus()) == ("host-a", 1, 0)
    assert departures(rig) == [(vm_id, "host-b")]
    [purge] = other.take()
    assert isinstance(purge.params, Delete)
    [start] = rig.take()  # it ran before
    assert isinstance(start.params, Start)
    rig.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.RUNNING))
    assert rig.status(vm_id) == "running"
    other.tell(Observation(vm_id, Observed.STOPPED), vcpus=16)  # it had it already
    assert [command.kind for command in other.take()] == [Kind.DELETE]
    with pytest.raises(NoCapacity) as none:
        begin(rig, "web", stop=True)
    assert {each["host"]: each["reason"] for each in none.value.details["rejected"]} == {
        "host-a": "is the VM's own",
        "host-b": "has what the VM left there",
    }
    other.tell(vcpus=16)
    assert begin(rig, "web", stop=True).params["target"] == "host-b"
    assert rig.vm(vm_id, "home") == 2


def test_a_late_word_of_the_target_moves_nothing(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    cancel(rig, move)
    other.silence()
    sweep(rig)
    assert rig.workers.state(move) == "cancelled"
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    assert (rig.vm(vm_id, "host_name"), rig.status(vm_id)) == ("host-a", "created")
    assert (rig.vcpus(), other.vcpus()) == (1, 0)


def test_cancelled_before_the_switch_it_does_not_move(rig: Rig, other: Rig) -> None:
    """Whichever of its hosts says that it has done its part."""
    vm_id = created(rig, "web", "none")
    move = begin(rig, "web")
    cancel(rig, move)
    rig.send(rig.workers.report(move, "succeeded", Observed.STOPPED, result=told(FILE)))
    assert (rig.workers.state(move), rig.vm(vm_id, "host_name"), other.vcpus()) == ("cancelled", "host-a", 0)
    other.tell(vcpus=16)
    move = handed_over(rig, "web")
    cancel(rig, move)
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    assert (rig.workers.state(move), rig.vm(vm_id, "host_name"), other.vcpus()) == ("cancelled", "host-a", 0)


def test_a_target_that_does_not_see_it_has_not_got_it(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    other.send(rig.workers.report(move, "succeeded", Observed.ABSENT))
    assert (rig.workers.state(move), rig.vm(vm_id, "host_name")) == ("failed", "host-a")


def test_a_host_that_stays_away_ends_it(rig: Rig, other: Rig) -> None:
    created(rig, "web", "none")
    move = handed_over(rig, "web")
    away = "UPDATE hosts SET offline_since = now() - {0}, last_seen_at = now() - {0} WHERE name = 'host-b'"
    rig.sql(away.format("interval '4 minutes'"))
    sweep(rig)
    assert rig.workers.state(move) == "running"
    rig.sql(away.format("interval '6 minutes'"))
    sweep(rig)
    assert (rig.workers.state(move), error(rig, move), other.vcpus()) == ("failed", "service_unavailable", 0)


@pytest.mark.parametrize("verb", [fences.fence, lost.remove_host])
def test_a_host_that_is_given_up_ends_it(rig: Rig, other: Rig, verb: Any) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    with rig.workers.context.transaction() as session:
        verb(session, ADMIN, "host-b", force=True)
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    sweep(rig)
    assert (rig.workers.state(move), rig.vm(vm_id, "host_name"), rig.status(vm_id)) == ("failed", "host-a", "created")
    assert error(rig, move) in ("host_fenced", "host_removed", "invalid_state")
    assert other.vcpus() == 0


def test_with_its_source_it_is_lost(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    with rig.workers.context.transaction() as session:
        fences.fence(session, ADMIN, "host-a", force=True)
    sweep(rig)
    assert (rig.workers.state(move), error(rig, move), rig.status(vm_id)) == ("failed", "host_fenced", "lost")
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    assert (rig.status(vm_id), rig.vm(vm_id, "host_name"), other.vcpus()) == ("lost", "host-a", 0)


def test_a_delete_wins(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    other.take()
    with rig.workers.context.transaction() as session:
        vms.delete(session, rig.actor, "web")
    assert (rig.workers.state(move), other.vcpus()) == ("cancelled", 0)
    assert [command.kind for command in other.take()] == [Kind.DELETE]
    rig.send(rig.workers.report(live(rig, vm_id), "succeeded", Observed.ABSENT))
    assert (rig.vcpus(), other.vcpus()) == (0, 0)


def test_what_a_source_that_was_away_still_has_is_removed(rig: Rig, other: Rig) -> None:
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    rig.silence()
    other.send(rig.workers.report(move, "succeeded", Observed.STOPPED))
    rig.take()
    rig.sql("UPDATE hosts SET last_seen_at = now(), offline_since = NULL WHERE name = 'host-a'")
    rig.tell(Observation(vm_id, Observed.RUNNING), vcpus=16)
    assert [(command.kind, command.vm.home) for command in rig.take()] == [(Kind.DELETE, 1)]
    assert (rig.vm(vm_id, "host_name"), rig.status(vm_id)) == ("host-b", "created")
    assert rig.workers.scalar("SELECT orphans FROM hosts WHERE name = 'host-a'") == []


def test_after_a_restore_what_the_target_has_is_left_alone(rig: Rig, other: Rig) -> None:
    """The backup is older than what became of the move: it may be the only one."""
    vm_id = created(rig, "web", "none")
    move = handed_over(rig, "web")
    other.take()
    with rig.workers.context.transaction() as session:
        restored.adapt(session, now(), {})
    assert (rig.workers.state(move), error(rig, move)) == ("failed", "record_restored")
    other.tell(Observation(vm_id, Observed.STOPPED), vcpus=16)
    assert (other.take(), departures(rig), other.vcpus()) == ([], [], 0)
