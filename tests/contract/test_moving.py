"""Laws of every driver whose VMs can move: what one host tells of a VM is the same VM on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.moves import MovedFile
from core.contract.states import Observed
from tests.contract.test_snapshots import holds, silent, write

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb


@pytest.fixture
def other(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """Another host, with the same images."""
    bench.need("moves")
    made = replace(bench, place=DriverFolders(tmp_path / "vms", bench.place.images))
    yield made
    made.clear()


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[[EveryVerb, str, MovedFile], Path]:
    """What is sent of a file, as it arrives: half of it, then the rest."""

    def fetched(driver: EveryVerb, vm_id: str, file: MovedFile) -> Path:
        path = tmp_path / "fetched" / file.sha256
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            half, whole = file.sent_bytes // 2, b"".join(driver.moved_file(vm_id, file, 0))
            path.write_bytes(whole[:half] + b"".join(driver.moved_file(vm_id, file, half)))
            assert path.read_bytes() == whole
        return path

    return fetched


Fetch = Callable[["EveryVerb", str, MovedFile], Path]


def moved(bench: Bench, other: Bench, vm: VmSpec, fetch: Fetch) -> VmSpec:
    """The VM on the other host."""
    here, there = bench.new_driver(), replace(vm, home=vm.home + 1)
    files = here.moved_files(vm, silent, bench.quick)
    seen = other.new_driver().take_in(there, files, lambda file: fetch(here, vm.id, file), silent, bench.quick)
    assert seen.state is Observed.STOPPED
    for file in files:
        fetch(here, vm.id, file).unlink()
    return there


def test_a_vm_is_there_what_it_was_here(bench: Bench, other: Bench, running: VmSpec, fetch: Fetch) -> None:
    write(bench, running, "before")
    bench.new_driver().snapshot_create(running, "one", True, silent, bench.quick)
    write(bench, running, "after")
    bench.new_driver().stop(running, 30, silent, bench.quick)
    there, driver = moved(bench, other, running, fetch), other.new_driver()
    assert driver.snapshot_ids(running.id) == ["one"]
    assert driver.start(there, silent, bench.quick).state is Observed.RUNNING
    holds(other, there, "after")
    assert driver.snapshot_restore(there, "one", None, silent, bench.quick).state is Observed.RUNNING
    holds(other, there, "before")
    driver.snapshot_delete(there, "one", silent, bench.quick)
    assert bench.new_driver().observe(running.id).state is Observed.STOPPED
    assert bench.new_driver().snapshot_ids(running.id) == ["one"]
    bench.new_driver().snapshot_delete(running, "one", silent, bench.quick)


def test_one_that_is_off_takes_no_more_there_and_is_taken_in_once(
    bench: Bench, other: Bench, vm: VmSpec, fetch: Fetch
) -> None:
    files = bench.new_driver().moved_files(vm, silent, bench.quick)
    assert sum(file.sent_bytes for file in files) < vm.disk_gb << 30
    there, driver = moved(bench, other, vm, fetch), other.new_driver()
    for file in files:
        placed = other.place.vms / vm.id / file.name
        assert placed.stat().st_size == file.size_bytes or file.name.endswith(".json")
        assert placed.stat().st_blocks * 512 <= file.sent_bytes + (1 << 20)
    assert driver.remembered(vm.id) == there
    again = driver.take_in(there, [], lambda file: Path("nowhere"), silent, bench.quick)
    assert again.state is Observed.STOPPED
    assert driver.delete(there, bench.quick).state is Observed.ABSENT
    assert bench.new_driver().observe(vm.id).state is Observed.STOPPED


def test_one_that_runs_stays(bench: Bench, other: Bench, running: VmSpec) -> None:
    with pytest.raises(DriverFailure) as failure:
        bench.new_driver().moved_files(running, silent, bench.quick)
    assert failure.value.code == "invalid_state"
    assert bench.new_driver().observe(running.id).state is Observed.RUNNING


@pytest.mark.parametrize("name", ["../stray", "layers/../../stray", "/stray"])
def test_nothing_leads_out_of_the_vms_folder(
    bench: Bench, other: Bench, vm: VmSpec, fetch: Fetch, name: str, tmp_path: Path
) -> None:
    here, there = bench.new_driver(), replace(vm, home=1)
    files = here.moved_files(vm, silent, bench.quick)
    stray = replace(files[0], name=name)
    with pytest.raises(DriverFailure) as failure:
        other.new_driver().take_in(there, [stray, *files], lambda file: fetch(here, vm.id, file), silent, bench.quick)
    assert failure.value.code == "state_damaged"
    assert other.new_driver().observe(vm.id).state is Observed.ABSENT
    assert not list(tmp_path.rglob("stray"))
    assert not Path("/stray").exists()


def test_files_without_a_state_are_no_vm(bench: Bench, other: Bench, vm: VmSpec, fetch: Fetch) -> None:
    here = bench.new_driver()
    files = [file for file in here.moved_files(vm, silent, bench.quick) if not file.name.endswith(".json")]
    with pytest.raises(DriverFailure) as failure:
        other.new_driver().take_in(vm, files, lambda file: fetch(here, vm.id, file), silent, bench.quick)
    assert failure.value.code == "state_damaged"
    assert other.new_driver().observe(vm.id).state is Observed.ABSENT
