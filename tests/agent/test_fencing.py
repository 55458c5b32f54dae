"""A host that was fenced: nothing runs there, and nothing is gone on with, before it may be a host again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.fake import FakeDriver
from core.contract import channels
from core.contract.hosts import Fence
from core.contract.messages import encode
from core.contract.states import Kind
from core.services.identities import accounts
from tests.agent.hosts import Host
from tests.support.accounts import SECRET
from tests.support.waiting import until


def fence(host: Host, number: int = 1, *, closed: bool = True) -> None:
    """As the control plane does."""
    host.redis.set(channels.fence(host.name), encode(Fence(number, closed)))
    accounts.grant(host.redis, {host.name: accounts.HostAccount(accounts.digest(SECRET), closed)})


def state(host: Host, vm_id: str) -> str:
    """Of a VM, as a driver sees it that was never told anything."""
    return str(FakeDriver(DriverFolders(host.folder / "vms", host.folder)).observe(vm_id).state)


def silent(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may open the account by itself."""
    monkeypatch.setattr(host, "admit", lambda: None)


def test_an_agent_that_runs_powers_off_and_waits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    vm, off = host.made(), host.made()
    host.do(Kind.START, vm)
    fence(host)
    until(lambda: not host.alive())
    assert (state(host, vm.id), state(host, off.id)) == ("stopped", "stopped")
    silent(host, monkeypatch)
    host.redis.delete(channels.heartbeat(host.name))
    seen = host.log().count("was fenced by an administrator")
    host.start(wait=False)
    until(lambda: host.log().count("was fenced by an administrator") > seen)
    host.send(host.command(Kind.START, vm))
    fence(host, closed=False)
    host.redis.delete(channels.command_queue(host.name))
    until(lambda: host.redis.exists(channels.heartbeat(host.name)))
    assert host.alive()
    assert state(host, vm.id) == "stopped"
    assert host.do(Kind.START, vm).phase == "succeeded"


def test_what_was_begun_is_given_up(host: Host) -> None:
    """The host was fenced, and made one again, while its agent was dead."""
    host.start()
    vm, runs = host.made(fake={"slow": {"start": 3.0}}), host.made()
    host.do(Kind.START, runs)
    begun = host.send(host.command(Kind.START, vm))
    host.seen(begun, "begun")
    host.kill()
    assert state(host, runs.id) == "running"
    fence(host, closed=False)
    host.start()
    report = host.end(begun)
    assert (report.phase, report.failure.code) == ("failed", "host_fenced")
    assert (state(host, vm.id), state(host, runs.id)) == ("stopped", "stopped")
    assert host.effects(vm, "start") == 0
    assert host.do(Kind.START, vm).phase == "succeeded"


def test_a_fence_is_obeyed_once(host: Host) -> None:
    host.start()
    vm = host.made()
    host.kill()
    fence(host, closed=False)
    host.start()
    assert host.do(Kind.START, vm).phase == "succeeded"
    host.kill()
    host.start()
    assert state(host, vm.id) == "running"
    host.kill()
    fence(host, 2, closed=False)
    host.start()
    assert state(host, vm.id) == "stopped"


def test_without_redis_nothing_is_gone_on_with(host: Host) -> None:
    """Nobody can say whether the host was fenced meanwhile."""
    host.told(slow={"start": 3.0})
    host.start()
    vm = host.made()
    begun = host.send(host.command(Kind.START, vm))
    host.seen(begun, "begun")
    host.kill()
    url, host.url = host.url, "redis://127.0.0.1:1/0"
    host.start(wait=False)
    until(lambda: "waiting for Redis" in host.log())
    host.kill()
    assert host.effects(vm, "start") == 0
    host.url = url
    host.told()
    host.start()
    assert host.end(begun).phase == "succeeded"
    assert host.effects(vm, "start") == 1


def test_a_vm_that_was_elsewhere_may_come_back(host: Host) -> None:
    """And what is still said of it as it was is not done to it as it is."""
    host.start()
    vm = host.made()
    host.do(Kind.DELETE, vm)
    assert host.do(Kind.CREATE, vm).failure.code == "vm_not_found"
    back = replace(vm, home=2)
    assert host.do(Kind.CREATE, back).phase == "succeeded"
    assert host.do(Kind.DELETE, replace(vm, home=1)).phase == "succeeded"
    assert state(host, vm.id) == "stopped"
    assert host.do(Kind.DELETE, back).phase == "succeeded"
    assert state(host, vm.id) == "absent"
