"""Programs that stand in for others which a machine may not have; each is held to the real one where that is."""

from __future__ import annotations

from pathlib import Path

from core import images

PROGRAM = Path(__file__).with_name("cloud_hypervisor.py")
DISK_BYTES = 64 << 20


def store(folder: Path, name: str) -> Path:
    """A store of images with one that no guest could boot, and that has no guest agent."""
    folder.mkdir()
    disk, kernel = folder.with_name("disk.raw"), folder.with_name("vmlinuz")
    with disk.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa")  # as a disk with a table of its parts has
        file.truncate(DISK_BYTES)
    kernel.write_bytes(bytes(0x1FE) + b"\x55\xaa" + bytes(2) + b"HdrS" + bytes(0x1000))  # what a bzImage begins with
    images.add(folder, name, disk, kernel=kernel, cmdline="console=ttyS0", guest_agent=False)
    return folder
