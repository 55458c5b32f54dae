"""What a VM that moves to another host consists of: its files, as the host that it leaves tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from core.contract.bounds import Line, Name, Serial

MOST_EXTENTS = 1024
MOST_FILES = 10_000
Extent = tuple[Serial, Serial]
"""The first byte, and how many."""


@dataclass(frozen=True)
class MovedFile:
    """One of them, by its name in the VM's folder. What is sent of it are its extents, one after the other.

    All else of its `size_bytes` is holes. `sha256` is that of what is sent.
    """

    name: Line
    size_bytes: Serial
    sha256: Name
    extents: Annotated[list[Extent], Meta(max_length=MOST_EXTENTS)]

    @property
    def sent_bytes(self) -> int:
        """How many bytes are sent."""
        return sum(length for _, length in self.extents)

    @property
    def is_sane(self) -> bool:
        """Whether it lies in its VM's folder, with extents that follow each other in it: its sender may be hostile."""
        parts = PurePosixPath(self.name).parts
        end = 0
        for first, length in self.extents:
            if first < end or not length:
                return False
            end = first + length
        inside = bool(parts) and not self.name.startswith("/") and ".." not in parts and "\0" not in self.name
        return inside and end <= self.size_bytes and len(self.sha256) == 64 and self.sha256.isalnum()


Files = Annotated[list[MovedFile], Meta(min_length=1, max_length=MOST_FILES)]


class ReadMoved(Struct, frozen=True):
    """A file of a VM that moves goes out on that stream: of what is sent of it, `length` bytes from `first` on."""

    stream: Name
    file: MovedFile
    first: Serial
    length: Serial
