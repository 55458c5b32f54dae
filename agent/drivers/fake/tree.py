"""The files of a fake guest: a folder of the host's, in which nothing of the guest's can lead outside."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.drivers.capabilities.files import FileTarget, GuestFile, GuestFileList
from core.contract.errors import DriverFailure

CHUNK_BYTES = 256 * 1024
DEFAULT_MODE = 0o644


class Tree:
    """The files of one guest."""

    def __init__(self, folder: Path) -> None:
        self._root, self._drafts = folder / "guest", folder / "drafts"

    def read_text(self, path: str) -> str | None:
        """A file's text, as a command reads it."""
        try:
            return self._place(path).read_text(errors="replace")
        except OSError:
            return None

    def write_text(self, path: str, text: str) -> None:
        """Writes a file, as a command does."""
        self.write(iter([text.encode()]), lambda: FileTarget(path, 0o644))

    def write(self, chunks: Iterator[bytes], target: Callable[[], FileTarget]) -> FileTarget:
        """As `Files.file_write`."""
        with _told():
            self._drafts.mkdir(exist_ok=True)
            draft = self._drafts / secrets.token_hex(8)
            try:
                with draft.open("wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                return self._finish(draft, target())
            finally:
                draft.unlink(missing_ok=True)

    def _finish(self, draft: Path, target: FileTarget) -> FileTarget:
        place = self._place(target.path)
        if place.is_dir():
            raise DriverFailure(f"'{target.path}' is a folder", code="is_a_directory")
        place.parent.mkdir(parents=True, exist_ok=True)
        kept = stat.S_IMODE(place.stat().st_mode) if place.exists() else DEFAULT_MODE
        draft.chmod(kept if target.permissions is None else target.permissions)
        draft.replace(place)
        return target

    @contextmanager
    def read(self, path: str) -> Iterator[Reading]:
        """As `Files.file_read`."""
        with _told():
            place = self._place(path)
            if place.is_dir() or place == self._root:
                raise DriverFailure(f"'{path}' is a folder", code="is_a_directory")
            with place.open("rb") as file:
                found = os.fstat(file.fileno())
                yield Reading(file.fileno(), found.st_size, found.st_mtime)

    def list(self, path: str, recursive: bool, most: int) -> GuestFileList:
        """As `Files.file_list`."""
        with _told():
            place = self._place(path)
            if place == self._root:
                place.mkdir(exist_ok=True)
            if place.is_file():
                raise DriverFailure(f"'{path}' is no folder", code="not_a_directory")
            found = sorted(place.rglob("*") if recursive else place.iterdir())
            return GuestFileList([self._entry(each) for each in found[:most]], len(found) > most)

    def sums(self) -> dict[str, str]:
        """The SHA-256 of each file."""
        return {
            str(path.relative_to(self._root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self._root.rglob("*"))
            if path.is_file()
        }

    def copy_to(self, other: Tree) -> None:
        """Makes the other the same."""
        shutil.rmtree(other._root, ignore_errors=True)
        if self._root.exists():
            shutil.copytree(self._root, other._root)

    def remove(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self._root.parent, ignore_errors=True)

    def _place(self, path: str) -> Path:
        return self._root / os.path.normpath(f"/{path}").lstrip("/")

    def _entry(self, place: Path) -> GuestFile:
        found = place.stat()
        return GuestFile(
            path=f"/{place.relative_to(self._root)}",
            kind="directory" if place.is_dir() else "file",
            size_bytes=found.st_size,
            permissions=stat.S_IMODE(found.st_mode),
            modified_at=found.st_mtime,
        )


class Reading:
    """A `FileReading` of an open file."""

    def __init__(self, descriptor: int, size_bytes: int, modified_at: float) -> None:
        self._descriptor = descriptor
        self.size_bytes: int | None = size_bytes
        self.modified_at = modified_at

    def chunks(self, first: int, length: int | None) -> Iterator[bytes]:
        """The bytes from there on."""
        left = (self.size_bytes or 0) - first if length is None else length
        while left > 0:
            data = os.pread(self._descriptor, min(left, CHUNK_BYTES), first)
            if not data:
                raise DriverFailure("the file became shorter while it was read", code="file_refused")
            yield data
            first, left = first + len(data), left - len(data)


@contextmanager
def _told() -> Iterator[None]:
    """What the host's files refuse, as a guest's would."""
    try:
        yield
    except FileNotFoundError:
        raise DriverFailure("there is no such file or folder in the guest", code="file_not_found") from None
    except OSError as error:
        raise DriverFailure(f"the guest refused: {error.strerror}", code="file_refused") from None
