"""Formats of disk files, by their first bytes: read here, and by no program that would follow the paths in them.

Sources: QEMU's docs/interop/qcow2.txt; VMware's "Virtual Disk Format 5.0" for VMDK; VirtualBox's
include/VBox/vd-vdi headers as QEMU's block/vdi.c has them; Microsoft's "Virtual Hard Disk Image Format
Specification"; ECMA-119 and ECMA-167 for DVDs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from core.contract.errors import Invalid

HEAD_BYTES = 36 << 10  # as far as a DVD's first descriptor
SECTOR = 512
MOST_BYTES = 64 << 40  # no disk here is larger
QCOW2, RAW, VDI, VMDK, VHD, ISO = "qcow2", "raw", "vdi", "vmdk", "vhd", "iso"
VMDK_TEXT = "a VMDK descriptor"
# Kind, where its signature is, and the signature; the first that fits is what the file is.
_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    (QCOW2, 0, b"QFI\xfb"),
    (VMDK, 0, b"KDMV"),
    (VMDK, 0, b"COWD"),
    (VMDK_TEXT, 0, b"# Disk DescriptorFile"),
    (VDI, 64, b"\x7f\x10\xda\xbe"),
    (VHD, 0, b"conectix"),
    ("vhdx", 0, b"vhdxfile"),
    ("a Parallels disk", 0, b"WithoutFreeSpace"),
    ("a Parallels disk", 0, b"WithouFreSpacExt"),
    ("qed", 0, b"QED\0"),
    ("encrypted (LUKS)", 0, b"LUKS\xba\xbe"),
    ("compressed with gzip", 0, b"\x1f\x8b"),
    ("compressed with xz", 0, b"\xfd7zXZ\0"),
    ("compressed with zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("compressed with bzip2", 0, b"BZh"),
    ("compressed with lz4", 0, b"\x04\x22\x4d\x18"),
    ("a zip archive", 0, b"PK\x03\x04"),
    ("a 7-Zip archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a tar archive", 257, b"ustar"),
    (ISO, 32769, b"CD001"),
    (ISO, 32769, b"BEA01"),
)
DISK_FORMATS = frozenset({QCOW2, VMDK, VMDK_TEXT, VDI, VHD, "vhdx", "a Parallels disk", "qed"})
_QCOW2 = struct.Struct(">4sIQIIQIIQQIIQ")
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _KNOWN_FEATURES = 1, 2, 4, 0b11111


@dataclass(frozen=True)
class Qcow2:
    """What the header of a qcow2 file says. `features`: the incompatible ones of version 3."""

    version: int
    size_bytes: int
    cluster_bits: int
    has_backing_file: bool
    is_encrypted: bool
    features: int

    @property
    def is_dirty(self) -> bool:
        """It was not closed."""
        return bool(self.features & _DIRTY)

    @property
    def is_corrupt(self) -> bool:
        """A program has found it damaged, and said so in it."""
        return bool(self.features & _CORRUPT)

    @property
    def has_data_elsewhere(self) -> bool:
        """Its content is in another file."""
        return bool(self.features & _EXTERNAL_DATA)


def head_of(path: Path) -> bytes:
    """As much of a file as is needed to tell what it is."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def kind_of(head: bytes) -> str:
    """What a file is that begins so: one of the formats above, what else has a signature, or "raw"."""
    for kind, offset, signature in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    return RAW


def size_of(path: Path, kind: str) -> int:
    """The size in bytes of the disk in a file of that format, which nobody looks for in the file.

    `Invalid` says why a file is not a whole one of that format, or leads to other files.
    """
    if kind in (RAW, ISO):
        return path.stat().st_size
    head = head_of(path)
    if kind_of(head) != kind:
        raise Invalid(f"it is not {kind}")
    size = _SIZES[kind](head)
    if not 0 < size <= MOST_BYTES:
        raise Invalid(f"its header gives an invalid size: {size} bytes")
    return size


def must_begin_as(path: Path, kind: str) -> None:
    """`Invalid` unless a file that comes from somewhere can be of that format: anything but another format is raw."""
    found = kind_of(head_of(path))
    if found != kind and (kind != RAW or found in DISK_FORMATS):
        raise Invalid(f"its name says {kind}, but it is {found}")
    size_of(path, kind)


def qcow2(head: bytes) -> Qcow2:
    """What a qcow2 header says; `Invalid` when it is none."""
    if len(head) < 104:
        raise Invalid("it is cut short: its header is incomplete")
    fields = _QCOW2.unpack_from(head)
    magic, version, backing, _, cluster_bits, size, crypt = fields[:7]
    if magic != b"QFI\xfb" or version not in (2, 3) or not 9 <= cluster_bits <= 21:
        raise Invalid("its header is not that of qcow2 version 2 or 3")
    features = struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0
    if features & ~_KNOWN_FEATURES:
        raise Invalid("its qcow2 header requires features that are not supported")
    return Qcow2(version, size, cluster_bits, bool(backing), bool(crypt), features)


def _qcow2_size(head: bytes) -> int:
    header = qcow2(head)
    if header.has_backing_file or header.has_data_elsewhere:
        raise Invalid("part of its data is in another file: convert it to a single file first")
    return header.size_bytes


def _vmdk_size(head: bytes) -> int:
    # Little endian; a capacity of 0 says that the text inside names the files with the data.
    version, _, sectors = struct.unpack_from("<IIQ", head.ljust(512, b"\0"), 4)
    if head[:4] != b"KDMV" or version not in (1, 2, 3) or not sectors:
        raise Invalid("its data is in other files: convert it to a single file first")
    return int(sectors) * SECTOR


def _vdi_size(head: bytes) -> int:
    kind, size = struct.unpack_from("<I", head, 76)[0], struct.unpack_from("<Q", head.ljust(512, b"\0"), 368)[0]
    if kind not in (1, 2):
        raise Invalid("it is a differencing disk: clone it to a full disk first")
    return int(size)


def _vhd_size(head: bytes) -> int:
    size, kind = struct.unpack_from(">Q", head.ljust(512, b"\0"), 48)[0], struct.unpack_from(">I", head, 60)[0]
    if kind not in (2, 3):
        raise Invalid("it is a differencing disk: clone it to a full disk first")
    return int(size)


_SIZES = {QCOW2: _qcow2_size, VMDK: _vmdk_size, VDI: _vdi_size, VHD: _vhd_size}


BOOT_BYTES = 34 * SECTOR  # a master boot record, and a GPT of the usual size
_EFI_SYSTEM = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")  # C12A7328-F81F-11D2-BA4B-00A0C93EC93B as on disk


@dataclass(frozen=True)
class BootSector:
    """What the first sectors of a disk say of how it starts."""

    has_signature: bool
    has_code: bool
    is_gpt: bool
    is_efi: bool


def boot_sector(first: bytes) -> BootSector:
    """By the first `BOOT_BYTES` of a disk: whether a BIOS finds something there, or UEFI firmware alone does."""
    is_gpt = first[SECTOR : SECTOR + 8] == b"EFI PART"
    kinds = {first[446 + 16 * number + 4] for number in range(4)} if len(first) >= SECTOR else set()
    return BootSector(
        has_signature=first[510:512] == b"\x55\xaa",
        has_code=any(first[:440]),
        is_gpt=is_gpt,
        is_efi=(is_gpt and _EFI_SYSTEM in first[2 * SECTOR :]) or 0xEF in kinds,
    )
