"""A host's disk that is full while a guest writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.drivers.qemu.events import DISK_FULL
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed
from tests.qemu.conftest import LONG, silent
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a small file system, which only root may"),
    pytest.mark.timeout(400),
]


@pytest.fixture
def layers(place: DriverFolders, vm: VmSpec) -> Iterator[Path]:
    """The folder of the VM's disk, on a file system with little room."""
    folder = place.vms / vm.id / "layers"
    kept = folder.with_name("kept")
    shutil.move(folder, kept)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "small", str(folder)], check=True, timeout=LONG)
    for file in kept.iterdir():
        shutil.copy(file, folder)
    yield folder
    QemuDriver(place).stop(vm, 0.0, silent, LONG)
    subprocess.run(["umount", str(folder)], check=True, timeout=LONG)


def test_a_vm_whose_hosts_disk_is_full_says_so_and_goes_on_once_there_is_room(
    driver: QemuDriver, vm: VmSpec, layers: Path
) -> None:
    driver.start(vm, silent, LONG)
    fill = GuestExecRequest("dd if=/dev/urandom of=/root/big bs=1M count=64 oflag=direct; echo $?", 200.0)
    with pytest.raises(DriverFailure, match="disk is full") as failure:
        driver.execute(vm, fill)
    assert failure.value.code == "vm_paused"
    seen = driver.observe(vm.id)
    assert (seen.state, seen.reason) == (Observed.PAUSED, DISK_FULL)
    with pytest.raises(DriverFailure, match="disk is full") as failure:
        driver.execute(vm, GuestExecRequest("true", 5.0))
    assert failure.value.code == "vm_paused"
    with pytest.raises(DriverFailure, match="disk is still full") as failure:
        driver.resume(vm, LONG)
    assert failure.value.code == "insufficient_resources"

    subprocess.run(["mount", "-o", "remount,size=400m", str(layers)], check=True, timeout=LONG)
    seen = driver.resume(vm, LONG)
    assert (seen.state, seen.reason) == (Observed.RUNNING, None)
    size = GuestExecRequest("sync; stat -c %s /root/big", 60.0)
    until(lambda: driver.execute(vm, size).stdout == b"67108864\n")
