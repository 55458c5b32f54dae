"""What an agent tells of its host, unasked."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from agent.drivers.fake import FakeDriver
from agent.drivers.fake.state import crash
from agent.host.inventory import LOOK_SECONDS, TELL_SECONDS
from core import images
from core.contract.states import Kind, Observed
from tests import disks
from tests.agent.hosts import Host
from tests.support.waiting import until


def test_it_says_what_the_host_is_and_has(host: Host) -> None:
    host.start("--vcpus", "6", "--memory-mb", "4096", "--disk-gb", "50")
    told = until(lambda: (each := host.inventory()) and each.drivers[0].healthy and each)
    assert (told.vcpus, told.memory_mb, told.disk_gb) == (6, 4096, 50)
    assert told.drivers[0].name == "fake"
    assert set(told.drivers[0].capabilities) == FakeDriver.capabilities
    assert told.vms == []


def test_it_says_which_images_boot_by_their_kernel_alone(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, disk, kernel = tmp_path / "images", tmp_path / "disk", tmp_path / "kernel"
    disk.write_bytes(disks.bootable())
    kernel.write_bytes(disks.kernel())
    monkeypatch.setenv("CORRAL_IMAGES", str(store))
    images.add(store, "by-kernel", disk, kernel=kernel)
    images.add(store, "by-disk", disk)
    (store / "damaged").mkdir()
    (store / "damaged" / "manifest.json").write_text("{")
    host.start()
    told = until(host.inventory)
    assert (told.images, told.facts.kernel_images) == (["by-disk", "by-kernel", "damaged"], ["by-kernel"])


def test_an_image_that_is_replaced_is_told_at_once(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, disk = tmp_path / "images", tmp_path / "disk"
    disk.write_bytes(disks.bootable())
    monkeypatch.setenv("CORRAL_IMAGES", str(store))
    first = images.add(store, "dated", disk, description="first").digest
    host.start()
    before = until(lambda: (each := host.inventory()) and each.facts.image_digests == {"dated": first} and each)
    shutil.rmtree(store / "dated")
    second = images.add(store, "dated", disk, description="second").digest
    told = until(lambda: (each := host.inventory()) and each.facts.image_digests == {"dated": second} and each)
    assert told.at - before.at < TELL_SECONDS, "it waited for the one that is due anyway"


def test_a_restarted_agent_tells_of_the_vms_it_finds(host: Host) -> None:
    host.start()
    vm = host.made()
    before = until(host.inventory)
    assert host.terminate() == 0
    host.inventories.clear()
    host.start()
    told = until(host.inventory)
    assert [(each.vm_id, each.state) for each in told.vms] == [(vm.id, Observed.STOPPED)]
    assert told.boot_id != before.boot_id
    assert told.generation > before.generation


def test_a_crash_is_told_before_an_inventory_is_due(host: Host) -> None:
    host.start()
    vm = host.made()
    host.do(Kind.START, vm)
    last = until(host.inventory)
    host.inventories.clear()
    crash(host.folder / "vms", vm.id)
    told = until(host.inventory)
    assert told.at - last.at < TELL_SECONDS, "it waited for the one that is due anyway"
    assert [(each.vm_id, each.state) for each in told.vms] == [(vm.id, Observed.CRASHED)]


def test_what_a_report_told_is_not_told_again(host: Host) -> None:
    host.start()
    until(lambda: (each := host.inventory()) and each.drivers[0].healthy)
    vm = host.made()

    def comes_after(kind: Kind) -> bool:
        host.receive()
        host.inventories.clear()
        host.do(kind, vm)
        time.sleep(2 * LOOK_SECONDS + 0.5)
        return host.inventory() is not None

    # One may come for another reason, such as a health that was just found; not one after each.
    assert not all(comes_after(kind) for kind in (Kind.START, Kind.STOP, Kind.START))
