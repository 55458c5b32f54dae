"""Files in guests: their way, with this machine for the guest; and how far the real VBoxManage goes without one."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.files import FileTarget
from agent.drivers.virtualbox import VirtualBoxDriver, credentials, files
from agent.drivers.virtualbox.credentials import GuestCredentials
from agent.drivers.virtualbox.files import VirtualBoxGuest
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import VBoxManage, VBoxManageError
from agent.system.vault import Vault
from core.contract.errors import DriverFailure, Unavailable
from core.contract.messages import VmSpec
from tests.support.contents import noise

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make


@pytest.fixture
def at(tmp_path: Path, in_guest: str) -> VirtualBoxGuest:
    """This machine, as a user who may do little."""
    folder, vault = VirtualBoxVmFolder(tmp_path / "vms" / "vm-1"), Vault(tmp_path)
    folder.path.mkdir(parents=True)
    folder.write(VirtualBoxVmRecord(VmSpec("vm-1", "web", "virtualbox", "linux", 1, 256, 4), None))
    credentials.keep(vault, folder, GuestCredentials("root", "secret"))
    return VirtualBoxGuest(VBoxManage(in_guest), vault, folder, "web")


@pytest.fixture
def inside() -> Iterator[Path]:
    """A folder "of the guest's" where that user may write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def write(at: VirtualBoxGuest, path: Path, data: bytes, *, late: bool = False) -> str:
    chunks = iter([data[start : start + 300_000] for start in range(0, len(data), 300_000)])
    return files.write(at, None if late else str(path), chunks, lambda: FileTarget(str(path), 0o640)).path


def read(at: VirtualBoxGuest, path: Path, first: int = 0, length: int | None = None) -> bytes:
    with files.read(at, str(path)) as reading:
        return b"".join(reading.chunks(first, length))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["new/file", "-rf $HOME *", "new\nline'quote\" \\ünï"])
def test_what_goes_in_part_by_part_comes_out_piece_by_piece(
    at: VirtualBoxGuest, inside: Path, monkeypatch: pytest.MonkeyPatch, name: str, late: bool
) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 400_000)
    monkeypatch.setattr(files, "PIECE_BYTES", 300_000)
    data, path = noise(1_700_001), inside / name
    assert write(at, path, data, late=late) == str(path)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert (read(at, path), read(at, path, 299_999, 2)) == (data, data[299_999:300_001])
    assert [each.path for each in files.listing(at, str(path.parent), False, 9).entries] == [str(path)]
    assert not list(at.folder.path.glob(f"{files.TEMPORARY}*"))


def test_nothing_and_what_the_kernel_makes_up(at: VirtualBoxGuest, inside: Path) -> None:
    write(at, inside / "empty", b"")
    assert read(at, inside / "empty") == b""
    with files.read(at, "/proc/version") as reading:
        assert reading.size_bytes is None
        assert b"".join(reading.chunks(0, None)) == Path("/proc/version").read_bytes()


def test_a_broken_transfer_leaves_the_old_file_and_nothing_else(
    at: VirtualBoxGuest, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 1000)
    write(at, inside / "file", b"old")

    def half() -> Iterator[bytes]:
        yield from (bytes(1000), bytes(1000))
        assert len(list(inside.iterdir())) == 2
        raise Unavailable("the client is gone")

    with pytest.raises(Unavailable):
        files.write(at, str(inside / "file"), half(), lambda: FileTarget(str(inside / "file"), 0o644))
    assert [(each.name, each.read_bytes()) for each in inside.iterdir()] == [("file", b"old")]
    assert not list(at.folder.path.glob(f"{files.TEMPORARY}*"))


def test_what_can_not_be_done_is_told_by_its_code(at: VirtualBoxGuest, inside: Path) -> None:
    write(at, inside / "x", b"12345")
    for path, code in (("/no/such", "file_not_found"), ("/", "is_a_directory"), ("/dev/null", "not_a_file")):
        with pytest.raises(DriverFailure) as failure:
            read(at, Path(path))
        assert failure.value.code == code
    for place, code in ((inside / "x" / "y", "file_refused"), (inside, "is_a_directory"), (Path("/a"), "file_refused")):
        with pytest.raises(DriverFailure) as failure:
            write(at, place, b"data")
        assert failure.value.code == code
    with pytest.raises(DriverFailure) as failure:
        files.listing(at, str(inside / "x"), False, 9)
    assert failure.value.code == "not_a_directory"
    with pytest.raises(DriverFailure, match="became shorter"):
        read(at, inside / "x", 3, 3)


def test_vboxmanage_refuses_the_vm_and_not_its_arguments(
    driver: VirtualBoxDriver, place: DriverFolders, make: Make
) -> None:
    vm = make()
    driver.set_guest_credentials(vm, "root", "secret")
    for verb in (
        lambda: driver.file_write(vm, "/x", iter([b"1"]), lambda: FileTarget("/x", 0o644)),
        lambda: driver.file_read(vm, "/x").__enter__(),
        lambda: driver.file_list(vm, "/", False, 10),
    ):
        with pytest.raises(DriverFailure) as failure:
            verb()
        assert failure.value.code == "vm_not_running"
    source = place.vms / vm.id / "source"
    source.write_bytes(b"data")
    with pytest.raises(VBoxManageError, match="is not running"):
        driver._guest(vm).copy_to(source, "/root/-odd * name")
