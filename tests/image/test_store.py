"""The store takes whole, harmless disks under free names, and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from pathlib import Path

import pytest

from core import images
from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.images import names, read
from tests.disks import BOOT_SECTOR, kernel
from tests.support.contents import noise

MB = 1 << 20


def make(path: Path, *options: str, size: str = "64M") -> Path:
    subprocess.run(["qemu-img", "create", "-q", *options, str(path), size], check=True)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.write(BOOT_SECTOR + noise(MB - 512))
        file.seek(40 * MB)
        file.write(b"end of data")
        file.truncate(64 * MB)
    return path


def left_over(store: Path) -> list[str]:
    return [path.name for path in store.glob(f"{images.STAGING}*")] if store.exists() else []


def test_a_raw_disk_is_copied_with_its_holes(store: Path, raw: Path) -> None:
    added = images.add(store, "mine", raw)
    copy = store / "mine" / "disk.raw"
    assert (added.format, added.disk.name, added.disk_size_gb) == ("raw", "disk.raw", 1)
    assert copy.read_bytes() == raw.read_bytes()
    assert added.disk.sha256 == hashlib.sha256(raw.read_bytes()).hexdigest()
    assert copy.stat().st_blocks * 512 < 4 * MB
    assert read(store, "mine") == added
    assert left_over(store) == []


def test_a_qcow2_disk_with_its_kernel(store: Path, tmp_path: Path) -> None:
    disk = make(tmp_path / "d", "-f", "qcow2", size="3G")
    (tmp_path / "k").write_bytes(kernel(b"k" * 1000))
    (tmp_path / "i").write_bytes(b"i" * 1000)
    added = images.add(
        store, "mine", disk, kernel=tmp_path / "k", initrd=tmp_path / "i", cmdline="quiet", guest_agent=True
    )
    assert added.format == "qcow2"
    assert added.disk_size_gb == 3
    assert added.kernel is not None
    assert (store / "mine" / added.kernel.name).read_bytes() == kernel(b"k" * 1000)
    assert added.guest_agent
    assert images.list_all(store) == [added]


def test_move_renames_and_leaves_nothing_behind(store: Path, raw: Path) -> None:
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    assert images.add(store, "mine", raw, move=True).disk.sha256 == digest
    assert not raw.exists()


@pytest.mark.parametrize("name", ["", "Mine", "a/b", "../x", ".hidden", "a b", "é", "x" * 64, "a\n"])
def test_a_bad_name_is_refused(store: Path, raw: Path, name: str) -> None:
    with pytest.raises(Invalid):
        images.add(store, name, raw)
    with pytest.raises(NotFound):
        images.remove(store, name)


def test_a_taken_name_is_refused(store: Path, raw: Path) -> None:
    first = images.add(store, "mine", raw)
    with pytest.raises(Conflict) as refused:
        images.add(store, "mine", raw, os_type="windows")
    assert refused.value.code == "image_exists"
    assert read(store, "mine") == first


@pytest.mark.parametrize(
    "more", [{"os_type": "plan9"}, {"cmdline": "quiet"}, {"initrd": Path("/x")}, {"description": "a\nb"}]
)
def test_a_bad_description_is_refused(store: Path, raw: Path, more: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        images.add(store, "mine", raw, **more)  # type: ignore[arg-type]
    assert names(store) == []


def refused(store: Path, disk: Path, because: str) -> None:
    with pytest.raises(Invalid, match=because):
        images.add(store, "mine", disk)
    assert names(store) == []
    assert left_over(store) == []


def test_a_backing_file_is_refused(store: Path, tmp_path: Path) -> None:
    secret = make(tmp_path / "secret", "-f", "raw")
    for format_ in ("0.10", "1.1"):
        options = ["-f", "qcow2", "-b", str(secret), "-F", "raw", "-o", f"compat={format_}"]
        refused(store, make(tmp_path / f"disk-{format_}", *options), "backing file")


def test_an_external_data_file_is_refused(store: Path, tmp_path: Path) -> None:
    options = ["-f", "qcow2", "-o", f"data_file={tmp_path / 'data'},data_file_raw=on"]
    refused(store, make(tmp_path / "disk", *options), "another file")


@pytest.mark.parametrize("format_", ["vmdk", "vdi", "vhdx"])
def test_other_formats_are_named_in_the_refusal(store: Path, tmp_path: Path, format_: str) -> None:
    refused(store, make(tmp_path / "disk", "-f", format_), f"{format_.upper()} disk.*qemu-img convert")


@pytest.mark.parametrize("content", [b"", b"hello", b"QFI\xfb", b"QFI\xfb\0\0\0\3" + b"\xff" * 500, b"x" * 1024])
def test_what_is_no_disk_is_refused(store: Path, tmp_path: Path, content: bytes) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(content)
    refused(store, disk, "the disk can't become an image")


def test_a_folder_or_nothing_is_refused(store: Path, tmp_path: Path) -> None:
    refused(store, tmp_path, "not a file")
    refused(store, tmp_path / "nothing", "not a file")


def test_of_two_at_once_one_wins(store: Path, raw: Path) -> None:
    outcomes: list[str] = []

    def add(os_type: str) -> None:
        try:
            images.add(store, "mine", raw, os_type=os_type)
            outcomes.append(os_type)
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=add, args=[os_type]) for os_type in images.OS_TYPES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 1
    assert read(store, "mine").os_type in outcomes


def test_removing_leaves_linked_disks_alone(store: Path, raw: Path, tmp_path: Path) -> None:
    images.add(store, "mine", raw)
    link = tmp_path / "vm-disk"
    link.hardlink_to(store / "mine" / "disk.raw")
    images.remove(store, "mine")
    assert names(store) == []
    assert link.read_bytes() == raw.read_bytes()
    with pytest.raises(NotFound):
        images.remove(store, "mine")


def test_nothing_beside_the_store_can_be_removed(store: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    store.mkdir()
    for name in ("../beside", str(beside), ".", ""):
        with pytest.raises(NotFound):
            images.remove(store, name)
    assert beside.exists()
    assert store.exists()


def test_a_broken_image_is_left_out_of_the_list_and_can_be_removed(store: Path, raw: Path) -> None:
    images.add(store, "good", raw)
    images.add(store, "bad", raw)
    (store / "bad" / "manifest.json").write_text("{")
    assert [found.name for found in images.list_all(store)] == ["good"]
    images.remove(store, "bad")
    assert names(store) == ["good"]


def test_what_a_killed_process_left_is_swept_and_what_a_live_one_uses_is_not(store: Path) -> None:
    store.mkdir()
    dead = store / f"{images.STAGING}dead"
    dead.mkdir()
    (dead / "disk").write_bytes(b"half")
    with images.staging(store) as first, images.staging(store) as second:
        assert not dead.exists()
        assert first.exists()
        assert second.exists()
    assert left_over(store) == []
