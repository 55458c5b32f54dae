"""A VM's disk: layers of qcow2, each a copy-on-write file over another, the lowest over the image's or a raw one."""

from __future__ import annotations

import os
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.images import ImageManifest
from core.durable import sync_folder

SECONDS = 60.0
IMAGE_FOLDER, RAW, QCOW2 = "../image/", ".raw", ".qcow2"
SECTOR = 512  # the unit of st_blocks, whatever the file system's own is
# https://qemu.readthedocs.io/en/v7.2.0/interop/qcow2.html: magic, version, where the name below is, its length,
# cluster bits, the disk's size
_HEADER = struct.Struct(">4sIQIIQ")


@dataclass(frozen=True)
class Layer:
    """The header of a disk layer's file."""

    below: str | None
    size_bytes: int


def first_layer(folder: LocalVmFolder, image: ImageManifest | None, disk_gb: int, lock: int) -> str:
    """A VM's first layer, of its full size; returns its name."""
    base = [] if image is None else ["-b", f"{IMAGE_FOLDER}{image.disk.name}", "-F", image.format]
    return _make(folder, base, disk_gb * 1024**3, lock)


def layer_over(folder: LocalVmFolder, below: str, lock: int) -> str:
    """An empty layer over another; returns its name."""
    return _make(folder, ["-b", below, "-F", format_of(below, None)], _read(folder.layers / below).size_bytes, lock)


def new_name(ending: str) -> str:
    """For a layer's file, one that no layer has had; QEMU's names of nodes have no room for more."""
    return secrets.token_hex(10) + ending


def chain(folder: LocalVmFolder, top: str) -> list[str]:
    """The layers from `top` down, without the image's disk; `DriverFailure` unless each is there and whole."""
    names: list[str] = []
    name: str | None = top
    while name is not None and not name.startswith(IMAGE_FOLDER):
        names.append(name)
        name = _read(folder.layers / name).below
    return names


def below(folder: LocalVmFolder, layer: str) -> str | None:
    """What a layer is over, by the name in its file."""
    return _read(folder.layers / layer).below


def size_and_use(folder: LocalVmFolder, top: str) -> tuple[int, int]:
    """The disk's size as the guest sees it, and what its layers take on the host, in bytes."""
    used = sum((folder.layers / name).stat().st_blocks * SECTOR for name in chain(folder, top))
    return _read(folder.layers / top).size_bytes, used


def format_of(name: str, image: ImageManifest | None) -> str:
    """The format of a layer, or of the image's disk, by such a name."""
    if image is not None and name.startswith(IMAGE_FOLDER):
        return image.format
    return "raw" if name.endswith(RAW) else "qcow2"


def remove_unused(folder: LocalVmFolder, state: LocalVmRecord, tops: list[str]) -> None:
    """Removes the layers that neither the VM's disk nor any of `tops` rests on; none if that can't be told for sure."""
    try:
        used = {name for top in [state.disk, *tops] for name in chain(folder, top)}
    except DriverFailure:
        return
    for file in folder.layers.iterdir():
        if file.name not in used:
            file.unlink(missing_ok=True)


def _make(folder: LocalVmFolder, base: list[str], size_bytes: int, lock: int) -> str:
    """The names in a chain are relative, so that the folder can be moved."""
    name = new_name(QCOW2)
    folder.layers.mkdir(exist_ok=True)
    # -u: the layer below may be in use, and qemu-img need not look into it.
    create = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", *base, str(folder.layers / name), str(size_bytes)]
    process.run(create, SECONDS, holding=(lock,))
    folder.give(folder.layers / name)
    with (folder.layers / name).open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(folder.layers)
    return name


def _read(layer: Path) -> Layer:
    try:
        if layer.suffix == RAW:
            return Layer(None, layer.stat().st_size)
        with layer.open("rb") as file:
            magic, _, offset, length, _, size_bytes = _HEADER.unpack(file.read(_HEADER.size))
            file.seek(offset)
            below = file.read(length).decode() if offset else None
    except (FileNotFoundError, struct.error, UnicodeDecodeError) as error:
        raise DriverFailure(f"{layer} can't be read: the disk is damaged ({error})", code="state_damaged") from None
    if magic != b"QFI\xfb":
        raise DriverFailure(f"{layer} is not a qcow2 file: the disk is damaged", code="state_damaged")
    return Layer(below, size_bytes)
