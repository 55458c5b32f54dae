"""Capability: files in the guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.contract.messages import VmSpec


@dataclass(frozen=True)
class FileTarget:
    """The destination of a file in a guest, and its mode bits; None: those of the file that it replaces, or rw-r--r--.

    `path` is absolute and names no folder.
    """

    path: str
    permissions: int | None = None


@dataclass(frozen=True)
class GuestFile:
    """An entry of a folder in a guest. `kind`: "file", "directory", "symlink" or "other"; a link is not followed."""

    path: str
    kind: str
    size_bytes: int
    permissions: int
    modified_at: float


@dataclass(frozen=True)
class GuestFileList:
    """The entries by path; `truncated`: there are more than were asked for, or than fit."""

    entries: list[GuestFile]
    truncated: bool


class FileReading(Protocol):
    """A file that is open for reading. `size_bytes` is None where only reading tells, as in /proc."""

    size_bytes: int | None
    modified_at: float

    def chunks(self, first: int, length: int | None) -> Iterator[bytes]:
        """So many bytes from there on (None: to the end), once; `DriverFailure` when there are fewer by now."""


@runtime_checkable
class FilesCapability(Protocol):
    """Has "files" among its capabilities. Paths are absolute, in the guest.

    Codes of its failures: "file_not_found", "is_a_directory", "not_a_directory", "not_a_file", "no_space",
    "file_refused" for whatever else the guest's files don't let happen, and "vm_not_running".
    """

    def file_write(
        self, vm: VmSpec, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
    ) -> FileTarget:
        """A whole new file in the place of an old one, or nothing: whatever is raised by `chunks` undoes it.

        `target` is asked once all chunks have been taken. `near`: where it will go, if that is known before. Folders
        on the way are made. A link at its place stays, and what it leads to is replaced. Only a regular file is
        replaced, by one of the same owner and group: "not_a_file" for devices, sockets and pipes. Returns where it
        really went.
        """

    def file_read(self, vm: VmSpec, path: str) -> AbstractContextManager[FileReading]:
        """A regular file, links followed."""

    def file_list(self, vm: VmSpec, path: str, recursive: bool, most: int) -> GuestFileList:
        """What is in a folder, and with `recursive` in all below it, `most` entries at most; links are not followed."""
