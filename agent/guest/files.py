"""Files in a guest by its agent: written whole or not at all, read, and listed.

The agent moves the bytes; what it has no command for is done by short shell texts, few of them, since starting a
program is the dear part where the guest is emulated (40 ms).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.drivers.capabilities.files import FileReading, FileTarget, GuestFileList
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.guest import commands, filescript, qga
from agent.guest.replies import QgaRead
from agent.guest.transfers import Transfer
from core.contract.errors import DriverFailure

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024  # larger ones are hardly faster, and whoever else asks the agent waits for one of them
SILENCE_SECONDS = 30.0
SCRIPT_SECONDS = 30.0
FINISH_SECONDS = 600.0  # the guest's disk takes what its memory still holds, perhaps on another file system


def write(channel: Path, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]) -> FileTarget:
    """As `Files.file_write`, in the guest whose agent is at the end of the channel in that folder."""
    with _transfer(channel) as transfer:
        transfer.note(filescript.draft(filescript.folder_of(near), transfer.token))
        folder = filescript.placed(_run(channel, filescript.beginning(transfer.token, near), SCRIPT_SECONDS))
        draft = filescript.draft(folder, transfer.token)
        transfer.note(draft)
        try:
            _fill(channel, transfer, draft, chunks)
            written = _finish(channel, transfer, draft, target())
        except (qga.AgentRefused, filescript.FileScriptError) as error:
            raise _no_space(channel, folder) or filescript.FileScriptError(error.message) from None
        transfer.note()
        return written


def _finish(channel: Path, transfer: Transfer, draft: str, target: FileTarget) -> FileTarget:
    transfer.note(draft, filescript.draft(filescript.folder_of(target.path), transfer.token))
    script = filescript.finishing(transfer.token, draft, target.path, target.permissions)
    return FileTarget(filescript.placed(_run(channel, script, FINISH_SECONDS)), target.permissions)


def _fill(channel: Path, transfer: Transfer, draft: str, chunks: Iterator[bytes]) -> None:
    with transfer.opened(draft, "wb") as handle:
        for chunk in chunks:
            for start in range(0, len(chunk), CHUNK_BYTES):
                data = qga.data(chunk[start : start + CHUNK_BYTES])
                qga.ask(channel, "guest-file-write", SILENCE_SECONDS, handle=handle, **_named("buf-b64", data))
        qga.ask(channel, "guest-file-flush", SILENCE_SECONDS, handle=handle)


def _named(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


@contextmanager
def read(channel: Path, path: str) -> Iterator[FileReading]:
    """As `Files.file_read`."""
    with _transfer(channel) as transfer:
        size, modified = filescript.looked(_run(channel, filescript.looking(path), SCRIPT_SECONDS))
        try:
            with transfer.opened(path, "rb") as handle:
                yield _HandleFileReading(channel, handle, size, modified)
        except qga.AgentRefused as error:
            raise filescript.FileScriptError(error.message) from None


def listing(channel: Path, path: str, recursive: bool, most: int) -> GuestFileList:
    """As `Files.file_list`."""
    token = secrets.token_hex(8)
    done = commands.execute(channel, GuestExecRequest(filescript.listing(path, recursive, most, token), SCRIPT_SECONDS))
    filescript.check(done.exit_code, done.stderr, path)
    if not done.stdout and done.stderr:
        filescript.check(filescript.REFUSED, done.stderr, path)
    return filescript.listed(done.stdout, most, token, truncated=done.truncated)


class _HandleFileReading:
    """A `FileReading` by a handle of the guest agent. A file whose size can't be believed is read ahead a little:

    most of these are short, and then their size is known."""

    def __init__(self, channel: Path, handle: int, size_bytes: int | None, modified_at: float) -> None:
        self._channel, self._handle = channel, handle
        self.size_bytes, self.modified_at = size_bytes, modified_at
        self._ahead: bytes | None = None
        if size_bytes is None:
            self._ahead = self._read_ahead()

    def chunks(self, first: int, length: int | None) -> Iterator[bytes]:
        left = length
        for data in self._pieces(first, left):
            piece = data if left is None else data[:left]
            if piece:
                yield piece
            left = None if left is None else left - len(piece)
            if left == 0:
                return
        if left:
            raise DriverFailure("the file became shorter while it was read", code="file_refused")

    def _pieces(self, first: int, length: int | None) -> Iterator[bytes]:
        """Of about the asked length, to the file's end."""
        if self._ahead is not None:
            yield self._ahead[first:]
            if self.size_bytes is not None:
                return
        elif first:
            self._ask("guest-file-seek", offset=first, whence="set")
        left = length
        while left is None or left > 0:
            data, ended = self._read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
            yield data
            left = None if left is None else left - len(data)
            if ended and not data:
                return

    def _read_ahead(self) -> bytes:
        """The file, if it ends within a chunk, whose size is known then; else its beginning."""
        got = bytearray()
        while len(got) < CHUNK_BYTES:
            data, ended = self._read(CHUNK_BYTES)
            got += data
            if ended and not data:
                self.size_bytes = len(got)
                break
        return bytes(got)

    def _read(self, count: int) -> tuple[bytes, bool]:
        found: QgaRead = self._ask("guest-file-read", count=count)
        if not found.buf_b64 and not found.eof:
            raise qga.AgentRefused("the guest agent returned neither data nor the end of the file")
        return found.buf_b64[:count], found.eof

    def _ask(self, command: str, **arguments: Any) -> Any:
        return qga.ask(self._channel, command, SILENCE_SECONDS, handle=self._handle, **arguments)


@contextmanager
def _transfer(channel: Path) -> Iterator[Transfer]:
    """Cleans up after transfers whose agent died, and after this one whatever happens to it."""
    try:
        for old in Transfer.abandoned(channel):
            if not _clean(channel, old):
                break
        transfer = Transfer(channel, secrets.token_hex(8))
        try:
            yield transfer
        except qga.AgentSilent:  # what it left is for the next transfer to clean
            raise
        except BaseException:
            _clean(channel, transfer)
            raise
        else:
            _clean(channel, transfer)
        finally:
            transfer.leave()
    except OSError as error:
        raise DriverFailure(f"the transfer failed on the host: {error}") from error


def _clean(channel: Path, transfer: Transfer) -> bool:
    """Nothing of it is left open or behind in the guest; what can't be removed now is by the next transfer."""
    try:
        transfer.close_handle()
        if transfer.paths:
            _run(channel, filescript.removing(transfer.paths), SCRIPT_SECONDS)
    except DriverFailure as error:
        log.info("a transfer left %s in a guest: %s", transfer.paths, error.message)
        return False
    transfer.forget()
    return True


def _run(channel: Path, script: str, seconds: float) -> str:
    """What the script prints; the error that its exit code stands for."""
    done = commands.execute(channel, GuestExecRequest(script, seconds))
    filescript.check(done.exit_code, done.stderr)
    return done.stdout.decode(errors="surrogateescape")


def _no_space(channel: Path, folder: str) -> DriverFailure | None:
    """The error for a full file system, if that folder's is."""
    try:
        free_bytes = int(_run(channel, filescript.measuring(folder), SCRIPT_SECONDS))
    except (DriverFailure, ValueError):
        return None
    if free_bytes > 2 * CHUNK_BYTES:
        return None
    return DriverFailure(f"there is no space left for the file in '{folder}' of the guest", code="no_space")
