"""What a host that can't be trusted sends as a VM: nothing of it leads to other files, or is more than a machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.local.folder import STATE, LocalVmFolder, folder_of
from agent.drivers.qemu import QemuDriver
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.moves import MovedFile
from core.contract.states import Observed
from tests.qemu.conftest import LONG, silent

Tamper = Callable[[LocalVmFolder], None]


@pytest.fixture
def there(place: DriverFolders, tmp_path: Path) -> Iterator[QemuDriver]:
    """Another host."""
    yield QemuDriver(DriverFolders(tmp_path / "vms", place.images))
    shutil.rmtree(tmp_path / "vms", ignore_errors=True)


def sent(driver: QemuDriver, there: QemuDriver, vm: VmSpec, tmp_path: Path) -> Observed:
    def fetched(file: MovedFile) -> Path:
        path = tmp_path / file.sha256
        path.write_bytes(b"".join(driver.moved_file(vm.id, file, 0)))
        return path

    files = driver.moved_files(vm, silent, LONG)
    return there.take_in(replace(vm, home=1), files, fetched, silent, LONG).state


def layer_over(base: str) -> Tamper:
    def tamper(folder: LocalVmFolder) -> None:
        top = folder.layers / folder.state().disk
        top.unlink()
        process.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", base, "-F", "raw", str(top), "4G"], LONG)

    return tamper


def data_elsewhere(folder: LocalVmFolder) -> None:
    with (folder.layers / folder.state().disk).open("r+b") as top:
        top.seek(79)  # the last byte of what one has to understand to read it
        top.write(b"\x04")


def machine(**changes: Any) -> Tamper:
    def tamper(folder: LocalVmFolder) -> None:
        path = folder.path / STATE
        state = json.loads(path.read_text())
        good = {
            "type": "pc-q35-7.2",
            "acceleration": "tcg",
            "vcpus": 1,
            "memory_mb": 256,
            "mac_address": "52:54:0:0:0:1",
        }
        path.write_text(json.dumps(state | {"machine": good | changes}))

    return tamper


def state(**changes: Any) -> Tamper:
    def tamper(folder: LocalVmFolder) -> None:
        path = folder.path / STATE
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return tamper


def test_a_vm_comes_as_it_is(driver: QemuDriver, there: QemuDriver, vm: VmSpec, tmp_path: Path) -> None:
    assert sent(driver, there, vm, tmp_path) is Observed.STOPPED


def test_what_says_that_it_runs_is_off(
    place: DriverFolders, driver: QemuDriver, there: QemuDriver, vm: VmSpec, tmp_path: Path
) -> None:
    state(should_run=True, usable=True)(folder_of(place.vms, vm.id))
    assert sent(driver, there, vm, tmp_path) is Observed.STOPPED


@pytest.mark.parametrize(
    "tamper",
    [
        layer_over("/etc/passwd"),
        layer_over("../../../secret"),
        layer_over("../image/other.raw"),
        data_elsewhere,
        machine(type="pc,accel=x"),
        machine(acceleration="kvm,x"),
        machine(mac_address="52:54,netdev=x"),
        state(disk="../../other.qcow2"),
        state(disk="none.qcow2"),
    ],
)
def test_nothing_leads_out(
    place: DriverFolders,
    driver: QemuDriver,
    there: QemuDriver,
    vm: VmSpec,
    tmp_path: Path,
    tamper: Tamper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = folder_of(place.vms, vm.id)
    tamper(folder)
    # A host that can't be trusted looks at nothing itself.
    monkeypatch.setattr("agent.drivers.local.records.remove_unused_layers", lambda *_: None)
    with pytest.raises(DriverFailure) as failure:
        sent(driver, there, vm, tmp_path)
    assert failure.value.code == "state_damaged"
    assert there.observe(vm.id).state is Observed.ABSENT


def test_media_that_it_tells_of_are_none(
    place: DriverFolders, driver: QemuDriver, there: QemuDriver, vm: VmSpec, tmp_path: Path
) -> None:
    medium = {"controller": "SATA Controller", "port": 1, "device": 0, "type": "hdd", "path": "/etc/passwd"}
    files = driver.moved_files(vm, silent, LONG)
    (tmp_path / "state").write_text(
        json.dumps(
            json.loads((folder_of(place.vms, vm.id).path / STATE).read_text())
            | {"media": [medium | {"format": "raw", "size_bytes": 1}]}
        )
    )

    def fetched(file: MovedFile) -> Path:
        if file.name == STATE:
            return tmp_path / "state"
        (tmp_path / file.sha256).write_bytes(b"".join(driver.moved_file(vm.id, file, 0)))
        return tmp_path / file.sha256

    assert there.take_in(replace(vm, home=1), files, fetched, silent, LONG).state is Observed.STOPPED
    assert [disk.own for disk in there.disks(vm)] == [True]
