"""Controllers, disks and adapters on the real VBoxManage."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.virtualbox import VirtualBoxDriver
from agent.drivers.virtualbox.folder import folder_of
from agent.drivers.virtualbox.output import parse
from agent.media.media import DISKS
from agent.network.network import HostNetworking
from core import images
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import ImageRef, VmSpec, build
from core.contract.states import Applied, Observed
from core.contract.vms import Adapter, Hardware, VmNetwork
from tests.disks import BOOT_SECTOR

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make

LONG = 100.0
GB = 1 << 30
SATA = "SATA Controller"
EMPTY_ISO = bytes(32768) + b"\1CD001\1" + bytes(2041) + b"\xffCD001\1" + bytes(2041)


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def test_the_document_s_vm_is_made_as_it_says(driver: VirtualBoxDriver, make: Make, place: DriverFolders) -> None:
    vm = make(
        "linux-default",
        vcpus=2,
        network=VmNetwork(mac_address="52:54:00:12:34:56"),
        hardware={
            "os_type": "Ubuntu_64",
            "network": {"adapter1": {"enabled": True, "type": "nat", "adapter_type": "82540EM"}},
            "storage_controllers": [{"name": SATA, "type": "sata", "port_count": 4}],
        },
    )
    info = parse(driver.manage.run("showvminfo", folder_of(place.vms, vm.id).uuid, "--machinereadable"))
    assert (info["ostype"], info["cpus"], info["memory"]) == ("Ubuntu (64-bit)", "2", "256")
    assert (info["groups"], info["uartmode1"].split(",")[0]) == ("/corral", "server")
    assert driver.adapters(vm) == [Adapter(0, mac_address="525400123456")]
    (disk,) = driver.disks(vm)
    assert (disk.controller, disk.port, disk.size_bytes, disk.format, disk.own) == (SATA, 0, 4 * GB, "vdi", True)
    assert (disk.used_bytes or 0) > 100 << 20  # Debian is on it
    assert "linux-default" not in driver.manage.run("list", "hdds")  # nothing of the store is left registered


def test_a_small_raw_image_becomes_a_disk_of_the_size_that_was_asked_for(place: DriverFolders, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(BOOT_SECTOR + b"boot" * 1000 + bytes((1 << 20) - 4512))
    images.add(tmp_path / "images", "raw", tmp_path / "disk")
    driver, vm = (
        VirtualBoxDriver(replace(place, images=tmp_path / "images")),
        VmSpec("vm-raw", "web", "virtualbox", "linux", 1, 256, 4, image=ImageRef("raw")),
    )
    driver.create(vm, silent, LONG)
    (disk,) = driver.disks(vm)
    assert (disk.size_bytes, disk.format) == (4 * GB, "vdi")
    assert b"bootboot" in (place.vms / vm.id / disk.medium).read_bytes()
    driver.delete(vm, LONG)


@pytest.mark.parametrize(
    "hardware",
    [
        {"os_type": "No_Such"},
        {"os_type": "--help"},
        {"storage_controllers": [{"name": "-x", "type": "sata", "port_count": 4}]},
        {"storage_controllers": [{"name": 'a"b', "type": "sata", "port_count": 4}]},
        {"storage_controllers": [{"name": "a", "type": "tape", "port_count": 4}]},
        {"network": {"adapter9": {}}},
        {"network": {"adapter1": {"type": "bridged"}}},
        {"network": {"adapter1": {"type": "bridged", "bridge_adapter": "no-such0"}}},
        {"network": {"adapter1": {"type": "intnet", "bridge_adapter": "a\nb"}}},
        {"network": {"adapter1": {"adapter_type": "virtio; reboot"}}},
    ],
)
def test_what_can_not_be_made_is_refused_and_leaves_nothing(
    driver: VirtualBoxDriver, place: DriverFolders, hardware: dict[str, Any]
) -> None:
    vm = VmSpec("vm-refused", "web", "virtualbox", "linux", 1, 256, 4, hardware=build(Hardware, hardware))
    with pytest.raises(DriverFailure) as failure:
        driver.create(vm, silent, LONG)
    assert failure.value.code == "invalid_request", failure.value.message
    assert driver.observe(vm.id).state is Observed.ABSENT
    driver.delete(vm, LONG)
    assert folder_of(place.vms, vm.id).uuid not in driver.manage.run("list", "vms")


def test_several_controllers_and_adapters(driver: VirtualBoxDriver, make: Make) -> None:
    vm = make(
        hardware={
            "storage_controllers": [
                {"name": "Floppy", "type": "floppy", "port_count": 1},
                {"name": "IDE", "type": "ide", "port_count": 2},
                {"name": "SCSI", "type": "virtio", "port_count": 3},
            ],
            "network": {
                "adapter2": {"type": "intnet", "cable_connected": False},
                "adapter1": {"type": "none"},
                "adapter3": {"enabled": False},
                "adapter4": {"type": "null", "adapter_type": "virtio"},
            },
        }
    )
    assert [(each.slot, each.mode, each.cable_connected) for each in driver.adapters(vm)] == [
        (1, "intnet", False),
        (3, "null", True),
    ]
    assert [disk.controller for disk in driver.disks(vm)] == ["IDE"]


def test_a_disk_is_made_attached_listed_and_detached(driver: VirtualBoxDriver, vm: VmSpec, media: Path) -> None:
    request = DiskRequest(SATA, 1, 0, "hdd", "data disk ü.vdi", create_if_missing=True, size_gb=1)
    disk = driver.disk_attach(vm, request, LONG)
    assert driver.disk_attach(vm, request, LONG) == disk
    assert (disk.medium, disk.size_bytes, disk.own) == (request.medium, GB, False)
    assert driver.disks(vm)[1:] == [disk]
    for _ in range(2):
        driver.disk_detach(vm, SATA, 1, 0, LONG)
    assert len(driver.disks(vm)) == 1
    assert (media / DISKS / "alice" / request.medium).exists()


def test_a_dvd_is_attached_to_two_vms(driver: VirtualBoxDriver, vm: VmSpec, make: Make, media: Path) -> None:
    (media / "empty.iso").write_bytes(EMPTY_ISO)
    for each in (vm, make(owner="bob")):
        disk = driver.disk_attach(each, DiskRequest(SATA, 2, 0, "dvd", "empty.iso"), LONG)
        assert (disk.type, disk.own) == ("dvd", False)
        driver.disk_detach(each, SATA, 2, 0, LONG)


def test_a_disk_stays_its_owners_and_survives_its_vm(
    driver: VirtualBoxDriver, vm: VmSpec, make: Make, media: Path
) -> None:
    request = DiskRequest(SATA, 1, 0, "hdd", "mine.vdi", create_if_missing=True, size_gb=1)
    disk = driver.disk_attach(vm, request, LONG)
    driver.delete(vm, LONG)
    assert (media / DISKS / "alice" / request.medium).exists()
    with pytest.raises(DriverFailure, match="no such file"):
        driver.disk_attach(make(owner="bob"), replace(request, create_if_missing=False), LONG)
    assert driver.disk_attach(make(), replace(request, create_if_missing=False), LONG).medium == disk.medium


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"controller": "No Such"}, "invalid_request"),
        ({"port": 99}, "invalid_request"),
        ({"port": -1}, "invalid_request"),
        ({"port": 0}, "disk_slot_taken"),
        ({"type": "floppy"}, "invalid_request"),
        ({"medium": "../../secret.vdi"}, "invalid_request"),
        ({"medium": "/etc/passwd"}, "invalid_request"),
        ({"medium": "none"}, "invalid_request"),
        ({"medium": "new.vdi", "create_if_missing": True}, "invalid_request"),
        ({"medium": "new.txt", "create_if_missing": True, "size_gb": 1}, "invalid_request"),
        ({"medium": "text.vdi"}, "invalid_request"),
    ],
)
def test_what_can_not_be_attached_is_refused(
    driver: VirtualBoxDriver, shared: VmSpec, media: Path, change: dict[str, Any], code: str
) -> None:
    (media / "text.vdi").write_text("this is no disk")
    request = replace(DiskRequest(SATA, 1, 0, "hdd", "text.vdi"), **change)
    with pytest.raises(DriverFailure) as failure:
        driver.disk_attach(shared, request, LONG)
    assert failure.value.code == code, failure.value.message
    assert len(driver.disks(shared)) == 1
    assert not (media / "new.vdi").exists()


def test_the_own_disk_is_not_detached(driver: VirtualBoxDriver, shared: VmSpec) -> None:
    with pytest.raises(DriverFailure) as failure:
        driver.disk_detach(shared, SATA, 0, 0, LONG)
    assert failure.value.code == "invalid_request"


def test_adapters_are_changed_and_switched_off(driver: VirtualBoxDriver, shared: VmSpec) -> None:
    wanted = Adapter(2, mode="intnet", type="virtio", cable_connected=False, network="back office", mac_address=None)
    now = driver.adapter_set(shared, wanted, LONG)
    assert now == replace(wanted, mac_address=now.mac_address)
    assert now in driver.adapters(shared)
    assert not driver.adapter_set(shared, replace(wanted, enabled=False), LONG).enabled
    assert [each.slot for each in driver.adapters(shared)] == [0]
    for bad in (
        replace(wanted, slot=8),
        replace(wanted, mode="wifi"),
        replace(wanted, mac_address="01:00:00:00:00:00"),
    ):
        with pytest.raises(DriverFailure) as failure:
            driver.adapter_set(shared, bad, LONG)
        assert failure.value.code == "invalid_request"


def test_an_off_vm_is_resized_and_a_share_of_memory_refused(
    driver: VirtualBoxDriver, shared: VmSpec, place: DriverFolders
) -> None:
    larger = replace(shared, vcpus=2, memory_mb=512, cpu_limit_percent=50)
    assert set(asdict(driver.resize(larger, silent, LONG)).values()) == {Applied.AT_NEXT_START}
    info = parse(driver.manage.run("showvminfo", folder_of(place.vms, shared.id).uuid, "--machinereadable"))
    assert (info["cpus"], info["memory"], info["cpuexecutioncap"]) == ("2", "512", "50")
    with pytest.raises(Unsupported, match="memory_mb"):
        driver.resize(replace(shared, memory_limit_percent=50), silent, LONG)


@pytest.mark.parametrize(
    ("mode", "network"),
    [
        ("bridged", "eth0"),
        ("hostonly", None),
        ("intnet", "other"),
        ("natnetwork", None),
        ("generic", "UDPTunnel"),
    ],
)
def test_an_adapter_joins_no_network_that_the_operator_has_not_listed(
    driver: VirtualBoxDriver, shared: VmSpec, mode: str, network: str | None
) -> None:
    with pytest.raises(DriverFailure, match="CORRAL_VBOX_NETWORKS") as failure:
        driver.adapter_set(shared, Adapter(1, mode=mode, network=network), LONG)
    assert failure.value.code == "invalid_request"
    asked = build(Hardware, {"network": {"adapter1": {"type": mode, "bridge_adapter": network}}})
    refused = replace(shared, id=f"vm-{uuid.uuid4().hex[:12]}", hardware=asked)
    with pytest.raises(DriverFailure, match="CORRAL_VBOX_NETWORKS"):
        driver.create(refused, silent, LONG)
    assert driver.observe(refused.id).state is Observed.ABSENT


def test_a_vm_on_a_network_that_is_closed_by_now_is_not_started(place: DriverFolders, make: Make) -> None:
    vm = make(hardware={"network": {"adapter1": {"type": "intnet"}}})
    closed = VirtualBoxDriver(replace(place, network=HostNetworking()))
    with pytest.raises(DriverFailure, match="CORRAL_VBOX_NETWORKS"):
        closed.start(vm, silent, LONG)
