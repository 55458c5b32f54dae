"""Files as strangers upload them: disks and kernels that begin as real ones do."""

from __future__ import annotations

import struct

CODE = b"\xfa\x31\xc0\x8e\xd8" * 80  # whatever a boot loader begins with
BOOT_SECTOR = CODE.ljust(510, b"\0") + b"\x55\xaa"


def bootable(size_bytes: int = 2 << 20) -> bytes:
    """A raw disk whose first sector a BIOS starts."""
    return BOOT_SECTOR.ljust(size_bytes, b"\0")


def kernel(body: bytes = b"kernel") -> bytes:
    """A bzImage, by its header, with a body of whole paragraphs."""
    padded = body + bytes(-len(body) % 16)
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = struct.pack("<I", len(padded) // 16)
    head[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    return bytes(head) + padded


def elf(note: int, machine: int = 62) -> bytes:
    """A vmlinux with one note of Xen's."""
    notes = struct.pack("<III", 4, 4, note) + b"Xen\0" + bytes(4)
    head = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HHIQQQIHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1)
    return head.ljust(64, b"\0") + struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, len(notes), len(notes), 4) + notes
