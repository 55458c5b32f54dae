"""What happens beside us: other clients' sessions, changes behind our back, damage; and what it costs to look."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.limits import countdown
from agent.drivers.virtualbox import VirtualBoxDriver, machines, power
from agent.drivers.virtualbox import driver as driver_module
from agent.drivers.virtualbox.folder import RECORD, VirtualBoxVmFolder, folder_of
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Observed

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make

LONG = 100.0
without_driver = pytest.mark.skipif(power.DEVICE.exists(), reason="VirtualBox can start VMs on this machine")


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def test_other_clients_sessions_are_waited_for(place: DriverFolders, vm: VmSpec) -> None:
    """Each driver object takes turns within itself, so that eight of them meet each other's locks."""
    uuid = folder_of(place.vms, vm.id).uuid

    def one(number: int) -> None:
        VirtualBoxDriver(place).manage.change(uuid, "modifyvm", "--memory", str(256 + number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))


def test_threads_of_one_driver_take_turns(driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec) -> None:
    uuid = folder_of(place.vms, vm.id).uuid
    driver.manage.calls.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: driver.manage.change(uuid, "modifyvm", "--memory", str(256 + n)), range(8)))
    assert driver.manage.calls == {"modifyvm": 8}  # none had to be tried again


def test_looking_takes_two_calls_and_none_without_vms(
    driver: VirtualBoxDriver, place: DriverFolders, make: Make, tmp_path: Path
) -> None:
    vms = [make(), make()]
    driver.observe_all()
    driver.manage.calls.clear()
    seen = {each.vm_id: each.state for each in driver.observe_all()}
    assert {vm.id: Observed.STOPPED for vm in vms}.items() <= seen.items()
    assert driver.manage.calls == {"list": 2}
    nowhere = VirtualBoxDriver(replace(place, vms=tmp_path))
    assert nowhere.observe_all() == []
    assert not nowhere.manage.calls


def test_others_vms_are_none_of_ours(driver: VirtualBoxDriver, vm: VmSpec, tmp_path: Path) -> None:
    driver.manage.run("createvm", "--name", "theirs", "--basefolder", str(tmp_path), "--register")
    try:
        assert "theirs" not in str(driver.observe_all())
    finally:
        driver.manage.run("unregistervm", "theirs", "--delete")


def test_what_someone_unregistered_has_crashed_and_can_be_deleted(
    driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec
) -> None:
    driver.observe_all()
    driver.manage.run("unregistervm", folder_of(place.vms, vm.id).uuid)
    for seen in (driver.observe(vm.id), next(each for each in driver.observe_all() if each.vm_id == vm.id)):
        assert seen.state is Observed.CRASHED
        assert "register" in (seen.reason or "")
    with pytest.raises(DriverFailure):
        driver.start(vm, silent, LONG)
    assert driver.delete(vm, LONG).state is Observed.ABSENT


def test_damaged_remains_are_told_and_can_be_deleted(
    driver: VirtualBoxDriver, place: DriverFolders, make: Make
) -> None:
    settings_lost, record_lost = make(), make()
    shutil.rmtree(folder_of(place.vms, settings_lost.id).settings)
    (place.vms / record_lost.id / RECORD).write_text("{")
    for vm in (settings_lost, record_lost):
        assert driver.observe(vm.id).state in (Observed.CRASHED, Observed.STOPPED)  # its server may know it still
        assert vm.id in [each.vm_id for each in driver.observe_all()]
        assert driver.delete(vm, LONG).state is Observed.ABSENT
        assert vm.id not in driver.manage.run("list", "-l", "vms")


def test_what_goes_and_is_told_as_a_failure_has_gone(tmp_path: Path) -> None:
    """As VirtualBox does with one whose disks it can't delete."""
    program = tmp_path / "VBoxManage"
    code = "VBOX_E_$([ $# = 3 ] && echo FILE_ERROR || echo OBJECT_NOT_FOUND)"
    program.write_text(f'#!/bin/sh\necho "VBoxManage: error: Details: code {code} (0x80bb0001)" >&2; exit 1\n')
    program.chmod(0o755)
    manage = VBoxManage(str(program))
    machines.remove(manage, VirtualBoxVmFolder(tmp_path / "vm-1"), {}, countdown(LONG))
    assert manage.calls == {"unregistervm": 2}


def test_a_damaged_snapshot_is_refused_before_the_vm_is_touched(
    driver: VirtualBoxDriver, place: DriverFolders, vm: VmSpec
) -> None:
    driver.snapshot_create(vm, "snap-1", False, silent, LONG)
    record = json.loads((place.vms / vm.id / "snapshots" / "snap-1.json").read_text())
    (file,) = record["files"]
    status = Path(file["path"]).stat()
    with Path(file["path"]).open("r+b") as disk:
        disk.seek(-1, os.SEEK_END)
        disk.write(b"!")
    os.utime(file["path"], ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DriverFailure) as failure:
        driver.snapshot_restore(vm, "snap-1", False, silent, LONG)
    assert failure.value.code == "snapshot_damaged"
    assert driver.observe(vm.id).facts.restores == 0


def test_an_image_that_needs_a_loader_is_refused_at_the_start(driver: VirtualBoxDriver, make: Make) -> None:
    with pytest.raises(Unsupported, match="linux-default"):
        driver.start(make("linux-default"), silent, LONG)


@without_driver
def test_without_the_kernel_driver_a_start_says_what_to_do_and_leaves_the_vm_off(
    driver: VirtualBoxDriver, vm: VmSpec
) -> None:
    health = driver.probe()
    assert (health.healthy, "modprobe vboxdrv" in health.problem, health.version[:2]) == (False, True, "7.")
    with pytest.raises(DriverFailure, match="modprobe vboxdrv"):
        driver.start(vm, silent, LONG)
    assert driver.observe(vm.id).state is Observed.STOPPED


def test_without_virtualbox_the_probe_says_what_to_install(
    place: DriverFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRAL_VBOXMANAGE", "no-such-program")
    health = VirtualBoxDriver(place).probe()
    assert not health.healthy
    assert "apt-get install virtualbox" in health.problem


def test_a_server_that_hangs_is_told_with_what_to_do(place: DriverFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    program = place.vms.parent / "VBoxManage"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo 7.2.0\nexec sleep 4050\n')
    program.chmod(0o755)
    monkeypatch.setenv("CORRAL_VBOXMANAGE", str(program))
    monkeypatch.setattr(driver_module, "PROBE_SECONDS", 1.0)
    health = VirtualBoxDriver(place).probe()
    assert not health.healthy
    assert "end the process VBoxSVC" in health.problem
