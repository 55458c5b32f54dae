"""The guests of the lab: one small Linux, once with its kernel beside the disk, once on a disk that a BIOS boots.

The second has no file system. GRUB stands where a BIOS looks for it, and is told by sectors where the rest is: its
configuration at 1024, then the kernel and the ramdisk. So it takes no loop device, no root, and no guessing.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

from cli.image import initrd
from cli.image.log import Log
from cli.image.rootfs import files_below
from core import images
from tools.lab import recipe

SECTOR = 512
CONFIG_AT, CONFIG_SECTORS = 1024, 8  # as host/grub.cfg says
KERNEL_AT = 2048
DISK_BYTES = 1 << 30
TIMEOUT_SECONDS = 60
PREFIX = "./corral/"
ADDITIONS = "usr/sbin/VBoxService"  # of Guest Additions all that our guest runs


def build(store: Path, root: Path, programs: Path, work: Path, log: Log) -> None:
    """Put both images into `store`, made from the tar of the KVM host's root and from sid's programs."""
    parts = _parts(root)
    parts[f"guest/{ADDITIONS}"] = (programs / ADDITIONS).read_bytes()
    kernel, ramdisk, raw = work / "vmlinuz", work / "initrd", work / "boot.raw"
    kernel.write_bytes(parts["guest-kernel"])
    initrd.build(
        ramdisk,
        init=(recipe.GUEST / "init").read_bytes(),
        busybox=parts["busybox"],
        release=parts["release"].decode().strip(),
        modules={name: parts[f"{name}.ko"] for name in recipe.GUEST_MODULES},
        files=_files(parts),
    )
    with raw.open("wb") as disk:
        disk.truncate(DISK_BYTES)
    _add(store, recipe.GUEST_IMAGE, raw, work, log, kernel, ramdisk)
    # A BIOS that is emulated twice over reads 1 MB a second.
    _make_bootable(raw, parts, kernel.read_bytes(), gzip.compress(ramdisk.read_bytes(), mtime=0))
    _add(store, recipe.DISK_IMAGE, raw, work, log)


def _add(
    store: Path, name: str, raw: Path, work: Path, log: Log, kernel: Path | None = None, ramdisk: Path | None = None
) -> None:
    disk = work / f"{name}.qcow2"
    convert: list[str | Path] = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk]
    log.run(convert, timeout=TIMEOUT_SECONDS, env=dict(os.environ))
    images.add(
        store,
        name,
        disk,
        kernel=kernel,
        initrd=ramdisk,
        cmdline=recipe.GUEST_CMDLINE if kernel else "",
        guest_agent=kernel is not None,
        description="A small Linux for the lab",
        move=True,
    )


def _make_bootable(raw: Path, parts: dict[str, bytes], kernel: bytes, ramdisk: bytes) -> None:
    ramdisk_at = KERNEL_AT + _sectors(kernel)
    config = (
        "serial --unit=0 --speed=115200\nterminal_output serial\n"
        f"linux (hd0){KERNEL_AT}+{_sectors(kernel)} {recipe.GUEST_CMDLINE}\n"
        f"initrd (hd0){ramdisk_at}+{_sectors(ramdisk)}\nboot\n"
    )
    with raw.open("r+b") as disk:
        for sector, content in (
            (0, parts["boot.img"] + parts["core.img"]),
            (CONFIG_AT, config.encode().ljust(CONFIG_SECTORS * SECTOR, b"\n")),
            (KERNEL_AT, kernel),
            (ramdisk_at, ramdisk),
        ):
            disk.seek(sector * SECTOR)
            disk.write(content)


def _sectors(content: bytes) -> int:
    return -(-len(content) // SECTOR)


def _parts(root: Path) -> dict[str, bytes]:
    """What kvm.sh put aside, by path below /corral; of the drivers, those of the guests, by name."""
    found: dict[str, bytes] = {}
    with tarfile.open(root) as tar:
        for member in tar:
            path = Path(member.name)
            driver = path.suffix == ".ko" and path.stem in recipe.GUEST_MODULES
            wanted = driver or path.suffix != ".ko"
            if member.isfile() and member.name.startswith(PREFIX) and wanted:
                file = tar.extractfile(member)
                found[path.name if driver else member.name.removeprefix(PREFIX)] = file.read() if file else b""
    return found


def _files(parts: dict[str, bytes]) -> dict[str, bytes]:
    """The guest agent with its libraries, and our own files."""
    files = {name.removeprefix("guest/"): content for name, content in parts.items() if name.startswith("guest/")}
    ours = {name: path.read_bytes() for name, path in files_below(recipe.GUEST).items() if name != "init"}
    return files | ours
