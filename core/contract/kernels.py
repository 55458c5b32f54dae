"""Kernel files, by their bytes: whether an x86-64 machine without a boot loader can be started with one.

Sources: Linux' Documentation/arch/x86/boot.rst; the ELF specification; Xen's docs/misc/pvh.pandoc.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from core.contract.errors import Invalid

HEAD_BYTES = 4096
_PVH_NOTE = 18  # XEN_ELFNOTE_PHYS32_ENTRY
_X86_64, _NOTE_SEGMENT = 62, 4
_MOST_SEGMENTS, _MOST_NOTES_BYTES = 64, 1 << 16  # Linux' own has five, and some hundred bytes
_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"))


def check(path: Path) -> None:
    """`Invalid` says why a file can't be booted as a kernel."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise Invalid("it is empty")
    for signature, name in _COMPRESSED:
        if head.startswith(signature):
            raise Invalid(f"it is compressed with {name}: decompress it first")
    if head[0x202:0x206] == b"HdrS" and head[0x1FE:0x200] == b"\x55\xaa":
        _check_bzimage(head, path.stat().st_size)
    elif head.startswith(b"\x7fELF"):
        _check_elf(path, head)
    elif head[0x38:0x3C] in (b"ARM\x64", b"RSC\x05"):
        raise Invalid("it is a kernel for a processor other than x86-64")
    else:
        raise Invalid("it is not a Linux kernel: give a bzImage, such as /boot/vmlinuz-*, or a vmlinux with a PVH note")


def _check_bzimage(head: bytes, length: int) -> None:
    sectors = head[0x1F1] or 4
    whole = (sectors + 1) * 512 + 16 * struct.unpack_from("<I", head, 0x1F4)[0]
    if length < whole:
        raise Invalid(f"it is cut short: {length} bytes of {whole}")


def _check_elf(path: Path, head: bytes) -> None:
    if len(head) < 64 or head[4] != 2 or struct.unpack_from("<H", head, 18)[0] != _X86_64:
        raise Invalid("it is an ELF file for a processor other than x86-64")
    offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    with path.open("rb") as file:
        for number in range(min(count, _MOST_SEGMENTS)):
            entry = _read(file, offset + number * size, 56)
            if len(entry) == 56 and struct.unpack_from("<I", entry)[0] == _NOTE_SEGMENT:
                at, length = struct.unpack_from("<Q", entry, 8)[0], struct.unpack_from("<Q", entry, 32)[0]
                if _has_pvh(_read(file, at, min(length, _MOST_NOTES_BYTES))):
                    return
    raise Invalid("it is an ELF file without a PVH note, which can't be booted: give the bzImage of that kernel")


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    """What is there; nothing beyond the file's end, wherever a header says that something is."""
    if at >= file.seek(0, os.SEEK_END):
        return b""
    file.seek(at)
    return file.read(length)


def _has_pvh(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name_length, length, kind = struct.unpack_from("<III", notes, at)
        if kind == _PVH_NOTE and notes[at + 12 : at + 12 + name_length] == b"Xen\0":
            return True
        at += 12 + -(-name_length // 4) * 4 + -(-length // 4) * 4
    return False
