"""What is told of VMs' use of their host: of a VM at rest, of its process, of VirtualBox's counters, of the guest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.limits import countdown
from agent.drivers.virtualbox import VirtualBoxDriver, credentials, guest, inside, measuring
from agent.drivers.virtualbox.credentials import GuestCredentials
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.system.vault import Vault
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make

LONG = 100.0
# As VirtualBox 7 prints it (src/VBox/VMM/VMMR3/STAM.cpp), with what other patterns would bring.
STATISTICS = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<Statistics>
<Counter c="4096" unit="bytes" name="/Public/Storage/AHCI0/Port0/BytesRead"/>
<Counter c="512" unit="bytes" name="/Public/Storage/AHCI0/Port1/BytesRead"/>
<Counter c="1024" unit="bytes" name="/Public/Storage/AHCI0/Port0/BytesWritten"/>
<Counter c="3" unit="count" name="/Public/Storage/AHCI0/Port0/ReqsRead"/>
<U64 name="/Public/Storage/AHCI0/Port0/ReqsWrite" val="2" unit="count" desc="Number of I/O requests: write"/>
<Counter c="70" unit="bytes" name="/Public/NetAdapter/0/BytesReceived"/>
<Counter c="90" unit="bytes" name="/Public/NetAdapter/0/BytesTransmitted"/>
<U32 val="x" name="/Public/broken"/><Profile cPeriods="0" name="/Public/other"/>
</Statistics>
"""


def test_vms_at_rest_cost_no_call(driver: VirtualBoxDriver, make: Make) -> None:
    vm = make("linux-default")
    driver.snapshot_create(vm, "snap-1", False, lambda *_: None, LONG)
    driver.manage.calls.clear()
    (sample,) = [each for each in driver.sample_all() if each.vm_id == vm.id]
    assert (sample.cpu_seconds, sample.memory_bytes) == (None, 0)
    assert sample.disk_bytes > 100 << 20  # Debian is on it
    assert driver.measure(vm, 10.0).sample == sample
    assert not driver.manage.calls


def test_the_process_is_the_one_of_the_log_unless_its_number_is_anothers(
    driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec
) -> None:
    folder = VirtualBoxVmFolder(place.vms / vm.id)
    (folder.settings / "Logs").mkdir(exist_ok=True)
    for mark, runs in ((folder.uuid, True), ("another", False)):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "--startvm", mark]) as process:
            (folder.settings / "Logs" / "VBox.log").write_text(f"00:00:00.1 Process ID: {process.pid}\n")
            (sample,) = [each for each in driver.sample_all() if each.vm_id == vm.id]
            measured = driver.measure(vm, 10.0)
            process.kill()
        assert (sample.cpu_seconds is not None, sample.memory_bytes > 0) == (runs, runs)
        assert sample.memory_bytes <= vm.memory_mb << 20
        assert "not run" in measured.unknown["guest"]  # as VirtualBox says, too
        assert bool(measured.unknown.keys() & {"disk_io", "network"}) == runs  # by the real VBoxManage's word
    assert driver.sample_all()
    assert not psutil.pid_exists(process.pid)


def test_counters_are_added_up() -> None:
    counters = measuring.parse(STATISTICS)
    unknown: dict[str, str] = {}
    assert measuring._disk_io(counters, unknown) == {
        "read_bytes": 4608,
        "written_bytes": 1024,
        "reads": 3,
        "writes": 2,
    }
    read_only = {"/Public/Storage/AHCI0/Port0/BytesRead": 5, "/Public/Storage/AHCI0/Port0/ReqsRead": 1}
    assert measuring._disk_io(read_only, unknown) == {"read_bytes": 5, "written_bytes": 0, "reads": 1, "writes": 0}
    network = measuring._network(counters, unknown)
    assert network == {"bytes_in": 70, "bytes_out": 90, "packets_in": None, "packets_out": None, "source": "virtualbox"}
    assert set(unknown) == {"network.packets"}
    assert (measuring._disk_io({}, unknown), measuring._network({}, unknown)) == (None, None)
    assert set(unknown) == {"network.packets", "disk_io", "network"}


def test_a_guest_is_asked_by_one_command(tmp_path: Path, in_guest: str) -> None:
    """This machine stands for the guest."""
    folder, vault = VirtualBoxVmFolder(tmp_path / "vm-1"), Vault(tmp_path)
    folder.path.mkdir()
    folder.write(VirtualBoxVmRecord(VmSpec("vm-1", "web", "virtualbox", "linux", 1, 64, 1), None))
    manage = VBoxManage(in_guest)
    with pytest.raises(DriverFailure, match="no guest credentials"):
        inside.ask(manage, vault, folder, countdown(LONG))
    credentials.keep(vault, folder, GuestCredentials("root", "secret"))
    manage.calls.clear()
    told = inside.ask(manage, vault, folder, countdown(LONG))
    assert manage.calls == {"showvminfo": 1, "guestcontrol": 1}
    assert 0 <= told["cpu"]["usage_percent"] <= 100
    memory = psutil.virtual_memory()
    assert told["memory"]["total_mb"] == memory.total >> 20
    for disk in told["file_systems"]:
        assert 0 < disk["used_bytes"] <= disk["total_bytes"]


def test_a_guest_that_is_too_slow_holds_nobody_up(
    tmp_path: Path, in_guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the call's time nothing more is asked, not even to kill what was begun: the rest is told without it."""
    folder, vault = VirtualBoxVmFolder(tmp_path / "vm-1"), Vault(tmp_path)
    folder.path.mkdir()
    folder.write(VirtualBoxVmRecord(VmSpec("vm-1", "web", "virtualbox", "linux", 1, 64, 1), None))
    manage = VBoxManage(in_guest)
    credentials.keep(vault, folder, GuestCredentials("root", "secret"))
    monkeypatch.setattr(inside, "SCRIPT", "sleep 4")
    monkeypatch.setattr(inside, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(guest, "BEYOND_SECONDS", 0.5)
    with pytest.raises(GuestTimeout):
        inside.ask(manage, vault, folder, countdown(2.0))
    assert manage.calls == {"showvminfo": 1, "guestcontrol": 1}


def test_what_is_no_linux_is_not_understood() -> None:
    for text in ("", "cpu 1 2\n\n\n\n", "cpu 1 2 3 4 5 6 7 8\ncpu 1 2 3 4 5 6 7 9\n\nMemTotal: 1 kB\n\nFilesystem"):
        with pytest.raises((LookupError, ValueError)):
            inside.parse(text)
