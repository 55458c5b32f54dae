"""Layers that nothing goes back to are merged, and no byte of any snapshot or disk is lost over it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.local.merging import DECIDED, SPARE_LAYERS
from agent.drivers.qemu import QemuDriver
from core.contract.messages import VmSpec, encode
from tests.qemu.conftest import LONG, silent, spec

MANY = SPARE_LAYERS + 5
KEPT = ("s3", f"s{MANY - 2}")


@pytest.fixture
def blank(driver: QemuDriver) -> Iterator[VmSpec]:
    """A VM that is never started, on an empty disk."""
    made = spec(image=None, disk_gb=1)
    driver.create(made, silent, LONG)
    yield made
    driver.delete(made, LONG)


def test_chains_stay_short_and_every_snapshot_reads_as_it_did(
    driver: QemuDriver, place: DriverFolders, blank: VmSpec
) -> None:
    take_many(driver, place, blank)
    layers = place.vms / blank.id / "layers"
    assert len(list(layers.iterdir())) == MANY + 1
    before = delete_most(driver, blank)
    others = driver.snapshot_delete(blank, "none", silent, LONG)
    # The two that are kept, what lies over them, the disk, and what is not worth a merge yet.
    assert len(list(layers.iterdir())) <= len(KEPT) + 2 + SPARE_LAYERS
    assert set(others) == set(KEPT)
    assert others[KEPT[1]] != before
    check(driver, place, blank)


@pytest.mark.parametrize(
    "moment", ["merging layers", "checking the files", "putting the merged layer in place", "after the rename"]
)
def test_an_agent_killed_while_it_merges(driver: QemuDriver, place: DriverFolders, blank: VmSpec, moment: str) -> None:
    take_many(driver, place, blank)
    *early, last = doomed()
    for name in early[:SPARE_LAYERS]:
        driver.snapshot_delete(blank, name, silent, LONG)
    agent = f"""
import os, signal
from pathlib import Path
from agent.drivers.base import DriverFolders
from agent.drivers.local import records
from agent.drivers.qemu import QemuDriver
from core.contract.messages import VmSpec, decode
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def progress(step, percent):
    if step == {moment!r}:
        die()
if {moment!r} == "after the rename":
    records.replace_files = die
driver = QemuDriver(DriverFolders(Path({str(place.vms)!r}), Path({str(place.images)!r})))
for name in {[*early[SPARE_LAYERS:], last]!r}:
    driver.snapshot_delete(decode(VmSpec, {encode(blank)!r}), name, progress, 100.0)
"""
    done = subprocess.run([sys.executable, "-c", agent], check=False, timeout=LONG)
    assert done.returncode == -signal.SIGKILL
    assert (place.vms / blank.id / DECIDED).exists() == (
        moment in {"putting the merged layer in place", "after the rename"}
    )
    check(driver, place, blank)
    for name in driver.snapshot_ids(blank.id):
        driver.snapshot_delete(blank, name, silent, LONG)
    assert not (place.vms / blank.id / DECIDED).exists()
    assert not list((place.vms / blank.id / "layers").glob("*.merged"))


def test_a_running_guest_goes_on_and_finds_its_disk_again(driver: QemuDriver, place: DriverFolders, vm: VmSpec) -> None:
    def run(command: str) -> bytes:
        return driver.execute(vm, GuestExecRequest(command, 30.0)).stdout

    for number in range(SPARE_LAYERS):
        driver.snapshot_create(vm, f"off{number}", False, silent, LONG)
    driver.start(vm, silent, LONG)
    for word in ("one", "two"):
        run(f"echo {word} >/root/{word} && sync")
        driver.snapshot_create(vm, word, False, silent, LONG)
    layers = place.vms / vm.id / "layers"
    before = len(list(layers.iterdir()))
    for name in driver.snapshot_ids(vm.id):
        driver.snapshot_delete(vm, name, silent, LONG)
    assert len(list(layers.iterdir())) < before - SPARE_LAYERS
    everything = "cat /root/one /root/two"
    assert run(f"echo 3 >/proc/sys/vm/drop_caches; {everything}; echo more >/root/more; sync") == b"one\ntwo\n"
    driver.stop(vm, 0.0, silent, LONG)
    driver.start(vm, silent, LONG)
    assert run(f"{everything} /root/more") == b"one\ntwo\nmore\n"


def doomed() -> list[str]:
    return [f"s{number}" for number in range(MANY) if f"s{number}" not in KEPT]


def take_many(driver: QemuDriver, place: DriverFolders, vm: VmSpec) -> None:
    """Snapshot n has a cluster of n+1 at place n, and one at a place that all of them write to."""
    for number in range(MANY):
        top = disk(place, vm)
        io(top, f"write -P {number + 1} {number}M 64k", f"write -P {number + 1} 100M 64k")
        driver.snapshot_create(vm, f"s{number}", False, silent, LONG)


def delete_most(driver: QemuDriver, vm: VmSpec) -> object:
    """Returns what the later of those that are kept was before."""
    before = driver.snapshot_create(vm, KEPT[1], False, silent, LONG)
    for name in doomed():
        driver.snapshot_delete(vm, name, silent, LONG)
    return before


def check(driver: QemuDriver, place: DriverFolders, vm: VmSpec) -> None:
    """The disk and the snapshots that were kept read as they should, and are whole by their sums."""
    holds(disk(place, vm), MANY)
    for name in KEPT:
        driver.snapshot_restore(replace(vm), name, False, silent, LONG)
        holds(disk(place, vm), int(name[1:]) + 1)


def holds(layer: Path, count: int) -> None:
    """Clusters of so many snapshots, and zeros in the places of the others."""
    reads = [f"read -P {number + 1 if number < count else 0} {number}M 64k" for number in range(MANY)]
    io(layer, *reads, f"read -P {count} 100M 64k")


def disk(place: DriverFolders, vm: VmSpec) -> Path:
    state = QemuDriver(place).folder(vm.id).state()
    return place.vms / vm.id / "layers" / state.disk


def io(layer: Path, *commands: str) -> None:
    orders = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", "-f", "qcow2", *orders, str(layer)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout, done.stdout
