"""Laws of every driver with snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def without_snapshots(bench: Bench, shared: VmSpec) -> Iterator[None]:
    """Each test begins with none."""
    yield
    driver = bench.new_driver()
    for snapshot_id in driver.snapshot_ids(shared.id):
        driver.snapshot_delete(shared, snapshot_id, silent, bench.quick)


def test_a_snapshot_with_memory_goes_on_where_it_was(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    write(bench, running, "before")
    taken = driver.snapshot_create(running, "one", True, silent, bench.quick)
    assert taken.include_memory
    assert taken.size_bytes > 0
    assert taken.checksum.startswith("sha256:")
    assert driver.observe(running.id).state is Observed.RUNNING
    write(bench, running, "after")
    restores = driver.observe(running.id).facts.restores
    seen = driver.snapshot_restore(running, "one", None, silent, bench.quick)
    assert seen.state is Observed.RUNNING
    assert seen.facts.restores == (restores or 0) + 1
    holds(bench, running, "before")


def test_taking_a_snapshot_twice_is_taking_it_once(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    taken = driver.snapshot_create(running, "one", False, silent, bench.quick)
    write(bench, running, "later")
    assert bench.new_driver().snapshot_create(running, "one", False, silent, bench.quick) == taken
    assert driver.snapshot_ids(running.id) == ["one"]


def test_of_a_chain_any_can_be_restored_and_deleted_in_any_order(
    bench: Bench, driver: EveryVerb, running: VmSpec
) -> None:
    for name in ("one", "two", "three"):
        write(bench, running, name)
        driver.snapshot_create(running, name, False, silent, bench.quick)
    driver.snapshot_delete(running, "two", silent, bench.quick)
    driver.snapshot_delete(running, "two", silent, bench.quick)
    assert driver.snapshot_ids(running.id) == ["one", "three"]
    assert driver.snapshot_restore(running, "one", True, silent, bench.quick).state is Observed.RUNNING
    holds(bench, running, "one")
    driver.snapshot_delete(running, "one", silent, bench.quick)
    assert driver.snapshot_restore(running, "three", True, silent, bench.quick).state is Observed.RUNNING
    holds(bench, running, "three")


def test_of_a_chain_of_a_vm_that_is_off_too(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    for name in ("one", "two", "three"):
        taken = driver.snapshot_create(vm, name, True, silent, bench.quick)
        assert not taken.include_memory
        assert bench.new_driver().snapshot_create(vm, name, True, silent, bench.quick) == taken
    driver.snapshot_delete(vm, "two", silent, bench.quick)
    driver.snapshot_delete(vm, "two", silent, bench.quick)
    assert driver.snapshot_restore(vm, "one", False, silent, bench.quick).state is Observed.STOPPED
    driver.snapshot_delete(vm, "one", silent, bench.quick)
    assert driver.snapshot_ids(vm.id) == ["three"]
    assert driver.snapshot_restore(vm, "three", None, silent, bench.quick).facts.restores == 2
    driver.snapshot_create(vm, "one", False, silent, bench.quick)
    driver.snapshot_delete(vm, "three", silent, bench.quick)
    assert driver.snapshot_ids(vm.id) == ["one"]
    with pytest.raises(DriverFailure) as failure:
        driver.snapshot_restore(vm, "three", None, silent, bench.quick)
    assert failure.value.code == "snapshot_not_found"


def test_a_restore_starts_or_not_as_it_is_told(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    bench.need_boot()
    driver.snapshot_create(vm, "off", True, silent, bench.quick)
    assert driver.snapshot_restore(vm, "off", None, silent, bench.quick).state is Observed.STOPPED
    assert driver.snapshot_restore(vm, "off", True, silent, bench.quick).state is Observed.RUNNING
    assert driver.snapshot_restore(vm, "off", False, silent, bench.quick).state is Observed.STOPPED
    assert not driver.snapshot_create(vm, "off", True, silent, bench.quick).include_memory


def test_a_paused_vm_is_paused_again(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    driver.pause(running, bench.quick)
    driver.snapshot_create(running, "one", True, silent, bench.quick)
    driver.snapshot_create(running, "two", True, silent, bench.quick)
    assert driver.observe(running.id).state is Observed.PAUSED
    driver.resume(running, bench.quick)
    assert driver.snapshot_restore(running, "two", None, silent, bench.quick).state is Observed.PAUSED
    assert driver.resume(running, bench.quick).state is Observed.RUNNING


def test_a_snapshot_that_is_not_there_leaves_the_vm_alone(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    before = driver.observe(running.id)
    with pytest.raises(DriverFailure) as failure:
        driver.snapshot_restore(running, "none", None, silent, bench.quick)
    assert failure.value.code == "snapshot_not_found"
    assert driver.observe(running.id) == before


def write(bench: Bench, vm: VmSpec, word: str) -> None:
    """Leaves a word in the guest, where the driver talks to it."""
    if bench.has_guest:
        assert bench.run(vm, f"echo {word} > /root/word && sync; true").exit_code == 0


def holds(bench: Bench, vm: VmSpec, word: str) -> None:
    """The guest holds that word, where the driver talks to it."""
    if bench.has_guest:
        assert bench.run(vm, "cat /root/word").stdout.decode().strip() == word
