"""Laws of drivers whose VMs have places for media: one in each, confined to the host's folders, and never another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.drivers.capabilities.hardware import DiskRequest
from agent.media.media import DISKS
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

SATA = "SATA Controller"
GB = 1 << 30
NEW = DiskRequest(SATA, 1, 0, "hdd", "new", create_if_missing=True, size_gb=1)


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


def named(bench: Bench, name: str) -> DiskRequest:
    """A new disk of a format that the driver has."""
    return replace(NEW, medium=f"{name}.{bench.disk_format}")


@pytest.fixture(autouse=True)
def _promised(bench: Bench) -> None:
    bench.need("disks")


@pytest.fixture
def media(bench: Bench) -> Path:
    """The host's media folder."""
    return bench.place.media[0].resolve()


def test_the_own_disk_is_there_and_stays(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    (own,) = driver.disks(vm)
    assert (own.controller, own.port, own.device, own.type) == (SATA, 0, 0, "hdd")
    assert (own.own, own.size_bytes) == (True, vm.disk_gb * GB)
    assert own.used_bytes is not None
    with pytest.raises(DriverFailure) as failure:
        driver.disk_detach(vm, SATA, 0, 0, bench.quick)
    assert failure.value.code == "invalid_request"


def test_a_disk_is_made_attached_listed_detached_and_kept(
    bench: Bench, driver: EveryVerb, vm: VmSpec, media: Path
) -> None:
    new = named(bench, "new")
    disk = driver.disk_attach(vm, new, bench.quick)
    assert bench.new_driver().disk_attach(vm, new, bench.quick) == disk
    assert (disk.medium, disk.size_bytes, disk.format, disk.own) == (new.medium, GB, bench.disk_format, False)
    assert bench.new_driver().disks(vm)[1:] == [disk]
    for _ in range(2):
        driver.disk_detach(vm, SATA, 1, 0, bench.quick)
    assert [each.own for each in driver.disks(vm)] == [True]
    again = replace(new, port=2, create_if_missing=False, medium=disk.medium)
    assert driver.disk_attach(vm, again, bench.quick).port == 2
    driver.delete(vm, bench.quick)
    assert [path.name for path in (media / DISKS / vm.id).iterdir()] == [new.medium]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"controller": "No Such"}, "invalid_request"),
        ({"controller": ""}, "invalid_request"),
        ({"port": 4}, "invalid_request"),
        ({"port": -1}, "invalid_request"),
        ({"device": 1}, "invalid_request"),
        ({"port": 0, "medium": "x.vdi", "create_if_missing": True, "size_gb": 1}, "disk_slot_taken"),
        ({"type": "floppy"}, "invalid_request"),
        ({"medium": ""}, "invalid_request"),
        ({"medium": "."}, "invalid_request"),
        ({"medium": "../out.vdi"}, "invalid_request"),
        ({"medium": "in/../out.vdi"}, "invalid_request"),
        ({"medium": "/etc/passwd"}, "invalid_request"),
        ({"medium": "link.vdi"}, "invalid_request"),
        ({"medium": "linked/x.vdi", "create_if_missing": True, "size_gb": 1}, "invalid_request"),
        ({"medium": "missing.vdi"}, "invalid_request"),
        ({"medium": "missing.iso", "create_if_missing": True, "size_gb": 1}, "invalid_request"),
        ({"medium": "x" * 300 + ".vdi", "create_if_missing": True, "size_gb": 1}, "invalid_request"),
        ({"medium": "x" * 300 + ".vdi"}, "invalid_request"),
        ({"medium": "missing.vdi", "create_if_missing": True}, "invalid_request"),
        ({"medium": "no/folder.vdi", "create_if_missing": True, "size_gb": 1}, "invalid_request"),
    ],
)
def test_what_can_not_be_attached_is_refused_and_leaves_nothing(
    bench: Bench, driver: EveryVerb, shared: VmSpec, media: Path, change: dict[str, Any], code: str
) -> None:
    secret = media.parent / "secret.vdi"
    secret.write_text("nobody's business")
    for name, target in (("link.vdi", secret), ("linked", media.parent)):
        if not (media / name).is_symlink():
            (media / name).symlink_to(target)
    request = replace(DiskRequest(SATA, 1, 0, "hdd", "secret.vdi"), **change)
    before, there = driver.disks(shared), sorted(path.name for path in media.iterdir() if path.name[0] != ".")
    with pytest.raises(DriverFailure) as failure:
        driver.disk_attach(shared, request, bench.quick)
    assert failure.value.code == code, failure.value.message
    assert driver.disks(shared) == before
    assert sorted(path.name for path in media.iterdir() if path.name[0] != ".") == there


def test_a_guest_that_does_not_run_can_not_be_asked_what_it_has(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    disk = driver.disk_attach(vm, named(bench, "new"), bench.quick)
    assert driver.disk_in_guest(vm, disk, bench.quick) is None


def test_a_place_has_one_medium(bench: Bench, driver: EveryVerb, vm: VmSpec) -> None:
    driver.disk_attach(vm, named(bench, "first"), bench.quick)
    with pytest.raises(DriverFailure) as failure:
        driver.disk_attach(vm, named(bench, "second"), bench.quick)
    assert failure.value.code == "disk_slot_taken"
    assert len(driver.disks(vm)) == 2


def test_a_vm_that_is_not_there_has_no_disks(bench: Bench, driver: EveryVerb) -> None:
    for verb in (driver.disks, lambda vm: driver.disk_attach(vm, NEW, bench.quick)):
        with pytest.raises(DriverFailure) as failure:
            verb(bench.spec())
        assert failure.value.code == "vm_not_found"


def test_what_is_attached_survives_a_start(bench: Bench, driver: EveryVerb, running: VmSpec) -> None:
    driver.stop(running, 0.0, silent, bench.quick)
    disk = driver.disk_attach(running, named(bench, "stays"), bench.quick)
    driver.start(running, silent, bench.quick)
    assert driver.disks(running)[1:] == [disk]
    if bench.has_guest:
        assert bench.new_driver().disk_in_guest(running, disk, bench.quick)
    driver.stop(running, 0.0, silent, bench.quick)
    driver.disk_detach(running, SATA, 1, 0, bench.quick)
