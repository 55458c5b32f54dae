"""Agents that die at every moment, Redis that forgets or goes away: every command ends, and none is done twice."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from cli.fleet.redis import Redis
from core.contract import channels
from core.contract.messages import Forward
from core.contract.states import Kind, Observed
from tests.agent.hosts import Host
from tests.support.waiting import until


def test_killed_before_the_driver_call(host: Host) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 3.0}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "progress")
    stop = host.send(host.command(Kind.STOP, vm, force=True))
    assert host.journaled(stop) == "begun"
    host.kill()
    host.start()
    assert {host.end(start).phase, host.end(stop).phase} == {"succeeded"}
    assert host.effects(vm, "start") == 1


def test_killed_during_the_driver_call_with_nothing_left_in_redis(host: Host) -> None:
    host.start()
    vm = host.vm(fake={"slow": {"create": 1.0}})
    create = host.send(host.command(Kind.CREATE, vm))
    host.seen(create, "progress")
    host.kill()
    host.redis.flushall()
    host.start()
    report = host.end(create)
    assert (report.phase, report.observation.state) == ("succeeded", Observed.STOPPED)
    assert host.effects(vm, "create") == 1


@pytest.mark.parametrize("verb", ["create", "start", "delete", "snapshot_create", "snapshot_restore", "resize"])
def test_killed_after_the_driver_call_and_before_its_report(host: Host, verb: str) -> None:
    host.start()
    vm = host.vm(fake={"linger": {verb: 2.0}})
    for before in () if verb == "create" else (Kind.CREATE, Kind.START, Kind.SNAPSHOT_CREATE)[: _needs(verb)]:
        host.do(before, vm, snapshot_id="s1")
    size: dict[str, Any] = {"vcpus": 2, "memory_mb": 512, "cpu_limit_percent": None, "memory_limit_percent": 50}
    operation = host.send(host.command(Kind(verb), vm, snapshot_id="s1", **size))
    until(lambda: host.effects(vm, verb))
    host.kill()
    host.start()
    assert host.end(operation).phase == "succeeded"
    assert host.effects(vm, verb) == 1


@pytest.mark.parametrize("moment", ["slow", "linger"])
def test_killed_while_it_forwards_a_port(host: Host, moment: str) -> None:
    host.start()
    vm = replace(host.made(fake={moment: {"set_port_forwards": 2.0}}), forwards=[Forward("tcp", 20999, 80)])
    forward = host.send(host.command(Kind.PORT_FORWARD_CREATE, vm, forward_id="fwd-1"))
    if moment == "slow":
        host.seen(forward, "begun")
    else:
        until(lambda: host.effects(vm, "set_port_forwards"))
    host.kill()
    host.start()
    assert host.end(forward).phase == "succeeded"
    assert host.effects(vm, "set_port_forwards") == 1


def _needs(verb: str) -> int:
    return {"start": 1, "delete": 2, "snapshot_create": 2, "snapshot_restore": 3, "resize": 2}[verb]


@pytest.mark.parametrize("moment", ["stop", "start"])
def test_killed_within_a_restart_no_step_is_done_again(host: Host, moment: str) -> None:
    host.start()
    vm = host.made()
    host.do(Kind.START, vm)
    host.told(linger={moment: 2.0})
    already = host.effects(vm, moment)
    restart = host.send(host.command(Kind.RESTART, vm, force=True))
    until(lambda: host.effects(vm, moment) > already)
    host.kill()
    host.told()
    host.start()
    report = host.end(restart)
    assert (report.phase, report.observation.state) == ("succeeded", Observed.RUNNING)
    assert (host.effects(vm, "stop"), host.effects(vm, "start")) == (1, 2)


def test_delivered_again_after_a_death_it_runs_once(host: Host) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 1.0}})
    start = host.command(Kind.START, vm)
    host.send(start)
    host.seen(start.operation_id, "progress")
    host.kill()
    host.send(start, attempt=2)
    host.start()
    assert host.end(start.operation_id).phase == "succeeded"
    host.do(Kind.STOP, vm)
    assert host.effects(vm, "start") == 1


def test_a_delete_wins_over_what_was_left_of_a_dead_agent(host: Host) -> None:
    host.start()
    vm = host.vm(fake={"slow": {"create": 20.0}})
    create = host.send(host.command(Kind.CREATE, vm))
    host.seen(create, "progress")
    host.kill()
    host.start()
    host.seen(create, "progress")
    assert host.do(Kind.DELETE, vm).phase == "succeeded"
    assert host.end(create).phase == "cancelled"
    assert host.effects(vm, "create") == 0


def test_a_report_journaled_and_not_sent_is_sent_by_the_next_agent(host: Host, redis: Redis) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 1.0}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    redis.kill()
    until(lambda: host.journaled(start) == "finished")
    host.kill()
    redis.start()
    host.redis.flushall()
    host.start()
    assert host.end(start).phase == "succeeded"
    assert host.effects(vm, "start") == 1


def test_redis_restarts_while_a_command_runs(host: Host, redis: Redis) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 2.0}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    redis.kill()
    until(lambda: "trying again" in host.log())
    redis.start()
    host.admit()
    assert host.end(start).phase == "succeeded"
    assert host.do(Kind.STOP, vm, force=True).phase == "succeeded"
    assert (host.effects(vm, "start"), host.effects(vm, "stop")) == (1, 1)
    assert host.alive()
    assert not re.search("unexpected error|EMERGENCY DUMP", host.log())


def test_redis_forgets_everything_while_a_command_runs(host: Host) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 2.0}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    host.receive()
    host.inventories.clear()
    host.redis.flushall()
    assert host.end(start).phase == "succeeded"
    assert host.do(Kind.STOP, vm, force=True).phase == "succeeded"
    assert host.effects(vm, "start") == 1
    until(lambda: host.redis.exists(channels.heartbeat(host.name)))
    told = until(host.inventory)
    assert [each.vm_id for each in told.vms] == [vm.id]


def test_an_agent_that_starts_before_redis_waits_for_it(host: Host, redis: Redis) -> None:
    redis.kill()
    host.start(wait=False)
    until(lambda: "edis" in host.log())
    redis.start()
    host.admit()
    assert host.made()
    assert host.alive()
