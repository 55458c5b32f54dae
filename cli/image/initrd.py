"""The kernel's initial ramdisk: busybox, a few drivers and our script, as an uncompressed cpio archive (newc)."""

from __future__ import annotations

import stat
from pathlib import Path

from cli.image import recipe

FOLDERS = ("bin", "dev", "lib", "proc", "root", "sys")


def build(initrd: Path, busybox: bytes, release: str, modules: dict[str, bytes]) -> None:
    """Write `initrd`. Unpacking takes an emulated processor longer than reading 2 MB more, so it isn't compressed."""
    library = f"lib/modules/{release}"
    # Each after those that it needs, so that modprobe needn't be told which those are.
    known = "".join(f"{name}.ko:\n" for name in recipe.MODULES)
    entries = [
        *((name, stat.S_IFDIR | 0o755, b"") for name in (*FOLDERS, "lib/modules", library)),
        ("init", stat.S_IFREG | 0o755, (recipe.GUEST / "init").read_bytes()),
        ("modules", stat.S_IFREG | 0o644, (" ".join(recipe.MODULES) + "\n").encode()),
        ("bin/busybox", stat.S_IFREG | 0o755, busybox),
        (f"{library}/modules.dep", stat.S_IFREG | 0o644, known.encode()),
        *((f"{library}/{name}.ko", stat.S_IFREG | 0o644, modules[name]) for name in recipe.MODULES),
    ]
    archive = b"".join(_entry(number, *entry) for number, entry in enumerate(entries, start=1))
    # The kernel opens it before it runs /init, and without it says nothing of what goes wrong there.
    console = _entry(len(entries) + 1, "dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))
    initrd.write_bytes(archive + console + _entry(0, "TRAILER!!!", 0, b""))


def _entry(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    """One member, in the form of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst."""
    path = name.encode() + b"\0"
    links = uid = gid = checksum = 0
    numbers = (inode, mode, uid, gid, links + 1, recipe.EPOCH, len(data), 0, 0, *device, len(path), checksum)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
