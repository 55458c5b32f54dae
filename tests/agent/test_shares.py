"""No owner of VMs has all of a host's places, for calls or for commands."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.calls.server import EXECUTES_EACH
from agent.commands.vm_locks import WAITING_EACH
from core.contract import channels
from core.contract.messages import call as call_of
from core.contract.messages import encode
from core.contract.states import Kind
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.agent.hosts import Host


def test_an_owner_who_runs_all_the_commands_that_they_may_holds_up_nobody(running: Host) -> None:
    made = running.made()
    assert running.do(Kind.START, made).phase == "succeeded"
    greedy, other = replace(made, owner="greedy"), replace(made, owner="other")
    calls = [f"held-{number}" for number in range(EXECUTES_EACH)]
    for each in calls:
        held = call_of(each, "execute", "", time.time() + 600, greedy, {"command": "sleep 500"})
        running.redis.rpush(channels.calls(running.name), encode(held))

    def refused() -> bool:
        failure = running.call("execute", greedy, command="true").failure
        return failure is not None and failure.code == "service_unavailable" and "you have" in failure.message

    until(refused)
    assert running.call("execute", other, command="true").failure is None
    assert running.call("observe", greedy).failure is None
    assert [running.call("abandon", call_id=each).result for each in calls] == [{"abandoned": True}] * len(calls)
    assert until(lambda: running.call("execute", greedy, command="true").result)


def test_an_owner_with_more_operations_than_the_host_has_places_holds_up_nobody(host: Host) -> None:
    """Sixteen places, of which one owner has twelve: the other eight of theirs wait, and go on by themselves."""
    host.start("--concurrency", "16")
    host.told(slow={"stop": 600.0})
    greedy = [replace(host.made(), owner="greedy") for _ in range(20)]
    other = replace(host.made(), owner="other")
    for vm in greedy:
        host.do(Kind.START, vm)
    stops = [host.send(host.command(Kind.STOP, vm, seconds=900.0, grace_seconds=600.0)) for vm in greedy]
    until(lambda: sum(bool(host.received(each)) for each in stops) == 12)
    assert host.do(Kind.START, other).phase == "succeeded"
    assert host.do(Kind.RESTART, other, force=True).phase == "succeeded"
    assert sum(bool(host.received(each)) for each in stops) == 12
    for each in stops[:12]:
        host.call("cancel", operation_id=each)
    until(lambda: sum(bool(host.received(each)) for each in stops) == 20)


def test_what_waits_beyond_an_owners_part_is_left_to_the_record(host: Host) -> None:
    host.start("--concurrency", "1")
    host.told(slow={"create": 600.0})
    commands = [host.command(Kind.CREATE, replace(host.vm(), owner="greedy"), seconds=900.0) for _ in range(70)]
    for each in commands:
        host.send(each)
    until(lambda: host.log().count("is left for later") == 70 - 1 - WAITING_EACH)
    other = replace(host.vm(), owner="other")
    waiting = host.send(host.command(Kind.CREATE, other, seconds=900.0))
    host.journaled(waiting)
    assert host.call("cancel", operation_id=waiting).result == {"state": "cancelling"}
    assert host.end(waiting).phase == "cancelled"
