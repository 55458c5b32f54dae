"""Commands on a running agent: each is done once, in turn, and answered."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from core.contract.results import SnapshotTaken
from core.contract.states import Kind, Observed
from tests.agent.hosts import Host
from tests.support.waiting import until


def test_a_vm_lives_its_life(running: Host) -> None:
    vm = running.made()
    started = running.do(Kind.START, vm)
    assert started.observation.state is Observed.RUNNING
    assert running.do(Kind.STOP, vm).observation.state is Observed.STOPPED
    assert running.do(Kind.DELETE, vm).observation.state is Observed.ABSENT
    assert not (running.folder / "vms" / vm.id).exists()


def test_reports_come_in_order_with_growing_generations(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 1.0}})
    operation = running.send(running.command(Kind.START, vm))
    running.end(operation)
    told = running.received(operation)
    assert [told[0].phase, told[-1].phase] == ["begun", "succeeded"]
    middle = told[1:-1]
    assert {each.phase for each in middle} == {"progress"}
    assert 2 <= len(middle) <= 5
    generations = [each.generation for each in told]
    assert generations == sorted(set(generations))


def test_a_command_delivered_twice_runs_once(running: Host) -> None:
    vm = running.made()
    start = running.command(Kind.START, vm)
    running.send(start)
    running.end(start.operation_id)
    running.send(start, attempt=2)
    first, second = running.ends(start.operation_id, 2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.generation == second.generation
    assert running.effects(vm, "start") == 1


def test_a_command_delivered_while_it_runs_is_noted_only(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 1.0}})
    start = running.command(Kind.START, vm)
    running.send(start)
    running.seen(start.operation_id, "begun")
    running.send(start, attempt=2)
    assert running.end(start.operation_id).attempt == 2
    running.do(Kind.STOP, vm)  # what the agent had to say of the start, it has said before it says this
    assert len(running.ends(start.operation_id, 1)) == 1
    assert running.effects(vm, "start") == 1


def test_an_older_attempt_is_refused(running: Host) -> None:
    vm = running.made()
    start = running.command(Kind.START, vm)
    running.send(start, attempt=3)
    running.end(start.operation_id)
    running.send(start, attempt=2)
    running.do(Kind.STOP, vm)
    assert len(running.ends(start.operation_id, 1)) == 1
    assert "attempt 2 refused after 3" in running.log()


def test_a_command_past_its_deadline_is_not_begun(running: Host) -> None:
    vm = running.made()
    report = running.do(Kind.START, vm, seconds=-1.0)
    assert (report.phase, report.failure.code, report.failure.retryable) == ("failed", "deadline_exceeded", True)
    assert running.effects(vm, "start") == 0


def test_a_driver_that_hangs_ends_with_the_deadline(running: Host) -> None:
    vm = running.made(fake={"hang": ["start"]})
    report = running.do(Kind.START, vm, seconds=1.0)
    assert (report.phase, report.failure.code) == ("failed", "timeout")


def test_a_failure_keeps_its_code_and_says_what_is_true_now(running: Host) -> None:
    refusal = {"code": "disk_full", "message": "no room", "retryable": True}
    vm = running.made(fake={"fail": {"start": refusal}})
    report = running.do(Kind.START, vm)
    assert (report.failure.code, report.failure.message, report.failure.retryable) == ("disk_full", "no room", True)
    assert report.observation.state is Observed.STOPPED


def test_what_nobody_expected_tells_nothing_away(running: Host) -> None:
    vm = running.made(fake={"broken": ["start"]})
    report = running.do(Kind.START, vm)
    assert report.failure.code == "internal_error"
    assert "law" not in report.failure.message
    assert "told to break the law" in running.log()


def test_a_vm_that_cannot_be_read_still_ends_its_operations(running: Host) -> None:
    vm = running.made()
    (running.folder / "vms" / vm.id / "fake-state.json").write_text("not JSON")
    report = running.do(Kind.START, vm)
    assert (report.failure.code, report.observation) == ("state_damaged", None)
    assert running.do(Kind.DELETE, vm).phase == "succeeded"


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (Kind.SNAPSHOT_CREATE, {}),
        (Kind.SNAPSHOT_RESTORE, {"snapshot_id": 7}),
        (Kind.STOP, {"grace_seconds": "long"}),
        (Kind.RESTART, {"force": "yes"}),
    ],
)
def test_wrong_parameters_are_the_commands_failure(running: Host, kind: Kind, params: dict[str, Any]) -> None:
    vm = running.made()
    report = running.do(kind, vm, **params)
    assert (report.phase, report.failure.code) == ("failed", "invalid_request")


def test_an_unknown_hypervisor_is_named(running: Host) -> None:
    vm = replace(running.vm(), hypervisor="xen")
    report = running.do(Kind.CREATE, vm)
    assert report.failure.code == "unsupported"
    assert "'xen'" in report.failure.message
    assert "fake" in report.failure.message


def test_a_restart_stops_and_starts_once(running: Host) -> None:
    vm = running.made()
    running.do(Kind.START, vm)
    assert running.do(Kind.RESTART, vm, force=True).observation.state is Observed.RUNNING
    assert (running.effects(vm, "stop"), running.effects(vm, "start")) == (1, 2)


def test_a_snapshot_brings_back_what_was_broken(running: Host) -> None:
    vm = running.made()
    running.do(Kind.START, vm)
    running.call("execute", vm, command="echo whole > /etc/motd")
    taken = running.do(Kind.SNAPSHOT_CREATE, vm, snapshot_id="s1", name="before", include_memory=True)
    told = taken.result_as(SnapshotTaken)
    assert (told.include_memory, told.vm_status) == (True, "running")
    assert told.checksum.startswith("sha256:")
    running.call("execute", vm, command="echo broken > /etc/motd")
    assert running.do(Kind.SNAPSHOT_RESTORE, vm, snapshot_id="s1").observation.state is Observed.RUNNING
    assert running.call("execute", vm, command="cat /etc/motd").result["stdout_b64"] == "d2hvbGUK"
    assert running.do(Kind.SNAPSHOT_DELETE, vm, snapshot_id="s1").phase == "succeeded"
    gone = running.do(Kind.SNAPSHOT_RESTORE, vm, snapshot_id="s1")
    assert gone.failure.code == "snapshot_not_found"


def test_a_delete_does_not_wait_for_a_slow_create(running: Host) -> None:
    vm = running.vm(fake={"slow": {"create": 30.0}})
    create = running.send(running.command(Kind.CREATE, vm))
    running.seen(create, "progress")
    assert running.do(Kind.DELETE, vm).phase == "succeeded"
    assert running.end(create).phase == "cancelled"
    assert running.effects(vm, "create") == 0
    assert not (running.folder / "vms" / vm.id).exists()


def test_nothing_brings_a_deleted_vm_back(running: Host) -> None:
    vm = running.made()
    running.do(Kind.DELETE, vm)
    late = running.do(Kind.CREATE, vm)
    assert (late.phase, late.failure.code) == ("failed", "vm_not_found")
    assert late.observation.state is Observed.ABSENT
    assert running.do(Kind.DELETE, vm).phase == "succeeded"
    assert (running.effects(vm, "create"), running.effects(vm, "delete")) == (1, 1)


def test_cancel_before_a_command_comes(running: Host) -> None:
    vm = running.made()
    start = running.command(Kind.START, vm)
    assert running.call("cancel", operation_id=start.operation_id).result == {"state": "cancelled"}
    assert running.end(start.operation_id).phase == "cancelled"
    running.send(start)
    assert running.ends(start.operation_id, 2)[1].attempt == 1
    assert running.effects(vm, "start") == 0


def test_cancel_of_a_running_command(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 30.0}})
    operation = running.send(running.command(Kind.START, vm))
    running.seen(operation, "progress")
    assert running.call("cancel", operation_id=operation).result == {"state": "cancelling"}
    report = running.end(operation)
    assert (report.phase, report.observation.state) == ("cancelled", Observed.STOPPED)
    assert running.call("cancel", operation_id=operation).result == {"state": "finished"}
    assert len(running.ends(operation, 2)) == 2


def test_a_cancel_that_comes_too_late_changes_nothing(running: Host) -> None:
    vm = running.made(fake={"linger": {"start": 1.0}})
    operation = running.send(running.command(Kind.START, vm))
    until(lambda: running.effects(vm, "start"))
    assert running.call("cancel", operation_id=operation).result == {"state": "cancelling"}
    assert running.end(operation).phase == "succeeded"


def test_cancel_of_a_command_that_waits_for_its_vm(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 3.0}})
    start = running.send(running.command(Kind.START, vm))
    running.seen(start, "progress")
    stop = running.send(running.command(Kind.STOP, vm))
    running.journaled(stop)
    assert running.call("cancel", operation_id=stop).result == {"state": "cancelling"}
    assert running.end(stop).phase == "cancelled"
    assert running.effects(vm, "start") == 0
    assert running.end(start).phase == "succeeded"


def test_two_commands_on_one_vm_take_turns(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 0.5}})
    start = running.send(running.command(Kind.START, vm))
    running.seen(start, "begun")
    stop = running.send(running.command(Kind.STOP, vm, force=True))
    first, second = running.end(start), running.end(stop)
    assert first.observation.state is Observed.RUNNING
    assert second.observation.state is Observed.STOPPED
    assert first.generation < second.generation


def test_what_flower_is_told_is_told_together(running: Host) -> None:
    vms = [running.made() for _ in range(8)]
    with running.redis.pubsub(ignore_subscribe_messages=True) as bell:  # type: ignore[no-untyped-call]
        bell.psubscribe("*celeryev/task*")
        bell.get_message(timeout=1.0)
        operations = [running.send(running.command(Kind.START, vm)) for vm in vms]
        for operation in operations:
            running.end(operation)
        messages = []
        while (message := bell.get_message(timeout=1.0)) is not None:
            messages.append(json.loads(base64.b64decode(json.loads(message["data"])["body"])))
    ours = [[event for event in events if event["uuid"].split(".")[0] in operations] for events in messages]
    told = Counter(event["type"] for events in ours for event in events)
    assert told == {"task-received": 8, "task-started": 8, "task-succeeded": 8}
    assert len([events for events in ours if events]) < 8
