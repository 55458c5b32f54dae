"""Snapshots of real machines: whole or refused, and never at the cost of the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import Cancelled, DriverFolders
from agent.drivers.qemu import QemuDriver
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec, encode
from core.contract.states import Observed

if TYPE_CHECKING:
    from tests.qemu.conftest import Run

LONG = 100.0


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def without_snapshots(driver: QemuDriver, shared: VmSpec) -> Iterator[None]:
    """Each test begins with none."""
    yield
    for snapshot_id in driver.snapshot_ids(shared.id):
        driver.snapshot_delete(shared, snapshot_id, silent, LONG)


def test_memory_is_back_and_the_clock_is_right(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    run("mkdir -p /mnt/ram && mount -t tmpfs none /mnt/ram && echo kept >/mnt/ram/word")
    run("date -s @$(($(date +%s) - 3600))")
    driver.snapshot_create(running, "one", True, silent, LONG)
    run("rm /mnt/ram/word")
    driver.snapshot_restore(running, "one", None, silent, LONG)
    assert abs(int(run("date +%s").stdout) - time.time()) < 600
    assert run("cat /mnt/ram/word").stdout == b"kept\n"
    driver.snapshot_restore(running, "one", False, silent, LONG)
    driver.start(running, silent, LONG)
    assert run("mountpoint -q /mnt/ram").exit_code != 0


@pytest.mark.parametrize("damage", ["memory changed", "memory cut", "memory gone", "layer changed", "record changed"])
def test_a_damaged_snapshot_is_refused_and_the_vm_unharmed(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, run: Run, damage: str
) -> None:
    driver.snapshot_create(running, "one", True, silent, LONG)
    spoil(place.vms / running.id, damage)
    before = driver.observe(running.id)
    with pytest.raises(DriverFailure) as failure:
        driver.snapshot_restore(running, "one", None, silent, LONG)
    assert failure.value.code == "snapshot_damaged"
    assert driver.observe(running.id) == before
    if damage == "layer changed":
        unspoil(place.vms / running.id)
    if damage == "record changed":
        (place.vms / running.id / "snapshots" / "one" / "snapshot.json").unlink()
    assert run("echo well").stdout == b"well\n"


def test_layers_go_with_the_last_that_needs_them(driver: QemuDriver, place: DriverFolders, vm: VmSpec) -> None:
    layers = place.vms / vm.id / "layers"
    for name in ("one", "two", "three"):
        driver.snapshot_create(vm, name, False, silent, LONG)
    assert len(list(layers.iterdir())) == 4
    driver.snapshot_restore(vm, "one", False, silent, LONG)
    assert len(list(layers.iterdir())) == 4  # one's, two's and three's, and the new top
    driver.snapshot_delete(vm, "three", silent, LONG)
    driver.snapshot_delete(vm, "one", silent, LONG)
    assert len(list(layers.iterdir())) == 3  # two's rests on one's, and so does the top
    driver.snapshot_delete(vm, "two", silent, LONG)
    assert len(list(layers.iterdir())) == 2


def test_a_snapshot_that_is_cancelled_lets_the_guest_go_on(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    def cancel(step: str, percent: int | None) -> None:
        if step == "saving the memory":
            raise Cancelled

    with pytest.raises(Cancelled):
        driver.snapshot_create(running, "one", True, cancel, LONG)
    assert driver.observe(running.id).state is Observed.RUNNING
    assert driver.snapshot_ids(running.id) == []
    assert run("echo on").stdout == b"on\n"


@pytest.mark.parametrize("step", ["taking the snapshot", "saving the memory", "checking the files"])
def test_an_agent_killed_while_it_takes_a_snapshot(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, run: Run, step: str
) -> None:
    run("echo before >/root/word && sync")
    killed_at(step, place, running, 'snapshot_create(vm, "one", True, progress, 100.0)')
    assert driver.snapshot_ids(running.id) == []
    driver.snapshot_create(running, "one", True, silent, LONG)
    assert driver.observe(running.id).state is Observed.RUNNING
    assert run("cat /root/word; echo after >/root/word; sync").stdout == b"before\n"
    driver.stop(running, 0.0, silent, LONG)
    driver.start(running, silent, LONG)
    assert run("cat /root/word").stdout == b"after\n"
    driver.snapshot_restore(running, "one", None, silent, LONG)
    assert run("cat /root/word").stdout == b"before\n"


@pytest.mark.parametrize("step", ["checking the files", "resuming", "loading the memory", "waiting for the guest"])
def test_an_agent_killed_while_it_restores(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, run: Run, step: str
) -> None:
    run("echo before >/root/word && sync")
    driver.snapshot_create(running, "one", True, silent, LONG)
    run("echo after >/root/word && sync")
    killed_at(step, place, running, 'snapshot_restore(vm, "one", None, progress, 100.0)')
    if step == "resuming":
        driver.start(running, silent, LONG)  # it goes on from the memory that it was about to
    else:
        driver.snapshot_restore(running, "one", None, silent, LONG)
    assert run("cat /root/word").stdout == b"before\n"


def killed_at(step: str, place: DriverFolders, vm: VmSpec, verb: str) -> None:
    """Calls a verb in an agent that is killed, as by `kill -9`, when it comes to that step."""
    agent = f"""
import os, signal
from pathlib import Path
from agent.drivers.base import DriverFolders
from agent.drivers.qemu import QemuDriver
from core.contract.messages import VmSpec, decode
def progress(step, percent):
    if step == {step!r}:
        os.kill(os.getpid(), signal.SIGKILL)
vm = decode(VmSpec, {encode(vm)!r})
QemuDriver(DriverFolders(Path({str(place.vms)!r}), Path({str(place.images)!r}))).{verb}
"""
    assert subprocess.run([sys.executable, "-c", agent], check=False, timeout=LONG).returncode == -signal.SIGKILL


def spoil(folder: Path, damage: str) -> None:
    """Damages snapshot "one"."""
    home = folder / "snapshots" / "one"
    match damage:
        case "memory changed":
            flip(home / "memory")
        case "memory cut":
            with (home / "memory").open("r+b") as file:
                file.truncate(1000)
        case "memory gone":
            (home / "memory").unlink()
        case "layer changed":
            unspoil(folder)
        case _:
            (home / "snapshot.json").write_text("{")


def unspoil(folder: Path) -> None:
    """A byte that QEMU doesn't read, changed; a second time, changed back."""
    frozen = next(path for path in sorted((folder / "layers").iterdir(), key=lambda each: each.stat().st_mtime))
    flip(frozen, at=0xF000)


def flip(file: Path, at: int = 500) -> None:
    """Turns over the bits of one byte."""
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte[0] ^ 0xFF]))


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a small file system, which only root may")
def test_no_space_for_the_memory_leaves_the_guest_running_and_nothing_behind(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, run: Run
) -> None:
    home = place.vms / running.id / "snapshots"
    home.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "small", str(home)], check=True, timeout=LONG)
    try:
        with pytest.raises(DriverFailure, match="no space is left") as failure:
            driver.snapshot_create(running, "one", True, silent, LONG)
        assert list(home.iterdir()) == []
    finally:
        subprocess.run(["umount", str(home)], check=True, timeout=LONG)
    assert failure.value.code == "insufficient_resources"
    assert driver.observe(running.id).state is Observed.RUNNING
    assert run("echo on >/root/on && cat /root/on").stdout == b"on\n"
    assert driver.snapshot_create(running, "one", True, silent, LONG).include_memory
