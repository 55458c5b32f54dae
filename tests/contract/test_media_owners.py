"""Laws of media: whoever is not the owner can't attach, read, lock or learn of one, by whatever door they try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.hardware import DiskRequest
from agent.media.media import DISKS
from agent.media.records import CLAIMS
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

SATA = "SATA Controller"
EMPTY_ISO = bytes(32768) + b"\1CD001\1" + bytes(2041) + b"\xffCD001\1" + bytes(2041)
NAMES = {"qemu": ("a.raw", "a.img", "a.qcow2", "a.vdi", "a.vmdk", "a"), "virtualbox": ("a.vdi", "a.vmdk", "a.vhd")}
NAMES["cloud-hypervisor"] = ("a.raw", "a.img", "a.qcow2", "a")
TYPES = ("hdd", "dvd", "floppy", "")


def silent(step: str, percent: int | None) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def _promised(bench: Bench) -> None:
    bench.need("disks")


@pytest.fixture
def media(bench: Bench) -> Path:
    """The host's media folder."""
    return bench.place.media[0].resolve()


@pytest.fixture(scope="module")
def alice(bench: Bench) -> Iterator[VmSpec]:
    """A VM of the owner of the disks."""
    yield from made(bench, "alice")


@pytest.fixture(scope="module")
def bob(bench: Bench) -> Iterator[VmSpec]:
    """A VM of someone else."""
    yield from made(bench, "bob")


def made(bench: Bench, owner: str) -> Iterator[VmSpec]:
    """A VM that was not started."""
    vm = replace(bench.spec(owner), owner=owner, image=None)
    bench.new_driver().create(vm, silent, bench.quick)
    yield vm
    bench.new_driver().delete(vm, bench.quick)


def refusal(bench: Bench, vm: VmSpec, request: DiskRequest) -> tuple[str, str]:
    """The code and the words with which an attachment is refused, the medium's name left out of them."""
    with pytest.raises(DriverFailure) as failure:
        bench.new_driver().disk_attach(vm, request, bench.quick)
    return failure.value.code, failure.value.message.replace(repr(request.medium), "NAME")


def roads(media: Path, name: str) -> list[str]:
    """The names by which someone else might try to get at Alice's disk."""
    there = media / DISKS / "alice" / name
    return [name, f"./{name}", str(media / name), str(there), f"{DISKS}/alice/{name}", f"alice/{name}"]


@pytest.mark.parametrize("attached", [False, True])
def test_anothers_disk_is_as_one_that_is_not_there(
    bench: Bench, driver: EveryVerb, alice: VmSpec, bob: VmSpec, media: Path, attached: bool
) -> None:
    for name in NAMES.get(bench.name, NAMES["qemu"]):
        driver.disk_attach(alice, DiskRequest(SATA, 1, 0, "hdd", name, create_if_missing=True, size_gb=1), bench.quick)
        if not attached:
            driver.disk_detach(alice, SATA, 1, 0, bench.quick)
        before = (media / DISKS / "alice" / name).stat()
        for road, kind in product(roads(media, name), TYPES):
            request = DiskRequest(SATA, 1, 0, kind, road)
            nowhere = replace(request, medium=road.replace("alice", "carol").replace(name, f"no-{name}"))
            assert refusal(bench, bob, request) == refusal(bench, bob, nowhere), (road, kind)
        assert (media / DISKS / "alice" / name).stat() == before
        assert len(driver.disks(bob)) == 1
        if attached:
            driver.disk_detach(alice, SATA, 1, 0, bench.quick)


def test_two_owners_have_a_disk_of_one_name_each(
    bench: Bench, driver: EveryVerb, alice: VmSpec, bob: VmSpec, media: Path
) -> None:
    request = DiskRequest(SATA, 1, 0, "hdd", f"same.{bench.disk_format}", create_if_missing=True, size_gb=1)
    told = [driver.disk_attach(each, request, bench.quick) for each in (alice, bob)]
    assert told[0].medium == told[1].medium == f"same.{bench.disk_format}"
    assert all(
        (media / DISKS / owner / f"same.{bench.disk_format}").stat().st_mode & 0o777 == 0o600
        for owner in ("alice", "bob")
    )
    for each in (alice, bob):
        driver.disk_detach(each, SATA, 1, 0, bench.quick)


def test_what_the_operator_puts_there_is_theirs_who_attach_it_first(
    bench: Bench, driver: EveryVerb, alice: VmSpec, bob: VmSpec, media: Path
) -> None:
    request = DiskRequest(SATA, 1, 0, "hdd", f"given.{bench.disk_format}")
    process.run(
        ["qemu-img", "create", "-q", "-f", bench.disk_format, str(media / f"given.{bench.disk_format}"), "1G"], 30.0
    )
    driver.disk_attach(alice, request, bench.quick)
    for _ in range(2):
        for kind in TYPES:
            theirs = replace(request, type=kind)
            assert refusal(bench, bob, theirs) == refusal(
                bench, bob, replace(theirs, medium=f"none.{bench.disk_format}")
            )
        driver.disk_detach(alice, SATA, 1, 0, bench.quick)
    made_anew = driver.disk_attach(bob, replace(request, create_if_missing=True, size_gb=1), bench.quick)
    assert made_anew.medium == f"given.{bench.disk_format}"  # their own, as if the other were not there
    assert (media / DISKS / "bob" / f"given.{bench.disk_format}").exists()
    driver.disk_detach(bob, SATA, 1, 0, bench.quick)


def test_a_dvd_is_everyones_and_nobodys_disk(
    bench: Bench, driver: EveryVerb, alice: VmSpec, bob: VmSpec, media: Path
) -> None:
    for name in ("empty.iso", "LOUD.ISO"):
        (media / name).write_bytes(EMPTY_ISO)
        for each in (alice, bob):
            assert refusal(bench, each, DiskRequest(SATA, 2, 0, "hdd", name))[0] == "invalid_request"
            dvd = driver.disk_attach(each, DiskRequest(SATA, 2, 0, "dvd", name), bench.quick)
            assert (dvd.type, dvd.own, dvd.medium) == ("dvd", False, name)
        for each in (alice, bob):
            driver.disk_detach(each, SATA, 2, 0, bench.quick)
    assert not any(b"iso" in path.read_bytes().lower() for path in (media / CLAIMS).glob("[!.]*"))
    (media / "text.iso").write_text("--iprt-iso-maker-file-marker-bourne-sh 1 /etc/shadow=/etc/shadow")
    assert refusal(bench, bob, DiskRequest(SATA, 2, 0, "dvd", "text.iso"))[0] == "invalid_request"


def test_no_iso_can_be_made(bench: Bench, bob: VmSpec, media: Path) -> None:
    for kind in TYPES:
        request = DiskRequest(SATA, 1, 0, kind, "mine.iso", create_if_missing=True, size_gb=1)
        assert refusal(bench, bob, request)[0] == "invalid_request"
    assert not list(media.rglob("mine.iso"))
