"""Laws of every driver: made, switched on, off and away, any number of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import Cancelled, Driver
from agent.drivers.capabilities.forwards import PortForwardsCapability
from agent.drivers.capabilities.guest import GuestCapability, GuestNetworkCapability
from agent.drivers.capabilities.hardware import AdaptersCapability, DisksCapability
from agent.drivers.capabilities.resizing import ResizingCapability
from agent.drivers.capabilities.snapshots import SnapshotsCapability
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def test_a_driver_has_the_verbs_that_its_capabilities_promise(bench: Bench, driver: EveryVerb) -> None:
    health = driver.probe()
    assert health.healthy == bench.boots, health.problem
    assert set(health.capabilities) == driver.capabilities
    assert isinstance(driver, Driver)
    assert isinstance(driver, SnapshotsCapability) == ("snapshots" in driver.capabilities)
    assert isinstance(driver, ResizingCapability) == ("resizing" in driver.capabilities)
    assert isinstance(driver, PortForwardsCapability) == ("port_forwards" in driver.capabilities)
    assert isinstance(driver, GuestNetworkCapability) == ("guest_network" in driver.capabilities)
    assert isinstance(driver, GuestCapability) == ("guest" in driver.capabilities)
    assert isinstance(driver, DisksCapability) == ("disks" in driver.capabilities)
    assert isinstance(driver, AdaptersCapability) == ("adapters" in driver.capabilities)


def test_create_twice_is_one_stopped_vm(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    assert driver.create(vm, silent, bench.quick).state is Observed.STOPPED
    assert driver.observe(vm.id).state is Observed.STOPPED
    assert [seen.vm_id for seen in driver.observe_all()].count(vm.id) == 1


def test_what_it_was_asked_for_is_remembered(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    driver.create(vm, silent, bench.quick)
    assert driver.remembered(vm.id) == vm
    assert driver.remembered(bench.spec().id) is None


def test_a_vm_that_is_not_there_is_absent_and_can_be_deleted(bench: Bench, driver: EveryVerb) -> None:
    vm = bench.spec()
    assert driver.observe(vm.id).state is Observed.ABSENT
    assert driver.delete(vm, bench.quick).state is Observed.ABSENT
    assert vm.id not in [seen.vm_id for seen in driver.observe_all()]


@pytest.mark.parametrize("verb", ["start", "stop", "pause", "resume", "snapshot_create", "snapshot_restore"])
def test_a_vm_that_is_not_there_is_a_clear_error(bench: Bench, driver: EveryVerb, verb: str) -> None:
    vm = bench.spec()
    doing: dict[str, Callable[[], object]] = {
        "start": lambda: driver.start(vm, silent, 10.0),
        "stop": lambda: driver.stop(vm, 0.0, silent, 10.0),
        "pause": lambda: driver.pause(vm, 10.0),
        "resume": lambda: driver.resume(vm, 10.0),
        "snapshot_create": lambda: driver.snapshot_create(vm, "s", False, silent, 10.0),
        "snapshot_restore": lambda: driver.snapshot_restore(vm, "s", None, silent, 10.0),
    }
    with pytest.raises(DriverFailure):
        doing[verb]()
    assert driver.observe(vm.id).state is Observed.ABSENT


def test_a_half_made_vm_is_absent_and_can_be_finished_or_deleted(bench: Bench, driver: EveryVerb) -> None:
    vm = bench.spec()
    (bench.place.vms / vm.id).mkdir(parents=True)
    assert driver.observe(vm.id).state is Observed.ABSENT
    assert driver.create(vm, silent, bench.quick).state is Observed.STOPPED
    assert driver.delete(vm, bench.quick).state is Observed.ABSENT
    (bench.place.vms / vm.id).mkdir(parents=True)
    driver.delete(vm, bench.quick)
    assert not (bench.place.vms / vm.id).exists()


def test_a_create_that_is_cancelled_leaves_nothing_that_delete_does_not_remove(bench: Bench, driver: EveryVerb) -> None:
    vm = bench.spec()
    with pytest.raises(Cancelled):
        driver.create(vm, _cancel, bench.quick)
    assert driver.observe(vm.id).state is Observed.ABSENT
    driver.delete(vm, bench.quick)
    assert not list(bench.place.vms.glob(f"*{vm.id}*"))


def test_a_start_that_is_cancelled_leaves_the_vm_off(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    with pytest.raises(Cancelled):
        driver.start(vm, _cancel, bench.quick)
    assert driver.observe(vm.id).state is Observed.STOPPED


def test_a_started_vm_runs_for_every_driver_object(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    seen = driver.observe(running.id)
    assert seen.state is Observed.RUNNING
    assert seen.started_at is not None
    assert bench.new_driver().observe(running.id) == seen
    again = driver.start(running, silent, bench.quick)
    assert (again.state, again.started_at, again.pid) == (Observed.RUNNING, seen.started_at, seen.pid)


def test_pause_and_resume_are_idempotent(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    for _ in range(2):
        assert driver.pause(running, bench.quick).state is Observed.PAUSED
        assert driver.observe(running.id).state is Observed.PAUSED
    for _ in range(2):
        assert driver.resume(running, bench.quick).state is Observed.RUNNING


def test_a_paused_vm_is_started_by_going_on(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    driver.pause(running, bench.quick)
    assert driver.start(running, silent, bench.quick).state is Observed.RUNNING
    if bench.has_guest:
        assert bench.run(running, "echo here").stdout == b"here\n"


def test_what_is_off_can_not_be_paused(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    with pytest.raises(DriverFailure) as failure:
        driver.pause(vm, bench.quick)
    assert failure.value.code == "invalid_state"


def test_a_saved_vm_is_off_and_says_so_and_goes_on(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    bench.need("saved_states")
    for _ in range(2):
        seen = driver.save(running, bench.quick)
        assert (seen.state, driver.observe(running.id)) == (Observed.STOPPED, seen)
        assert "saved" in (seen.reason or "")
    seen = driver.start(running, silent, bench.quick)
    assert (seen.state, seen.reason) == (Observed.RUNNING, None)


def test_a_paused_vm_can_be_saved(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    bench.need("saved_states")
    driver.pause(running, bench.quick)
    assert driver.save(running, bench.quick).state is Observed.STOPPED


def test_what_is_off_can_not_be_saved(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need("saved_states")
    with pytest.raises(DriverFailure) as failure:
        driver.save(vm, bench.quick)
    assert failure.value.code == "invalid_state"


def test_what_is_off_can_not_be_used(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need("guest")
    with pytest.raises(DriverFailure) as failure:
        bench.run(vm, "true")
    assert failure.value.code == "vm_not_running"


def test_stop_asks_and_is_idempotent_and_what_was_written_stays(
    bench: Bench, driver: EveryVerb, running: VmSpec
) -> None:
    bench.need_guest()
    bench.run(running, "echo kept > /root/kept && sync")
    for _ in range(2):
        assert driver.stop(running, 40.0, silent, bench.quick).state is Observed.STOPPED
        assert driver.observe(running.id).pid is None
    assert driver.create(running, silent, bench.quick).state is Observed.STOPPED  # once more, and not anew
    driver.start(running, silent, bench.quick)
    assert bench.run(running, "cat /root/kept").stdout == b"kept\n"


def test_delete_leaves_no_trace(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    for _ in range(2):
        assert driver.delete(vm, bench.quick).state is Observed.ABSENT
    assert not list(bench.place.vms.glob(f"*{vm.id}*"))


def test_delete_wins_over_a_running_vm_and_leaves_no_trace(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need_boot()
    driver.start(vm, silent, bench.quick)
    for _ in range(2):
        assert driver.delete(vm, bench.quick).state is Observed.ABSENT
    assert not list(bench.place.vms.glob(f"*{vm.id}*"))


def _cancel(step: str, percent: int | None) -> None:
    raise Cancelled
