"""The download of one blob: resumed where an earlier attempt ended, and verified while it arrives."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from io import RawIOBase

from agent.images.contents import ImageContents
from agent.images.source import BROKE_OFF, Away, BlobResponse, Source
from core.contract.errors import DriverFailure, NoCapacity
from core.contract.images import ImageFile, ImageManifest

_CHUNK = 256 * 1024
_REHASH = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
SPARE_BYTES = 1 << 30  # which a pull leaves free on the host's disk

Came = Callable[[], None]
"""Called whenever more has come. It raises what ends the download; what has come stays."""


class Rate:
    """So many bytes a second at most, for all downloads of a host together; 0: as fast as it goes."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        """Waits until there is room for that many more."""
        if not self._rate:
            return
        with self._lock:
            begins = max(self._free_at, time.monotonic())
            self._free_at = begins + count / self._rate
        time.sleep(max(0.0, begins - time.monotonic()))


@dataclass(frozen=True)
class Wanted:
    """Of what a blob is: where it is had from a byte on, and the errors that end its download for good."""

    opened: Callable[[int], BlobResponse]
    damaged: DriverFailure
    no_room: NoCapacity


class BlobDownload:
    """The download of one blob: `run` may be called again after an `Away`, and resumes."""

    def __init__(self, wanted: Wanted, contents: ImageContents, file: ImageFile, rate: Rate) -> None:
        self._wanted, self._contents, self._file, self._rate = wanted, contents, file, rate
        self._part = contents.part(file)
        self._hash, self._size = hashlib.sha256(), 0
        self._taken_up = self._resumed = False

    def run(self, came: Came) -> None:
        """Gets the rest, and gives the blob its name; `Away`, or a `CorralError` for good.

        What an earlier agent has left of it counts, as far as it is there: only the whole is ever verified.
        """
        if not self._taken_up:
            self._take_up()
        if self._size < self._file.size_bytes:
            try:
                self._fetch(came)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._part.unlink(missing_ok=True)
                raise self._wanted.no_room from None
        if self._size < self._file.size_bytes:
            raise Away(BROKE_OFF)
        if self._hash.hexdigest() != self._file.sha256:
            again = self._resumed
            self._begin_anew()
            if again:  # a power cut may have left holes
                raise Away("what an earlier try had left of it was damaged")
            raise self._wanted.damaged
        self._contents.came(self._file)

    def _take_up(self) -> None:
        self._part.open("ab").close()
        with self._part.open("rb") as left:
            while chunk := left.read(_REHASH):
                self._note(chunk)
        self._taken_up, self._resumed = True, self._size > 0
        if self._size > self._file.size_bytes:
            self._begin_anew()

    def _fetch(self, came: Came) -> None:
        with closing(self._wanted.opened(self._size)) as answer:
            if answer.begins != self._size:
                self._begin_anew()
            with self._part.open("ab", buffering=0) as part:
                while (left := self._file.size_bytes - self._size) and (chunk := answer.read(min(left, _CHUNK))):
                    _write(part, chunk)
                    self._note(chunk)
                    came()
                    self._rate.take(len(chunk))

    def _note(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)

    def _begin_anew(self) -> None:
        self._part.open("wb").close()
        self._hash, self._size, self._resumed = hashlib.sha256(), 0, False


def _write(part: RawIOBase, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[part.write(rest) or 0 :]


def of_image(source: Source, image: ImageManifest, file: ImageFile) -> Wanted:
    """A file of an image."""
    damaged = DriverFailure(
        f"a file of image '{image.name}' came with another digest than its own: the fleet's copy is damaged; remove the"
        " image, and add it again",
        code="image_damaged",
    )
    return Wanted(lambda first: source.file(image.digest, file, first), damaged, no_room(image))


def no_room(image: ImageManifest) -> NoCapacity:
    """The error for a disk without room for an image."""
    return NoCapacity(
        f"the host's disk has no room for image '{image.name}' of {image.size_bytes >> 20} MB: remove VMs there",
        code="no_space",
    )
