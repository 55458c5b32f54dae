"""What an agent tells unasked of VMs that end by themselves, long before it would look."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from cli.fleet.redis import Redis
from core.contract.messages import ImageRef, VmSpec
from core.contract.states import Kind, Observed
from tests import doubles
from tests.agent.hosts import Host
from tests.cloud_hypervisor.conftest import IMAGE, LONG
from tests.support.waiting import until

TIMES = 5  # a look might happen to come just then, and the machine might be busy
SOON_SECONDS = 0.7  # looks are 2 s apart


@pytest.fixture
def host(tmp_path: Path, redis: Redis, double: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """With an agent, on the double."""
    store = doubles.store(tmp_path / "images", IMAGE)
    monkeypatch.setenv("CORRAL_IMAGES", str(store))
    made = Host(tmp_path, redis.url)
    made.redis.flushall()
    made.start("--hypervisor", "cloud-hypervisor")
    yield made
    if made.alive():
        made.kill()
    made.redis.close()


@pytest.fixture
def vm(host: Host) -> Iterator[VmSpec]:
    made = replace(host.vm(), hypervisor="cloud-hypervisor", image=ImageRef(IMAGE), disk_gb=4)
    assert host.do(Kind.CREATE, made).phase == "succeeded"
    yield made
    assert host.do(Kind.DELETE, made).phase == "succeeded"


def seconds_until_told(host: Host, vm: VmSpec, end: str) -> tuple[Observed, float]:
    """The state, and how long it took."""
    started = host.do(Kind.START, vm)
    assert started.phase == "succeeded", started
    host.receive()
    host.inventories.clear()
    began = time.monotonic()
    if end == "crash":
        os.kill(started.observation.pid, signal.SIGKILL)
    else:
        CloudHypervisorApi(host.folder / "vms" / vm.id, LONG).put("vm.power-button")
    told = until(host.inventory)
    return told.vms[0].state, time.monotonic() - began


@pytest.mark.parametrize(("end", "state"), [("crash", Observed.CRASHED), ("power off", Observed.STOPPED)])
def test_an_end_is_told_at_once(host: Host, vm: VmSpec, end: str, state: Observed) -> None:
    found = [seconds_until_told(host, vm, end) for _ in range(TIMES)]
    assert {each for each, _ in found} == {state}
    *_, slow, _ = sorted(seconds for _, seconds in found)
    assert slow < SOON_SECONDS
