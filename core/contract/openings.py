"""The first message of each end of a stream: one piece, as JSON."""

from __future__ import annotations

from msgspec import Struct

from core.contract.bounds import FileTime, Name, Serial


class FileFound(Struct, frozen=True):
    """A file of a guest that is open for reading; `size_bytes` is None where only reading tells, as in /proc."""

    size_bytes: Serial | None
    modified_at: FileTime


class FilePart(Struct, frozen=True):
    """Which of its bytes are wanted; `length` None: all from there on."""

    first: Serial
    length: Serial | None = None


class ConsoleOpened(Struct, frozen=True):
    """A console: whether what is typed reaches it, and where in which log its next byte is."""

    writable: bool
    log: Name
    position: Serial
