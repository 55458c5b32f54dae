"""What commands in guests write, and what is in folders there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Output:
    """Bytes that an execution wrote to `stream`, "stdout" or "stderr". `lost`: how many before them are not kept."""

    stream: str
    data: bytes
    lost: int = 0


@dataclass(frozen=True, kw_only=True)
class OutputPart:
    """Some of what an execution wrote: go on with `next_offset`. `ended`: nothing follows."""

    stream: str
    data: str
    offset: int
    next_offset: int
    ended: bool
    encoding: str = "text"


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """An entry of a folder in a guest; `permissions` in octal, `type`: file, directory, symlink or other."""

    name: str
    path: str
    size_bytes: int
    is_directory: bool
    permissions: str
    modified_at: datetime
    type: str = "file"
