"""Laws of every driver that measures its VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.drivers.capabilities.metrics import MetricsCapability, Sample
from core.contract.messages import VmSpec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

NETWORK = {"bytes_in", "bytes_out", "packets_in", "packets_out", "source"}


def sample_of(driver: EveryVerb, vm: VmSpec) -> Sample:
    (found,) = [each for each in driver.sample_all() if each.vm_id == vm.id]
    return found


def test_a_driver_measures_as_its_capabilities_promise(driver: EveryVerb) -> None:
    assert isinstance(driver, MetricsCapability) == ("metrics" in driver.capabilities)


def test_a_vm_at_rest_uses_nothing_but_its_disk(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need("metrics")
    found = driver.measure(vm, 10.0)
    assert (found.cpu_percent, found.sample.cpu_seconds, found.sample.memory_bytes) == (0.0, None, 0)
    assert found.sample.disk_bytes > 0
    assert (found.network, found.disk_io, found.guest) == (None, None, None)
    assert "not run" in found.unknown["guest"]
    assert sample_of(driver, vm) == found.sample


def test_a_running_vm_is_measured_inside_and_outside(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    bench.need_guest()
    # A guest that gives its adapter another name as it boots shows it without counters for that moment.
    until(lambda: driver.measure(running, 20.0).network, why=lambda: driver.measure(running, 20.0).unknown)
    bench.run(running, "echo > /tmp/measured; sync")
    found = driver.measure(running, 20.0)
    assert found.unknown == {}
    assert 0 <= found.cpu_percent <= 100
    assert found.sample.cpu_seconds is not None
    assert found.sample.cpu_seconds > 0
    assert 2**20 < found.sample.memory_bytes <= running.memory_mb * 2**20
    assert found.network is not None
    assert set(found.network) == NETWORK
    assert min(value for name, value in found.network.items() if name != "source") >= 0
    assert found.disk_io is not None
    assert found.disk_io["writes"] > 0
    assert found.guest is not None
    assert 0 <= found.guest["cpu"]["usage_percent"] <= 100
    memory = found.guest["memory"]
    assert 0 < memory["used_mb"] < memory["total_mb"] <= running.memory_mb
    assert "/" in {each["mountpoint"] for each in found.guest["file_systems"]}


def test_processor_time_grows_with_work(driver: EveryVerb, running: VmSpec) -> None:
    before = sample_of(driver, running)
    after: Sample = until(lambda: (now := sample_of(driver, running)).age_seconds > before.age_seconds and now)
    assert after.cpu_seconds is not None
    assert before.cpu_seconds is not None
    assert after.cpu_seconds >= before.cpu_seconds
    assert 0 <= after.cpu_percent_since(before, after.age_seconds - before.age_seconds) <= 100


def test_the_first_look_tells_of_the_time_from_the_start(driver: EveryVerb, running: VmSpec) -> None:
    first = sample_of(driver, running)
    assert first.age_seconds > 0
    assert 0 < first.cpu_percent_since(None, 0.0) <= 100


def test_a_process_of_its_own_starts_to_count_again() -> None:
    before = Sample("vm", 2, 90.0, 0, 0, 100.0)
    assert Sample("vm", 2, 1.0, 0, 0, 2.0).cpu_percent_since(before, 5.0) == 25.0
    assert Sample("vm", 2, 95.0, 0, 0, 105.0).cpu_percent_since(before, 5.0) == 50.0
    assert Sample("vm", 2, None, 0, 0).cpu_percent_since(before, 5.0) == 0.0


def test_a_paused_guest_is_not_waited_for(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    driver.pause(running, bench.quick)
    found = driver.measure(running, 3600.0)
    driver.resume(running, bench.quick)
    assert found.guest is None
    assert "paused" in found.unknown["guest"]
    assert found.sample.memory_bytes > 0
