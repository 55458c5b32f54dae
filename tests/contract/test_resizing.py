"""Laws of every driver that resizes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.resizing import SizeChange
from agent.system import cgroups
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Applied, Observed

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

LIVE, LATER = Applied.LIVE, Applied.AT_NEXT_START


@pytest.fixture(autouse=True)
def resizes(bench: Bench) -> None:
    """Not every driver does."""
    if "resizing" not in bench.new_driver().capabilities:
        pytest.skip(f"the driver '{bench.name}' does not resize VMs")


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def test_a_stopped_vm_has_its_new_size_when_it_starts(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need_boot()
    large = replace(vm, vcpus=2, memory_mb=320)
    assert driver.resize(large, silent, bench.quick) == SizeChange(LATER, LATER, LATER, LATER)
    assert driver.resize(large, silent, bench.quick) == SizeChange(LATER, LATER, LATER, LATER)
    seen = driver.start(large, silent, bench.quick)
    assert (seen.facts.vcpus, seen.facts.memory_mb) == (2, 320)
    assert driver.resize(large, silent, bench.quick) == SizeChange(LIVE, LIVE, LIVE, LIVE)
    stopped = driver.stop(large, 0.0, silent, bench.quick)
    assert stopped.facts.vcpus is None


def test_a_running_vm_takes_more_vcpus_at_once_and_goes_back_with_its_memory(
    bench: Bench, driver: EveryVerb, vm: VmSpec
) -> None:
    bench.need_boot()
    if bench.name == "virtualbox":
        pytest.skip("VirtualBox takes vCPUs while a VM is off")
    if bench.name != "fake":
        bench.need_guest()  # who takes what is plugged in
    driver.start(vm, silent, bench.quick)
    large = replace(vm, vcpus=2, memory_mb=320)
    driver.snapshot_create(vm, "small", True, silent, bench.quick)
    assert driver.resize(large, silent, bench.quick) == SizeChange(LIVE, LATER, LIVE, LIVE)
    assert facts(driver, vm) == (2, 256)
    assert bench.new_driver().resize(large, silent, bench.quick) == SizeChange(LIVE, LATER, LIVE, LIVE)
    assert driver.resize(vm, silent, bench.quick).vcpus is LATER
    assert facts(driver, vm) == (2, 256)
    driver.snapshot_create(large, "large", True, silent, bench.quick)
    driver.snapshot_restore(large, "small", None, silent, bench.quick)
    assert facts(driver, vm) == (1, 256)
    driver.snapshot_restore(vm, "large", None, silent, bench.quick)
    assert facts(driver, vm) == (2, 256)
    if bench.has_guest and bench.name != "fake":
        assert bench.run(vm, "nproc").stdout == b"2\n"
        assert b"MemTotal" in bench.run(vm, "grep MemTotal /proc/meminfo").stdout
    assert driver.snapshot_restore(large, "small", True, silent, bench.quick).state is Observed.RUNNING
    driver.stop(large, 0.0, silent, bench.quick)
    driver.start(large, silent, bench.quick)
    assert facts(driver, vm) == (2, 320)
    if bench.has_guest and bench.name != "fake":
        kilobytes = int(bench.run(vm, "awk '/MemTotal/ {print $2}' /proc/meminfo").stdout)
        assert 256 * 1024 < kilobytes < 320 * 1024
        assert bench.run(vm, "nproc").stdout == b"2\n"


def test_a_limit_that_the_host_cannot_hold_is_refused_before_anything_changes(
    bench: Bench, driver: EveryVerb, running: VmSpec
) -> None:
    if bench.name in ("fake", "virtualbox") or _has_groups():
        pytest.skip("this driver, or this host, can hold limits: tests/agent/test_cgroups.py")
    before = driver.observe(running.id)
    with pytest.raises(Unsupported) as failure:
        driver.resize(replace(running, vcpus=2, cpu_limit_percent=50), silent, bench.quick)
    assert "version" in failure.value.message
    assert driver.observe(running.id) == before


def test_a_vm_that_is_not_there_can_not_be_resized(bench: Bench, driver: EveryVerb) -> None:
    with pytest.raises(DriverFailure) as failure:
        driver.resize(bench.spec(), silent, bench.quick)
    assert failure.value.code == "vm_not_found"


def facts(driver: EveryVerb, vm: VmSpec) -> tuple[int, int]:
    """What it runs with."""
    seen = driver.observe(vm.id).facts
    assert seen.vcpus
    assert seen.memory_mb
    return seen.vcpus, seen.memory_mb


def _has_groups() -> bool:
    try:
        return cgroups.find(None, VmSpec("x", "x", "x", "linux", 1, 256, 1, cpu_limit_percent=50)) is not None
    except Unsupported:
        return False
