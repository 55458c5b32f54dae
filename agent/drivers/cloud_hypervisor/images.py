"""A VM's first disk: a copy of the image's that takes no room where the file system can, else a layer over it."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from agent.drivers.local import disks
from agent.drivers.local.folder import LocalVmFolder
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.images import ImageManifest

FICLONE = 0x40049409  # ioctl_ficlonerange(2)
REFLINK, LAYER, COPY = "reflink", "layer", "copy"
SECONDS = 600.0


def first_disk(folder: LocalVmFolder, image: ImageManifest | None, disk_gb: int, lock: int) -> tuple[str, str | None]:
    """Its name, and how it came from the image."""
    size_bytes = disk_gb << 30
    folder.layers.mkdir(exist_ok=True)
    if image is None:
        name = disks.new_name(disks.RAW)
        with (folder.layers / name).open("xb") as file:
            file.truncate(size_bytes)
        return name, None
    name = disks.new_name(f".{image.format}")
    whole, source = folder.layers / name, folder.image / image.disk.name
    if _cloned(source, whole):
        _grow(whole, image.format, size_bytes, lock)
        return name, REFLINK
    if shutil.which("qemu-img") is not None:
        return disks.first_layer(folder, image, disk_gb, lock), LAYER
    if image.format != "raw":
        raise DriverFailure(f"the disk of image '{image.name}' is {image.format}, which needs qemu-img: {INSTALL}")
    process.run(["cp", "--sparse=always", str(source), str(whole)], SECONDS, holding=(lock,))
    _grow(whole, image.format, size_bytes, lock)
    return name, COPY


INSTALL = "apt-get install qemu-utils"


def _cloned(source: Path, to: Path) -> bool:
    """Whether the file system shares the blocks of both until one is written to."""
    with source.open("rb") as have, to.open("xb") as want:
        try:
            fcntl.ioctl(want, FICLONE, have.fileno())
        except OSError:
            to.unlink()
            return False
        os.fsync(want.fileno())
    return True


def _grow(disk: Path, kind: str, size_bytes: int, lock: int) -> None:
    if kind == "raw":
        os.truncate(disk, size_bytes)
    else:
        process.run(["qemu-img", "resize", "-q", "-f", kind, str(disk), str(size_bytes)], SECONDS, holding=(lock,))
