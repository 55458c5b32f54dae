"""Disk files that strangers hand in: copied with their holes, and looked at before any hypervisor opens them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.contract.errors import Invalid, Unavailable

CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
SECTOR = 512
LEAST_BYTES = 1 << 20
INSPECT_SECONDS = 30
INSPECT_BYTES = 2 << 30
QCOW2_MAGIC = b"QFI\xfb"
EXTERNAL_DATA = 1 << 2  # an incompatible feature of version 3: the data lies in another file


@dataclass(frozen=True)
class Disk:
    """What a disk file is: "qcow2" or "raw", and the size of the disk that a guest sees."""

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
        raise Unavailable(f"no room left for {source} at {target.parent}", code="insufficient_storage") from None


def inspect(path: Path, shown: Path) -> Disk:
    """What the file at `path` is; `shown` names it in errors.

    `Invalid` when it is no qcow2 or raw disk, or one that leads to other files: such a file could show its owner
    whatever the hypervisor may read.
    """
    with path.open("rb") as file:
        head = file.read(104)
    if head[:4] == QCOW2_MAGIC:
        _refuse_references(head, shown)
    found = _qemu_img_info(path, shown)
    if found.get("encrypted"):
        raise Invalid(f"{shown} is encrypted: a disk that can't be read can't be an image")
    length = path.stat().st_size
    if found["format"] == "raw" and (length < LEAST_BYTES or length % SECTOR):
        raise Invalid(f"{shown} is no disk: not qcow2, and for raw not whole {SECTOR}-byte sectors, at least 1 MiB")
    if found["format"] not in ("qcow2", "raw"):
        raise Invalid(f"{shown} is {found['format']}: turn it into qcow2 with qemu-img convert -O qcow2")
    return Disk(found["format"], found["virtual-size"])


def _refuse_references(head: bytes, shown: Path) -> None:
    """By the header alone (QEMU's docs/interop/qcow2.txt), so that nothing follows the reference to find it."""
    if len(head) < 72:
        raise Invalid(f"{shown} is cut short")
    version, backing_offset = struct.unpack_from(">IQ", head, 4)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 and len(head) >= 80 else 0
    if backing_offset:
        raise Invalid(f"{shown} has a backing file: make it whole with qemu-img convert -O qcow2")
    if features & EXTERNAL_DATA:
        raise Invalid(f"{shown} has its data in another file: make it whole with qemu-img convert -O qcow2")


def _qemu_img_info(path: Path, shown: Path) -> dict[str, Any]:
    # A crafted header can ask for any amount of memory and time.
    limits = [f"--as={INSPECT_BYTES}", f"--cpu={INSPECT_SECONDS}"]
    command = ["prlimit", *limits, "--", "qemu-img", "info", "--output=json", str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSPECT_SECONDS, check=False)
    except FileNotFoundError:
        raise Unavailable("prlimit is not installed: apt-get install util-linux") from None
    except subprocess.TimeoutExpired:
        raise Invalid(f"{shown} can't be read as a disk within {INSPECT_SECONDS} seconds") from None
    if done.returncode == 127:
        raise Unavailable("qemu-img is not installed on this machine: apt-get install qemu-utils")
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().replace(str(path.absolute()), str(shown))
        raise Invalid(f"{shown} can't be read as a disk: {reason}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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
        for offset, length, is_hole in _extents(file.fileno(), size):
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


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int, bool]]:
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
