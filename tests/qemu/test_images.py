"""What a VM is made from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.local import images as vm_images
from agent.drivers.qemu import QemuDriver
from core.contract import images as store
from core.contract.errors import DriverFailure
from core.contract.images import MANIFEST
from core.contract.messages import ImageRef, VmSpec
from core.contract.states import Observed
from core.contract.vms import VmNetwork

IMAGE = "linux-default"
BASE = VmSpec("vm-1", "web", "qemu", "linux", 1, 256, 4, ImageRef(IMAGE, ""))


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


@pytest.fixture
def own(images: Path, tmp_path: Path) -> DriverFolders:
    """A store of one's own, with the default image in it."""
    (tmp_path / "images" / IMAGE).mkdir(parents=True)
    for file in (images / IMAGE).iterdir():
        shutil.copyfile(file, tmp_path / "images" / IMAGE / file.name)
    return DriverFolders(tmp_path / "vms", tmp_path / "images")


@pytest.mark.parametrize(
    ("vm", "code"),
    [
        (replace(BASE, image=ImageRef("nothing", "")), "image_not_found"),
        (replace(BASE, image=ImageRef("../etc", "")), "invalid_request"),
        (replace(BASE, image=ImageRef(IMAGE, "sha256:0")), "image_changed"),
        (replace(BASE, disk_gb=1), "invalid_request"),
        (replace(BASE, id="../vm"), "invalid_request"),
    ],
)
def test_what_can_t_be_made_says_why(own: DriverFolders, vm: VmSpec, code: str) -> None:
    with pytest.raises(DriverFailure) as failure:
        QemuDriver(own).create(vm, silent, 30.0)
    assert failure.value.code == code
    assert QemuDriver(own).observe_all() == []


def test_a_disk_too_small_is_told_the_least(own: DriverFolders) -> None:
    least = store.read(own.images, IMAGE).disk_size_gb
    with pytest.raises(DriverFailure, match=f"it needs {least} GB"):
        QemuDriver(own).create(replace(BASE, disk_gb=least - 1), silent, 30.0)


def test_an_image_may_go_once_a_vm_is_made_of_it(own: DriverFolders) -> None:
    driver = QemuDriver(own)
    driver.create(BASE, silent, 30.0)
    shutil.rmtree(own.images / IMAGE)
    assert driver.create(BASE, silent, 30.0).state is Observed.STOPPED
    taken = driver.snapshot_create(BASE, "one", False, silent, 30.0)
    assert taken.size_bytes > 0
    assert driver.snapshot_restore(BASE, "one", False, silent, 30.0).state is Observed.STOPPED
    driver.delete(BASE, 30.0)


def test_a_file_of_the_image_that_is_cut_short_is_refused(own: DriverFolders) -> None:
    with (own.images / IMAGE / "vmlinuz").open("r+b") as kernel:
        kernel.truncate(1000)
    with pytest.raises(DriverFailure, match="vmlinuz"):
        QemuDriver(own).create(BASE, silent, 30.0)


def test_across_file_systems_vms_share_one_copy_that_goes_with_the_last(images: Path, tmp_path: Path) -> None:
    manifest = store.read(images, IMAGE)
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    small = replace(manifest.disk, size_bytes=5)
    for vm in ("one", "two"):
        (tmp_path / vm).mkdir()
        vm_images._link_copy(file, small, tmp_path / vm / "disk", tmp_path / vm_images.SHELF)
    assert (tmp_path / "one" / "disk").samefile(tmp_path / "two" / "disk")
    for vm in ("one", "two"):
        vm_images.tidy(tmp_path)
        assert len(list((tmp_path / vm_images.SHELF).iterdir())) == 1
        (tmp_path / vm / "disk").unlink()
    vm_images.tidy(tmp_path)
    assert list((tmp_path / vm_images.SHELF).iterdir()) == []


def test_a_manifest_that_can_t_be_read_is_refused(own: DriverFolders) -> None:
    (own.images / IMAGE / MANIFEST).write_text(json.dumps({"name": 5}))
    with pytest.raises(DriverFailure):
        QemuDriver(own).create(BASE, silent, 30.0)


def test_a_damaged_state_hides_no_other_vm_and_can_be_deleted(own: DriverFolders) -> None:
    driver = QemuDriver(own)
    for vm in (BASE, replace(BASE, id="vm-2")):
        driver.create(vm, silent, 30.0)
    (own.vms / BASE.id / "vm.json").write_text("{")
    assert [seen.state for seen in driver.observe_all()] == [Observed.CRASHED, Observed.STOPPED]
    with pytest.raises(DriverFailure) as failure:
        driver.start(BASE, silent, 30.0)
    assert failure.value.code == "state_damaged"
    assert driver.delete(BASE, 30.0).state is Observed.ABSENT


def test_an_address_that_is_none_reaches_no_command_line(own: DriverFolders) -> None:
    driver = QemuDriver(own)
    vm = replace(BASE, network=VmNetwork(mac_address="52:54:00:12:34:56,id=net0"))
    with pytest.raises(DriverFailure, match="MAC") as failure:
        driver.create(vm, silent, 30.0)
    assert failure.value.code == "invalid_request"
