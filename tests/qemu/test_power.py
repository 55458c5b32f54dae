"""Real machines: started, found again, crashed, cut."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.qemu import QemuDriver
from agent.drivers.qemu.accelerators import BEYOND_MB, TRANSLATED_MB
from agent.drivers.qemu.qmp import Monitor
from agent.system import sockets
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.messages import VmSpec, encode
from core.contract.states import Observed
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run

LONG = 100.0


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def test_without_qemu_the_probe_says_what_to_install(driver: QemuDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = driver.probe()
    assert healthy.healthy
    assert healthy.acceleration in {"kvm", "tcg"}
    assert healthy.version[0].isdigit()
    monkeypatch.setenv("PATH", "/nowhere")
    health = driver.probe()
    assert not health.healthy
    assert "apt-get install qemu-system-x86 qemu-utils" in health.problem


def test_two_starts_at_once_are_one_process(place: DriverFolders, vm: VmSpec) -> None:
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(QemuDriver(place).start, vm, silent, LONG) for _ in range(2)]
    assert len({start.result().pid for start in starts}) == 1


def test_a_machine_outlives_its_agent_and_is_found_again(driver: QemuDriver, place: DriverFolders, vm: VmSpec) -> None:
    agent = f"""
from pathlib import Path
from agent.drivers.base import DriverFolders
from agent.drivers.qemu import QemuDriver
from core.contract.messages import VmSpec, decode
place = DriverFolders(Path({str(place.vms)!r}), Path({str(place.images)!r}))
def progress(step, percent):
    if step == "waiting for the guest":
        print("booting", flush=True)
QemuDriver(place).start(decode(VmSpec, {encode(vm)!r}), progress, 100.0)
"""
    with subprocess.Popen([sys.executable, "-c", agent], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"booting\n"
        running.kill()
    half_started = driver.observe(vm.id)
    assert half_started.state is Observed.RUNNING
    started = driver.start(vm, silent, LONG)
    assert started.pid == half_started.pid


def test_a_killed_machine_has_crashed_and_starts_again(driver: QemuDriver, running: VmSpec) -> None:
    pid = driver.observe(running.id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    becomes(driver, running, Observed.CRASHED)
    assert "QEMU" in (driver.observe(running.id).reason or "")
    assert driver.start(running, silent, LONG).state is Observed.RUNNING


def test_qemu_takes_no_more_of_its_host_than_is_counted(
    driver: QemuDriver, place: DriverFolders, running: VmSpec
) -> None:
    acceleration = driver.probe().acceleration
    if acceleration == "tcg":
        with Monitor(place.vms / running.id, LONG) as monitor:
            told = monitor.ask("x-query-jit")["human-readable-text"]
        assert int(re.findall(r"gen code size +[0-9]+/([0-9]+)", told)[0]) <= TRANSLATED_MB << 20
    held = psutil.Process(driver.observe(running.id).pid).memory_info().rss >> 20
    assert held < running.memory_mb + BEYOND_MB[acceleration]


def test_a_guest_that_powers_itself_off_is_stopped(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    run("(sleep 0.5; sync; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 &")
    becomes(driver, running, Observed.STOPPED)


def test_a_guest_that_is_not_up_yet_is_heard(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    unit = "/etc/systemd/system/dbus.service.d"
    run(f"mkdir -p {unit} && printf '[Service]\\nExecStartPre=/bin/sleep infinity\\n' >{unit}/never.conf && sync")
    driver.stop(running, 0.0, silent, LONG)
    driver.start(running, silent, LONG)
    before = driver.console(running.id).log.stat().st_size
    assert driver.stop(running, 25.0, silent, LONG).state is Observed.STOPPED
    assert b"Power down" in driver.console(running.id).log.read_bytes()[before:]  # by itself, and not cut off


def test_what_is_cut_off_in_its_first_boot_starts_again(driver: QemuDriver, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    driver.stop(vm, 0.0, silent, LONG)  # its disk has just grown: the descriptors are in the journal alone, or half
    assert driver.start(vm, silent, LONG).state is Observed.RUNNING


def test_the_console_is_logged_and_can_be_connected_to(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    where = driver.console(running.id)
    assert where.socket is not None
    with sockets.connect(where.socket, 5.0) as console:
        console.settimeout(LONG)
        run("echo hello >/dev/ttyS0")
        assert b"hello" in console.recv(1000)
    assert where.log.stat().st_size > 0


def test_what_qemu_says_is_in_the_failure_and_the_vm_stays_off(driver: QemuDriver, vm: VmSpec) -> None:
    impossible = VmSpec(vm.id, vm.name, "qemu", "linux", 1, 10**8, vm.disk_gb, vm.image)
    with pytest.raises(DriverFailure, match=r"QEMU did not start: .*memory"):
        driver.start(impossible, silent, LONG)
    assert driver.observe(vm.id).state is Observed.STOPPED


def test_a_guest_that_is_too_slow_is_switched_off_again(driver: QemuDriver, vm: VmSpec) -> None:
    with pytest.raises(GuestTimeout, match="console ends with"):
        driver.start(vm, silent, 1.5)
    seen = driver.observe(vm.id)
    assert (seen.state, seen.pid) == (Observed.STOPPED, None)


def becomes(driver: QemuDriver, vm: VmSpec, state: Observed) -> None:
    """Within a few seconds."""
    until(lambda: driver.observe(vm.id).state is state)


def test_what_a_guest_makes_qemu_write_gives_its_room_back(
    driver: QemuDriver, place: DriverFolders, vm: VmSpec
) -> None:
    files = [place.vms / vm.id / name for name in ("events.out", "qemu.log")]
    for file in files:
        file.write_bytes(b"x" * 20 * 2**20)
    driver.observe_all()
    assert [file.stat().st_blocks * 512 for file in files] == [2**20, 2**20]
