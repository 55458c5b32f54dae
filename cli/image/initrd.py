"""The kernel's initial ramdisk: a few programs, drivers and our script, as an uncompressed cpio archive (newc)."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from cli.image.rootfs import EPOCH

FOLDERS = ("bin", "dev", "lib", "proc", "root", "sys")


def build(
    initrd: Path,
    *,
    init: bytes,
    busybox: bytes,
    release: str,
    modules: Mapping[str, bytes],
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write `initrd`. `modules`: each after those that it needs; `files`: further programs and libraries, by path.

    Unpacking takes an emulated processor longer than reading 2 MB more, so it isn't compressed.
    """
    library = f"lib/modules/{release}"
    # So that modprobe needn't be told which those are that another needs.
    known = "".join(f"{name}.ko:\n" for name in modules)
    folders = (*FOLDERS, "lib/modules", library)
    further = sorted({str(above) for name in files for above in Path(name).parents} - {*folders, "."})
    entries = [
        *((name, stat.S_IFDIR | 0o755, b"") for name in (*folders, *further)),
        ("init", stat.S_IFREG | 0o755, init),
        ("modules", stat.S_IFREG | 0o644, (" ".join(modules) + "\n").encode()),
        ("bin/busybox", stat.S_IFREG | 0o755, busybox),
        (f"{library}/modules.dep", stat.S_IFREG | 0o644, known.encode()),
        *((f"{library}/{name}.ko", stat.S_IFREG | 0o644, content) for name, content in modules.items()),
        *((name, stat.S_IFREG | 0o755, content) for name, content in sorted(files.items())),
    ]
    archive = b"".join(_entry(number, *entry) for number, entry in enumerate(entries, start=1))
    # The kernel opens it before it runs /init, and without it says nothing of what goes wrong there.
    console = _entry(len(entries) + 1, "dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))
    initrd.write_bytes(archive + console + _entry(0, "TRAILER!!!", 0, b""))


def _entry(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    """One member, in the form of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst."""
    path = name.encode() + b"\0"
    links = uid = gid = checksum = 0
    numbers = (inode, mode, uid, gid, links + 1, EPOCH, len(data), 0, 0, *device, len(path), checksum)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
