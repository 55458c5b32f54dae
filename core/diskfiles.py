"""Disk files of users: copied with their holes, and inspected before any hypervisor opens them."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.contract import diskformats, kernels, outputs
from core.contract.diskformats import BOOT_BYTES, MOST_BYTES, SECTOR
from core.contract.errors import Invalid, Unavailable
from core.contract.limits import ProcessLimits, within

CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
LEAST_BYTES = 1 << 20
TOOL_SECONDS = 120
SAID_BYTES = 1 << 20
_TEXT = bytes([*range(32, 127), *b"\t\n\r\f"])
_LEAKS = 3  # how `qemu-img check` ends when clusters are lost, which does no harm
_NAMES = {
    diskformats.VMDK: "a VMDK disk",
    diskformats.VDI: "a VDI disk",
    diskformats.VHD: "a VHD disk",
    "vhdx": "a VHDX disk",
    "qed": "a QED disk",
    diskformats.ISO: "a DVD image",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiskFile:
    """A disk file: its format "qcow2" or "raw", and the size of the disk that a guest sees."""

    format: str
    size_bytes: int


def take(source: Path, target: Path, *, move: bool = False) -> str:
    """Copy a file, or rename it if `move` and both are on one file system; its SHA-256.

    `Invalid` when there is no file to be read, `Unavailable` when there is no room for it.
    """
    try:
        real = source.resolve()
        if not real.is_file():
            raise Invalid(f"{source} is not a file")
        if move and _renamed(real, target):
            return _copy(target, None)
        return _copy(real, target)
    except PermissionError:
        raise Invalid(f"{source} may not be read by this process") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room() from None


def no_room() -> Unavailable:
    """The store's disk is full."""
    return Unavailable("the image store is full: remove images, or make room there", code="insufficient_storage")


def inspect(path: Path, *, boots: bool = True) -> DiskFile:
    """What the disk file at `path` is, told by its content; `boots`: a VM is to start from it, without a kernel.

    `Invalid` (its field is "disk") when it is no whole qcow2 or raw disk, leads to other files, or can't boot.
    """
    try:
        found = _look(path)
        if boots:
            _must_boot(_first_bytes(path, found.format))
    except Invalid as error:
        raise Invalid(f"the disk can't become an image: {error.message}", field="disk") from None
    return found


def check_kernel(path: Path) -> None:
    """`Invalid` (its field is "kernel") unless a VM can be started with it."""
    try:
        kernels.check(path)
    except Invalid as error:
        raise Invalid(f"the kernel can't be used: {error.message}", field="kernel") from None


def _look(path: Path) -> DiskFile:
    length = path.stat().st_size
    if not length:
        raise Invalid("it is empty")
    head = diskformats.head_of(path)
    kind = diskformats.kind_of(head)
    if kind == diskformats.RAW and _last_sector(path, length).startswith(b"conectix"):
        kind = diskformats.VHD
    if kind not in (diskformats.QCOW2, diskformats.RAW):
        raise Invalid(f"it is {_NAMES.get(kind, kind)}: {_advice(kind)}")
    if kind == diskformats.QCOW2:
        return DiskFile(kind, _qcow2_size(path, head))
    if not head.rstrip(b"\0").translate(None, _TEXT):
        raise Invalid("it holds only text or zeros")
    if length < LEAST_BYTES or length % SECTOR:
        raise Invalid(f"it is neither qcow2 nor raw (at least 1 MiB, a multiple of {SECTOR} bytes): is it cut short?")
    return DiskFile(kind, length)


def _advice(kind: str) -> str:
    if kind.startswith("compressed"):
        return "decompress it first"
    if kind.startswith("encrypted"):
        return "encrypted disks are not supported"
    if kind.endswith("archive"):
        return "unpack it, and convert the disk inside with qemu-img convert -O qcow2"
    if kind == diskformats.ISO:
        return "an image must be a disk; to attach a DVD, have the host's operator put it into the host's media folder"
    return "convert it with qemu-img convert -O qcow2"


def _qcow2_size(path: Path, head: bytes) -> int:
    """By the header alone, so that nothing follows what it names; then by `qemu-img check`, which reads all tables."""
    header = diskformats.qcow2(head)
    if header.has_backing_file:
        raise Invalid("it has a backing file: make it a single file with qemu-img convert -O qcow2")
    if header.has_data_elsewhere:
        raise Invalid("it has its data in another file: make it a single file with qemu-img convert -O qcow2")
    if header.is_encrypted:
        raise Invalid("encrypted disk images are not supported")
    if header.is_corrupt:
        raise Invalid("it is marked as corrupt: repair it with qemu-img check -r all, or copy it again")
    if header.is_dirty:
        raise Invalid("it was not closed cleanly: repair it with qemu-img check -r all, or copy it while its VM is off")
    if not SECTOR <= header.size_bytes <= MOST_BYTES or header.size_bytes % SECTOR:
        raise Invalid(f"its header says {header.size_bytes} bytes; a disk has 512 to {MOST_BYTES}")
    checked = _qemu_img("check", "--output=json", str(path), kind=diskformats.QCOW2)
    try:
        found: dict[str, Any] = json.loads(checked.stdout)
    except ValueError:
        raise Invalid("it is cut short or damaged: its tables can't be read") from None
    if found.get("corruptions") or found.get("check-errors") or checked.returncode not in (0, _LEAKS):
        raise Invalid("it is cut short or damaged: qemu-img check finds errors in it")
    return header.size_bytes


def _must_boot(first: bytes) -> None:
    sector = diskformats.boot_sector(first)
    if sector.is_efi and not sector.has_code:
        raise Invalid("it needs UEFI firmware, which no host offers: give a disk that boots by BIOS, or add a kernel")
    if not sector.has_signature or not sector.has_code:
        raise Invalid("its first sector has no boot loader: give a disk with a boot loader, or add a kernel")


def _first_bytes(path: Path, kind: str) -> bytes:
    if kind == diskformats.RAW:
        with path.open("rb") as file:
            return file.read(BOOT_BYTES)
    with tempfile.NamedTemporaryFile(dir=path.parent) as out:
        copy = ["-O", "raw", f"bs={BOOT_BYTES}", "count=1", f"if={path}", f"of={out.name}"]
        if _qemu_img("dd", *copy, kind=kind).returncode:
            if shutil.disk_usage(path.parent).free < BOOT_BYTES:
                raise no_room()
            raise Invalid("its first sectors can't be read")
        return Path(out.name).read_bytes()


def _last_sector(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, length - SECTOR))
        return file.read(SECTOR)


def _qemu_img(verb: str, *arguments: str, kind: str) -> subprocess.CompletedProcess[bytes]:
    """Runs it within limits, and with the format that was found; what it says goes to the log and to no one else."""
    command = within(ProcessLimits(cpu_seconds=TOOL_SECONDS), ["qemu-img", verb, "-f", kind, *arguments])
    try:
        done = _ended(command)
    except FileNotFoundError:
        raise Unavailable("prlimit is not installed: apt-get install util-linux") from None
    except subprocess.TimeoutExpired:
        raise Invalid(f"qemu-img could not read it within {TOOL_SECONDS} seconds") from None
    except outputs.TooLong:
        raise Invalid("it is cut short or damaged: qemu-img finds too many errors to list") from None
    if done.returncode == 127:
        raise Unavailable("qemu-img is not installed on this machine: apt-get install qemu-utils")
    if done.returncode:
        log.info("qemu-img %s ended with %s: %r", verb, done.returncode, done.stderr[:2000])
    return done


def _ended(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run to its end, or until it has said so much that the rest is of no use; killed whatever is raised."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
        try:
            out, err = outputs.read(tool, TOOL_SECONDS, SAID_BYTES, to_the_end=False)
        except BaseException:
            tool.kill()
            raise
    return subprocess.CompletedProcess(command, tool.returncode, out, err)


def _renamed(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy(source: Path, target: Path | None) -> str:
    """SHA-256 of a file, written to `target` on the way unless that is None; holes stay holes."""
    digest = hashlib.sha256()
    with source.open("rb") as file, (target or Path(os.devnull)).open("wb") as out:
        size = os.fstat(file.fileno()).st_size
        for offset, length, is_hole in extents(file.fileno(), size):
            file.seek(offset)
            out.seek(offset)
            for start in range(0, length, CHUNK):
                wanted = min(CHUNK, length - start)
                data = ZEROS[:wanted] if is_hole else file.read(wanted)
                if len(data) < wanted:
                    raise Invalid(f"{source} became shorter while it was read")
                digest.update(data)
                if not is_hole:
                    out.write(data)
        if target:
            out.truncate(size)
    return digest.hexdigest()


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Offset, length and whether it is a hole, for the whole of a file in order."""
    offset = 0
    while offset < size:
        try:
            data = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = size  # no data after this offset
        if data > offset:
            yield offset, data - offset, True
        if data < size:
            end = os.lseek(descriptor, data, os.SEEK_HOLE)
            yield data, end - data, False
            data = end
        offset = data
