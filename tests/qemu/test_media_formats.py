"""Media of QEMU's VMs: their formats, and what a header must not lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.local.folder import folder_of
from agent.drivers.qemu import QemuDriver
from agent.drivers.qemu.qmp import Monitor
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed
from tests.qemu.attaching import DATA, SATA, create, path_of
from tests.qemu.conftest import LONG, silent


@pytest.fixture
def driver(here: DriverFolders) -> QemuDriver:
    """A driver object that has seen nothing."""
    return QemuDriver(here)


@pytest.mark.parametrize("name", ["a.qcow2", "b.raw", "c.vdi", "d.vmdk", "e.img", "f"])
def test_each_format_is_made_by_the_ending_and_found_again(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec, name: str
) -> None:
    disk = driver.disk_attach(empty, replace(DATA, medium=name), LONG)
    assert disk.format == {"b.raw": "raw", "c.vdi": "vdi", "d.vmdk": "vmdk", "e.img": "raw"}.get(name, "qcow2")
    driver.disk_detach(empty, SATA, 1, 0, LONG)
    driver.start(empty, silent, LONG)
    assert driver.disk_attach(empty, replace(DATA, medium=name, create_if_missing=False), LONG) == disk


def _backed(folder: Path, name: str) -> None:
    create("qcow2", folder / name, "-b", "/etc/passwd", "-F", "raw", "-u")


def _data_file(folder: Path, name: str) -> None:
    create("qcow2", folder / name, "-o", f"data_file={folder / 'outside.raw'},data_file_raw=on")


def _extents(folder: Path, name: str) -> None:
    create("vmdk", folder / name, "-o", "subformat=monolithicFlat")


def _disguised(folder: Path, name: str) -> None:
    create("qcow2", folder / name)


def _text(folder: Path, name: str) -> None:
    (folder / name).write_text("this is no disk")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("backed.qcow2", _backed),
        ("external.qcow2", _data_file),
        ("flat.vmdk", _extents),
        ("disguised.raw", _disguised),
        ("disguised.img", _disguised),
        ("text.vdi", _text),
        ("text.qcow2", _text),
        ("text", _text),
    ],
)
def test_a_header_that_leads_elsewhere_is_refused(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec, name: str, make: Callable[[Path, str], None]
) -> None:
    make(here.media[0], name)
    for kind in ("hdd", "dvd") if not name.startswith("text") else ("hdd",):
        with pytest.raises(DriverFailure) as failure:
            driver.disk_attach(empty, replace(DATA, medium=name, type=kind, create_if_missing=False), LONG)
        assert failure.value.code == "invalid_request"
    assert len(driver.disks(empty)) == 1


def test_a_header_written_later_leads_nowhere(driver: QemuDriver, here: DriverFolders, empty: VmSpec) -> None:
    """As a guest can do to a raw disk."""
    disk = driver.disk_attach(empty, replace(DATA, medium="raw.img"), LONG)
    _backed(here.media[0], "header.qcow2")
    with path_of(here, disk).open("r+b") as file:
        file.write((here.media[0] / "header.qcow2").read_bytes())
    driver.start(empty, silent, LONG)
    with Monitor(folder_of(here.vms, empty.id).path, 10.0) as monitor:
        nodes = {node["node-name"]: node["drv"] for node in monitor.ask("query-named-block-nodes", flat=True)}
    assert nodes["file2"] == "raw"


def test_a_medium_that_is_gone_or_elsewhere_by_now_stops_a_start(
    driver: QemuDriver, here: DriverFolders, empty: VmSpec
) -> None:
    disk = path_of(here, driver.disk_attach(empty, replace(DATA, medium="gone.qcow2"), LONG))
    moved = disk.rename(disk.parent.parent / f"{disk.parent.name}-moved.qcow2")
    for links in (False, True):
        if links:
            disk.symlink_to(moved)
        with pytest.raises(DriverFailure, match="detach it") as failure:
            driver.start(empty, silent, LONG)
        assert failure.value.code == "invalid_request"
        assert driver.observe(empty.id).state is Observed.STOPPED
    driver.disk_detach(empty, SATA, 1, 0, LONG)
    assert driver.start(empty, silent, LONG).state is Observed.RUNNING
