"""Media and adapters of QEMU's VMs, as a guest sees them come and go."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from dataclasses import replace

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.local.folder import folder_of
from agent.drivers.qemu import QemuDriver
from agent.drivers.qemu.qmp import Monitor
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, AdapterWish, Hardware
from tests.qemu.attaching import DATA, SATA, path_of
from tests.qemu.conftest import LONG, silent, spec
from tests.support.clones import Clones
from tests.support.waiting import until

ISO = DiskRequest(SATA, 2, 0, "dvd", "empty.iso")
ADAPTERS = {"adapter1": AdapterWish(), "adapter2": AdapterWish(type="null", adapter_type="Am79C973")}


@pytest.fixture
def driver(here: DriverFolders) -> QemuDriver:
    """A driver object that has seen nothing."""
    return QemuDriver(here)


def test_a_guest_sees_media_come_and_go_and_its_cable_pulled(
    driver: QemuDriver, here: DriverFolders, running: VmSpec
) -> None:
    def guest(command: str) -> str:
        return driver.execute(running, GuestExecRequest(command, 60.0)).stdout.decode().strip()

    def says(command: str, wanted: str) -> None:
        until(lambda: guest(command) == wanted, why=command)

    kinds = "lsblk -dnro TYPE,SIZE | grep -v '^disk 4G' | sort | tr '\\n' ' '"
    guest("modprobe -a virtio_scsi sd_mod sr_mod")  # as udev does, seconds after the guest agent answers
    driver.disk_attach(running, DATA, LONG)
    driver.disk_attach(running, ISO, LONG)
    says(kinds, "disk 1G rom 36K")
    written = guest("echo kept >/dev/shm/x && dd if=/dev/shm/x of=/dev/sda conv=fsync,notrunc 2>&1; head -c 5 /dev/sda")
    assert written.endswith("kept"), written
    with pytest.raises(DriverFailure, match="data") as failure:
        driver.snapshot_create(running, "with-memory", True, silent, LONG)
    assert failure.value.code == "invalid_state"
    driver.snapshot_create(running, "own", False, silent, LONG)
    driver.snapshot_delete(running, "own", silent, LONG)
    assert guest("head -c 5 /dev/sda") == "kept"
    for request in (DATA, ISO):
        QemuDriver(here).disk_detach(running, SATA, request.port, 0, LONG)
    says(kinds, "")
    assert len(driver.disks(running)) == 1
    (first,) = driver.adapters(running)
    carrier = "cat /sys/class/net/e[nt]*/carrier"
    driver.adapter_set(running, replace(first, cable_connected=False), LONG)
    says(carrier, "0")
    driver.adapter_set(running, first, LONG)
    says(carrier, "1")


def test_a_disk_that_is_attached_right_after_the_start_is_in_the_guest_when_that_is_told(
    driver: QemuDriver, here: DriverFolders, vm: VmSpec, clones: Clones
) -> None:
    clones.start(driver, here.vms, vm)
    disk = driver.disk_attach(vm, DATA, LONG)
    told = driver.disk_in_guest(vm, disk, 0.2)
    assert told is not True or driver.execute(vm, GuestExecRequest("ls -d /sys/block/sda", 60.0)).exit_code == 0
    # As udev does, in a guest that boots, seconds after its agent answers.
    assert driver.execute(vm, GuestExecRequest("modprobe -a virtio_scsi sd_mod sr_mod", 60.0)).exit_code == 0
    assert driver.disk_in_guest(vm, disk, 60.0) is True
    assert driver.execute(vm, GuestExecRequest("cat /sys/block/sda/size", 60.0)).stdout == b"2097152\n"
    dvd = driver.disk_attach(vm, ISO, LONG)
    assert driver.disk_in_guest(vm, dvd, 60.0) is True
    assert driver.execute(vm, GuestExecRequest("cat /sys/block/sr0/size", 60.0)).stdout == b"72\n"
    driver.disk_detach(vm, SATA, DATA.port, 0, LONG)
    assert driver.disk_in_guest(vm, disk, 2.0) is False
    driver.pause(vm, LONG)
    assert driver.disk_in_guest(vm, dvd, LONG) is None


def test_what_is_attached_is_there_at_each_start(driver: QemuDriver, here: DriverFolders, empty: VmSpec) -> None:
    driver.disk_attach(empty, DATA, LONG)
    driver.start(empty, silent, LONG)
    driver.disk_attach(empty, ISO, LONG)
    assert plugged(here, empty) == {"medium2", "medium4"}
    driver.stop(empty, 0.0, silent, LONG)
    QemuDriver(here).start(empty, silent, LONG)
    assert plugged(here, empty) == {"medium2", "medium4"}
    driver.pause(empty, LONG)
    driver.disk_detach(empty, SATA, 1, 0, LONG)
    assert plugged(here, empty) == {"medium4"}
    assert driver.observe(empty.id).state is Observed.PAUSED


def test_a_verb_that_was_cut_off_is_done_once_more(driver: QemuDriver, here: DriverFolders, empty: VmSpec) -> None:
    folder = folder_of(here.vms, empty.id)
    driver.start(empty, silent, LONG)
    for _ in range(2):
        driver.disk_attach(empty, DATA, LONG)
    had = folder.state().media
    driver.disk_detach(empty, SATA, 1, 0, LONG)
    folder.change(media=had)  # remembered, and not plugged in
    driver.disk_attach(empty, DATA, LONG)
    assert plugged(here, empty) == {"medium2"}
    folder.change(media=[])  # plugged in, and not remembered
    driver.disk_detach(empty, SATA, 1, 0, LONG)
    assert plugged(here, empty) == set()
    assert driver.disk_attach(empty, DATA, LONG) == driver.disks(empty)[1]


def test_a_disk_of_another_vm_is_refused_and_a_failed_plug_forgotten(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec
) -> None:
    other = replace(spec(image=None, disk_gb=1), owner="alice")
    driver.create(other, silent, LONG)
    try:
        driver.disk_attach(empty, replace(DATA, medium="one.qcow2"), LONG)
        with pytest.raises(DriverFailure) as failure:
            driver.disk_attach(other, replace(DATA, medium="one.qcow2"), LONG)
        assert failure.value.code == "disk_in_use"
        driver.start(other, silent, LONG)
        shared = replace(DATA, medium="locked.raw")
        disk = driver.disk_attach(other, shared, LONG)
        driver.disk_detach(other, SATA, 1, 0, LONG)
        with path_of(here, disk).open("r+b") as file:
            # Of the open file, as QEMU has them: one of this process would go with the next close of the file.
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            with pytest.raises(DriverFailure, match="lock"):
                driver.disk_attach(other, shared, LONG)
        assert len(driver.disks(other)) == 1
        assert driver.disk_attach(other, shared, LONG).format == "raw"
    finally:
        driver.delete(other, LONG)


def test_a_memory_is_not_gone_back_to_with_media_attached(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec
) -> None:
    driver.start(empty, silent, LONG)
    driver.snapshot_create(empty, "memory", True, silent, LONG)
    driver.disk_attach(empty, ISO, LONG)
    pid = driver.observe(empty.id).pid
    with pytest.raises(DriverFailure, match=r"empty\.iso") as failure:
        driver.snapshot_restore(empty, "memory", None, silent, LONG)
    assert (failure.value.code, driver.observe(empty.id).pid) == ("invalid_state", pid)
    assert driver.snapshot_restore(empty, "memory", False, silent, LONG).state is Observed.STOPPED
    assert len(driver.disks(empty)) == 2
    driver.disk_detach(empty, SATA, 2, 0, LONG)
    folder_of(here.vms, empty.id).change(resume="memory")  # as an agent that dies before the launch leaves it
    for change in (
        lambda: driver.disk_attach(empty, ISO, LONG),
        lambda: driver.adapter_set(empty, Adapter(1, mode="null"), LONG),
    ):
        with pytest.raises(DriverFailure, match="saved state") as failure:
            change()
        assert failure.value.code == "invalid_state"
    assert driver.snapshot_restore(empty, "memory", None, silent, LONG).state is Observed.RUNNING


def test_adapters_are_as_asked_and_a_memory_brings_its_own_back(driver: QemuDriver, here: DriverFolders) -> None:
    vm = replace(spec(image=None, disk_gb=1), hardware=Hardware(network=ADAPTERS))
    driver.create(vm, silent, LONG)
    try:
        driver.start(vm, silent, LONG)
        assert devices(here, vm) == {"nic0": "e1000", "nic1": "pcnet"}
        before = driver.adapters(vm)
        driver.snapshot_create(vm, "memory", True, silent, LONG)
        driver.stop(vm, 0.0, silent, LONG)
        driver.adapter_set(vm, Adapter(0, type="virtio", cable_connected=False), LONG)
        driver.adapter_set(vm, Adapter(1, enabled=False), LONG)
        driver.adapter_set(vm, Adapter(7, mode="nat", type="82545EM"), LONG)
        driver.start(vm, silent, LONG)
        assert devices(here, vm) == {"nic0": "virtio-net-pci", "nic7": "e1000-82545em"}
        driver.snapshot_restore(vm, "memory", None, silent, LONG)
        assert devices(here, vm) == {"nic0": "e1000", "nic1": "pcnet"}
        assert driver.adapters(vm) == before
    finally:
        driver.delete(vm, LONG)


@pytest.mark.parametrize(
    "wanted",
    [
        Adapter(0, mode="bridged", network="eth0"),
        Adapter(0, mode="hostonly"),
        Adapter(1, mode="intnet"),
        Adapter(0, type="82543GC"),
        Adapter(0, mac_address="52:54:00:00:00:99"),
    ],
)
def test_what_qemu_has_not_is_unsupported(driver: QemuDriver, empty: VmSpec, wanted: Adapter) -> None:
    before = driver.adapters(empty)
    with pytest.raises(Unsupported):
        driver.adapter_set(empty, wanted, LONG)
    assert driver.adapters(empty) == before


def test_vms_and_memories_of_an_older_release_have_what_they_had(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec
) -> None:
    folder = folder_of(here.vms, empty.id)
    kept = json.loads((folder.path / "vm.json").read_text())
    for name in ("media", "adapters"):
        del kept[name]
    kept["spec"]["hardware"] = {"network": {"adapter1": {"type": "hostonly"}}}  # which meant nothing then
    (folder.path / "vm.json").write_text(json.dumps(kept))
    assert [(each.slot, each.type, each.mode) for each in driver.adapters(empty)] == [(0, "virtio", "nat")]
    assert len(driver.disks(empty)) == 1
    driver.start(empty, silent, LONG)
    machine = folder.state().machine
    assert machine is not None
    folder.change(machine=replace(machine, scsi=False, adapters=None))
    with pytest.raises(DriverFailure, match="older release") as failure:
        driver.disk_attach(empty, DATA, LONG)
    assert failure.value.code == "invalid_state"


def plugged(place: DriverFolders, vm: VmSpec) -> set[str]:
    """The media that QEMU itself has."""
    with Monitor(folder_of(place.vms, vm.id).path, 10.0) as monitor:
        names = [device["name"] for device in monitor.ask("qom-list", path="/machine/peripheral")]
        return {name for name in names if name.startswith("medium")}


def devices(place: DriverFolders, vm: VmSpec) -> dict[str, str]:
    """The adapters that QEMU itself has."""
    with Monitor(folder_of(place.vms, vm.id).path, 10.0) as monitor:
        found = monitor.ask("qom-list", path="/machine/peripheral")
        kinds = {each["name"]: each["type"].removeprefix("child<").removesuffix(">") for each in found}
        return {name: kind for name, kind in kinds.items() if name.startswith("nic")}
