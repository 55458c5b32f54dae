"""How an agent starts and ends."""

from __future__ import annotations

import os
import subprocess
import sys

from core.contract.states import Kind
from tests.agent.hosts import Host
from tests.support.waiting import until


def test_sigterm_lets_a_command_finish(host: Host) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 1.5}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    assert host.terminate() == 0
    assert host.end(start, seconds=1).phase == "succeeded"


def test_sigterm_lets_what_was_taken_up_again_finish(host: Host) -> None:
    host.start()
    vm = host.made(fake={"slow": {"start": 1.5}})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    host.kill()
    host.redis.flushall()
    host.start()
    assert host.terminate() == 0
    assert host.end(start, seconds=1).phase == "succeeded"


def test_sigterm_leaves_what_takes_too_long_to_the_next_start(host: Host) -> None:
    host.start("--finish-seconds", "1")
    vm = host.made()
    host.told(slow={"start": 60.0})
    start = host.send(host.command(Kind.START, vm))
    host.seen(start, "begun")
    assert host.terminate() == 0
    assert host.journaled(start) == "begun"
    host.told()
    host.start()
    assert host.end(start).phase == "succeeded"


def test_sigterm_at_once_after_the_start(host: Host) -> None:
    host.start()
    for _ in range(3):
        assert host.terminate() == 0
        host.start()


def test_sigterm_takes_in_nothing_more(host: Host) -> None:
    host.start("--concurrency", "1")
    vms = [host.made(fake={"slow": {"start": 1.0}}) for _ in range(2)]
    first, second = [host.send(host.command(Kind.START, vm)) for vm in vms]
    host.seen(first, "begun")
    assert host.terminate() == 0
    assert [host.effects(vm, "start") for vm in vms] == [1, 0]
    host.start()
    assert {host.end(first).phase, host.end(second).phase} == {"succeeded"}


def test_sigterm_ends_an_agent_that_has_no_redis(host: Host) -> None:
    host.url = "redis://127.0.0.1:1/0"
    host.start("--finish-seconds", "2", wait=False)
    until(lambda: "edis" in host.log())
    assert host.terminate() == 0


def test_a_second_agent_of_the_same_name_refuses(host: Host) -> None:
    host.start()
    done = _run(host, "--name", host.name)
    assert done.returncode == 1
    assert f"another agent already runs as '{host.name}'" in done.stderr


def test_without_redis_url_it_says_so(host: Host) -> None:
    host.url = ""
    done = _run(host, "--name", "host-x")
    assert done.returncode == 1
    assert "REDIS_URL is not set" in done.stderr


def test_a_name_that_is_no_name_is_refused(host: Host) -> None:
    done = _run(host, "--name", "../host")
    assert done.returncode == 2
    assert "lower-case" in done.stderr


def test_the_fake_driver_is_for_those_who_ask_for_it(host: Host) -> None:
    done = _run(host, "--name", "host-x", CORRAL_FAKE="")
    assert done.returncode == 1
    assert "set CORRAL_FAKE=1" in done.stderr
    assert "expected 1 or 0" in _run(host, "--name", "host-x", CORRAL_FAKE="yes").stderr


def _run(host: Host, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **more, "CORRAL_HOME": str(host.home), "REDIS_URL": host.url}
    command = [sys.executable, "-m", "agent", "--hypervisor", "fake", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
