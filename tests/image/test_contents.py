"""What an uploaded file is, is told by its content, and what can't be an image is refused with what to do instead."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core import diskfiles, filelocks, images
from core.contract.errors import CorralError, Invalid, Unavailable
from core.contract.images import names
from tests import disks
from tests.support.contents import noise

MB = 1 << 20
EFI_SYSTEM = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
BIOS_BOOT = bytes.fromhex("4861682149646f6e744e656564454649")


def tar(disk: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name in ("machine.ovf", "machine.vmdk"):
            entry = tarfile.TarInfo(name)
            entry.size = len(disk)
            file.addfile(entry, io.BytesIO(disk))
    return out.getvalue()


def zipped(disk: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("disk.img", disk)
    return out.getvalue()


def converted(kind: str) -> Callable[[bytes], bytes]:
    def convert(disk: bytes) -> bytes:
        command = (
            f"d=$(mktemp -d) && cat >$d/in && qemu-img convert -f raw -O {kind} $d/in $d/out && cat $d/out; rm -r $d"
        )
        return subprocess.run(["sh", "-c", command], input=disk, capture_output=True, check=True, timeout=60).stdout

    return convert


def gpt(kind: bytes, code: bytes = b"") -> bytes:
    """A disk with one partition of that type, and code in its master boot record."""
    record = bytearray(code.ljust(512, b"\0"))
    record[450] = 0xEE
    record[510:] = b"\x55\xaa"
    header = struct.pack("<8sII", b"EFI PART", 0x10000, 92).ljust(512, b"\0")
    return bytes(record) + header + kind.ljust(2 * MB - 1024, b"\0")


def padded(data: bytes) -> bytes:
    """To whole sectors, of more than the least."""
    return data + bytes(-len(data) % 512 + 2 * MB)


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (lambda disk: b"", "empty"),
        (tar, "tar archive: unpack it"),
        (zipped, "zip archive: unpack it"),
        (lambda disk: padded(lzma.compress(disk)), "compressed with xz: decompress it"),
        (lambda disk: padded(gzip.compress(disk)), "compressed with gzip: decompress it"),
        (lambda disk: padded(b"\x28\xb5\x2f\xfd" + noise(5000)), "compressed with zstd: decompress it"),
        (lambda disk: padded(b"Just some text.\n" * 100), "text"),
        (lambda disk: bytes(2 * MB), "zeros"),
        (lambda disk: disk[:32769] + b"CD001\1" + disk[32775:], "DVD image"),
        (converted("vmdk"), "VMDK disk: convert it with qemu-img convert"),
        (converted("vdi"), "VDI disk: convert it with qemu-img convert"),
        (converted("vhdx"), "VHDX disk: convert it with qemu-img convert"),
        (converted("vpc"), "VHD disk: convert it with qemu-img convert"),
        (converted("vpc -o subformat=fixed"), "VHD disk: convert it with qemu-img convert"),
        (lambda disk: padded(b"# Disk DescriptorFile\nversion=1\n"), "VMDK descriptor"),
        (lambda disk: b"LUKS\xba\xbe\0\1" + disk[8:], "not supported"),
        (lambda disk: disk[:-1], "cut short"),
        (lambda disk: disk[: MB - 512], "cut short"),
        (lambda disk: noise(2 * MB), "boot loader"),
        (lambda disk: bytes(510) + b"\x55\xaa" + disk[512:], "boot loader"),
        (lambda disk: gpt(EFI_SYSTEM), "needs UEFI firmware, which no host offers"),
        (lambda disk: converted("qcow2")(gpt(EFI_SYSTEM)), "needs UEFI firmware, which no host offers"),
        (lambda disk: converted("qcow2 -c")(noise(2 * MB)), "boot loader"),
    ],
)
def test_what_can_not_be_an_image_is_refused(tmp_path: Path, content: Callable[[bytes], bytes], because: str) -> None:
    path = tmp_path / "disk"
    path.write_bytes(content(disks.bootable()))
    refused(tmp_path, because)


@pytest.mark.parametrize(
    "content",
    [
        lambda disk: disk,
        converted("qcow2"),
        converted("qcow2 -c"),
        converted("qcow2 -o compat=0.10"),
        lambda disk: gpt(BIOS_BOOT, disks.CODE),
        lambda disk: gpt(EFI_SYSTEM, disks.CODE),  # boots both ways
    ],
)
def test_what_boots_is_taken(tmp_path: Path, content: Callable[[bytes], bytes]) -> None:
    (tmp_path / "disk").write_bytes(content(disks.bootable()))
    assert images.add(tmp_path / "store", "mine", tmp_path / "disk").disk_size_gb == 1


def test_a_disk_with_a_kernel_beside_it_needs_no_boot_loader(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(noise(2 * MB))
    (tmp_path / "kernel").write_bytes(disks.kernel())
    assert images.add(tmp_path / "store", "mine", tmp_path / "disk", kernel=tmp_path / "kernel").kernel


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.05])
def test_a_qcow2_that_was_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    whole = converted("qcow2")(disks.BOOT_SECTOR + noise(8 * MB - 512))
    (tmp_path / "disk").write_bytes(whole[: int(len(whole) * keep) // 512 * 512])
    refused(tmp_path, "cut short")


@pytest.mark.parametrize(
    ("at", "value", "because"),
    [
        (72, struct.pack(">Q", 1), "not closed"),
        (72, struct.pack(">Q", 2), "corrupt"),
        (72, struct.pack(">Q", 1 << 40), "not supported"),
        (32, struct.pack(">I", 2), "encrypted"),
        (24, struct.pack(">Q", 0), "0 bytes"),
        (24, struct.pack(">Q", 1 << 60), "bytes; a disk has"),
        (24, struct.pack(">Q", 1000), "1000 bytes"),
        (20, struct.pack(">I", 40), "header"),
        (8, struct.pack(">Q", 512), "backing file"),
        (36, struct.pack(">I", 1 << 24), "damaged"),
        (40, struct.pack(">Q", 1 << 50), "cut short|damaged"),
        (48, struct.pack(">Q", 1 << 50), "cut short|damaged"),
        (4, struct.pack(">I", 9), "header"),
    ],
)
def test_a_qcow2_that_is_damaged_or_absurd_is_refused(tmp_path: Path, at: int, value: bytes, because: str) -> None:
    content = bytearray(converted("qcow2")(disks.bootable()))
    content[at : at + len(value)] = value
    (tmp_path / "disk").write_bytes(content)
    refused(tmp_path, because)


def full_of_errors() -> bytes:
    """A qcow2 all of whose clusters are half a sector beside a cluster: half a million lines of qemu-img's."""
    cluster, tables = 1 << 16, 64
    at = {name: number * cluster for number, name in enumerate(("header", "l1", "l2", "refcounts", "block", "data"))}
    size = tables * (cluster // 8) * cluster
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, size, 0, tables, at["l1"], at["refcounts"], 1, 0, 0
    )
    parts = {
        "header": header + struct.pack(">QQQII", 0, 0, 0, 4, 104),
        "l1": struct.pack(">Q", at["l2"] | 1 << 63) * tables,
        "l2": struct.pack(">Q", at["data"] + 512 | 1 << 63) * (cluster // 8),
        "refcounts": struct.pack(">Q", at["block"]),
    }
    return b"".join(parts.get(name, b"").ljust(cluster, b"\0") for name in at)


def test_a_qcow2_that_makes_a_tool_talk_without_end_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(full_of_errors())
    refused(tmp_path, "too many errors to list")


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (b"", "empty"),
        (noise(100_000), "not a Linux kernel"),
        (b"hello", "not a Linux kernel"),
        (gzip.compress(disks.kernel()), "gzip: decompress"),
        (disks.kernel(bytes(5000))[:2000], "cut short"),
        (disks.elf(note=1), "without a PVH note"),
        (disks.elf(note=18, machine=183), "other than x86-64"),
        (b"\x7fELF", "other than x86-64"),
        (disks.elf(note=18)[:64], "without a PVH note"),
        (b"MZ".ljust(56, b"\0") + b"ARM\x64" + bytes(1000), "other than x86-64"),
    ],
    ids=["nothing", "noise", "text", "gzip", "cut", "no-note", "arm-elf", "elf", "cut-elf", "arm-linux"],
)
def test_a_kernel_that_boots_nothing_is_refused(tmp_path: Path, content: bytes, because: str) -> None:
    (tmp_path / "disk").write_bytes(disks.bootable())
    (tmp_path / "kernel").write_bytes(content)
    refused(tmp_path, because, kernel=tmp_path / "kernel")


@pytest.mark.parametrize("at", [1 << 40, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("what", [32, 64 + 8, 64 + 32], ids=["its segments", "a note", "a note's length"])
def test_an_elf_that_says_that_it_goes_on_beyond_its_end_is_refused(tmp_path: Path, what: int, at: int) -> None:
    content = bytearray(disks.elf(note=1))
    content[what : what + 8] = struct.pack("<Q", at)
    (tmp_path / "kernel").write_bytes(content)
    with pytest.raises(Invalid, match="without a PVH note"):
        diskfiles.check_kernel(tmp_path / "kernel")


@pytest.mark.timeout(20)
def test_an_elf_with_notes_without_end_is_refused_at_once(tmp_path: Path) -> None:
    """65,535 segments, each of which is the same 64 KiB: half an hour of a processor."""
    content = bytearray(disks.elf(note=1))
    segment = struct.pack("<IIQQQQQQ", 4, 4, 4096, 0, 0, 1 << 16, 0, 4)
    content[32:40], content[54:58] = struct.pack("<Q", 4096 + (1 << 16)), struct.pack("<HH", 56, 65535)
    (tmp_path / "kernel").write_bytes(bytes(content).ljust(4096 + (1 << 16), b"\0") + segment * 65535)
    with pytest.raises(Invalid, match="without a PVH note"):
        diskfiles.check_kernel(tmp_path / "kernel")


def test_an_elf_with_a_pvh_note_is_a_kernel(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(disks.elf(note=18))
    diskfiles.check_kernel(tmp_path / "kernel")


def test_a_full_store_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    """Under a limit of the file's size, as no test may fill a disk: on a file system of its own where it can be had."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(small)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (tmp_path / "disk").write_bytes(disks.BOOT_SECTOR + noise(4 * MB - 512))
        with pytest.raises(Unavailable, match="image store is full") as failure:
            images.add(small / "store", "mine", tmp_path / "disk")
        assert failure.value.code == "insufficient_storage"
        assert str(tmp_path) not in failure.value.message
        assert names(small / "store") == []
        assert shutil.disk_usage(small).used < 64 << 10
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_killed_processes_have_left_is_swept_and_what_is_used_is_not(tmp_path: Path) -> None:
    left, used = tmp_path / f"{images.UPLOAD}left", tmp_path / f"{images.UPLOAD}used"
    (tmp_path / f"{images.STAGING}left").mkdir()
    for path in (left, used):
        path.write_bytes(b"half of an image")
    with open(filelocks.take(used, flags=os.O_RDONLY)):
        images.sweep(tmp_path)
        assert [path.name for path in tmp_path.glob(".[nu]*")] == [used.name]
    with images.uploading(tmp_path):
        assert not used.exists()


def refused(home: Path, because: str, kernel: Path | None = None) -> None:
    """Refused, the field named, no path of the host's in the words, and nothing left."""
    with pytest.raises(Invalid, match=because) as failure:
        images.add(home / "store", "mine", home / "disk", kernel=kernel)
    error: CorralError = failure.value
    assert error.details["field"] == ("kernel" if kernel else "disk")
    assert str(home) not in error.message
    assert names(home / "store") == []
    assert [path.name for path in (home / "store").iterdir() if path.suffix != ".lock"] == []
