"""Files in a Linux guest by Guest Additions: short shell texts, and `guestcontrol copyto` for what comes in.

VBoxManage takes no stream, so that what is written lies on the host a part at a time. What is read comes as a command's
output, a piece at a time: `copyfrom` would take a name with a `*` in it for many.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from agent.drivers.capabilities.files import FileReading, FileTarget, GuestFileList
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult
from agent.drivers.virtualbox import attachments, credentials, guest
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage, VBoxManageError
from agent.guest import filescript
from agent.system.vault import Vault
from core.contract.errors import DriverFailure

PART_BYTES = 64 * 1024 * 1024  # of the host's disk, for each file on its way in
PIECE_BYTES = 2 * 1024 * 1024  # of memory, for each on its way out
SCRIPT_SECONDS = 60.0
LAST_SECONDS = 600.0  # for a part, and until the guest's disk has what its memory still holds
TEMPORARY = ".transfer-"


@dataclass(frozen=True)
class VirtualBoxGuest:
    """A guest that runs, by its VM."""

    manage: VBoxManage
    vault: Vault
    folder: VirtualBoxVmFolder
    name: str

    def check(self) -> None:
        """`DriverFailure` unless it runs and Guest Additions answer."""
        guest.check(dict(attachments.info_of(self.manage, self.folder)), self.name)

    def execute(self, script: str, seconds: float = SCRIPT_SECONDS) -> GuestExecResult:
        """Runs a script to its end."""
        return guest.execute(self.manage, self.vault, self.folder, GuestExecRequest(script, seconds))

    def run(self, script: str, seconds: float = SCRIPT_SECONDS) -> str:
        """What a script of `filescript`'s prints; the error that its exit code stands for."""
        done = self.execute(script, seconds)
        filescript.check(done.exit_code, done.stderr)
        return done.stdout.decode(errors="surrogateescape")

    def copy_to(self, source: Path, target: str) -> None:
        """Puts what is in a file of the host into one of the guest, which is there and keeps its mode."""
        with credentials.opened(self.vault, self.folder) as account:
            arguments = ["copyto", *account, str(source), target]
            self.manage.run("guestcontrol", self.folder.uuid, *arguments, timeout=LAST_SECONDS)


def write(
    at: VirtualBoxGuest, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
) -> FileTarget:
    """As `Files.file_write`. What an agent that is killed leaves in the guest is a hidden file of root's alone."""
    at.check()
    token = secrets.token_hex(8)
    folder = filescript.placed(at.run(filescript.beginning(token, near)))
    draft = filescript.draft(folder, token)
    drafts = [draft, f"{draft}.part"]
    try:
        _fill(at, draft, chunks)
        wanted = target()
        drafts.append(filescript.draft(filescript.folder_of(wanted.path), token))
        script = filescript.finishing(token, draft, wanted.path, wanted.permissions)
        return FileTarget(filescript.placed(at.run(script, LAST_SECONDS)), wanted.permissions)
    except (VBoxManageError, filescript.FileScriptError) as error:
        _remove(at, drafts)
        at.check()
        raise _no_space(at, folder) or filescript.FileScriptError(error.message) from None
    except BaseException:
        _remove(at, drafts)
        raise


@contextmanager
def read(at: VirtualBoxGuest, path: str) -> Iterator[FileReading]:
    """As `Files.file_read`."""
    at.check()
    yield _CommandFileReading(at, path, *filescript.looked(at.run(filescript.looking(path))))


def listing(at: VirtualBoxGuest, path: str, recursive: bool, most: int) -> GuestFileList:
    """As `Files.file_list`."""
    at.check()
    token = secrets.token_hex(8)
    done = at.execute(filescript.listing(path, recursive, most, token))
    filescript.check(done.exit_code, done.stderr, path)
    if not done.stdout and done.stderr:
        filescript.check(filescript.REFUSED, done.stderr, path)
    return filescript.listed(done.stdout, most, token, truncated=done.truncated)


class _CommandFileReading:
    """A `FileReading` by a command for each piece."""

    def __init__(self, at: VirtualBoxGuest, path: str, size_bytes: int | None, modified_at: float) -> None:
        self._at, self._path = at, path
        self.size_bytes, self.modified_at = size_bytes, modified_at

    def chunks(self, first: int, length: int | None) -> Iterator[bytes]:
        left = length
        while left is None or left > 0:
            asked = PIECE_BYTES if left is None else min(left, PIECE_BYTES)
            done = self._at.execute(filescript.piece(self._path, first, asked))
            filescript.check(done.exit_code, done.stderr)
            piece = done.stdout[:asked]
            if piece:
                yield piece
            first += len(piece)
            left = None if left is None else left - len(piece)
            if len(piece) < asked:
                break
        if left:
            raise DriverFailure("the file became shorter while it was read", code="file_refused")


def _fill(at: VirtualBoxGuest, draft: str, chunks: Iterator[bytes]) -> None:
    """The first part goes to the draft itself; each that follows goes beside it, and is added."""
    part = draft
    with _temporary(at.folder) as file:
        for _ in _parts(chunks, file):
            if part != draft:
                at.run(f"umask 077; : >{quote(part)}")
            at.copy_to(file, part)
            if part != draft:
                at.run(f"cat -- {quote(part)} >>{quote(draft)} && rm -- {quote(part)}", LAST_SECONDS)
            part = f"{draft}.part"


def _parts(chunks: Iterator[bytes], file: Path) -> Iterator[None]:
    """Comes back each time the file holds another part."""
    size = 0
    with file.open("wb") as out:
        for chunk in chunks:
            out.write(chunk)
            size += len(chunk)
            if size >= PART_BYTES:
                out.flush()
                yield
                size = 0
                out.seek(0)
                out.truncate()
        out.flush()
        if size:
            yield


@contextmanager
def _temporary(folder: VirtualBoxVmFolder) -> Iterator[Path]:
    """A file of the host's, gone afterwards; those that killed agents have left go with the VM."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.path) as inside:  # mode 0700
        yield Path(inside) / "part"


def _remove(at: VirtualBoxGuest, paths: list[str]) -> None:
    """As far as the guest still listens."""
    with suppress(DriverFailure):
        at.run(filescript.removing(paths))


def _no_space(at: VirtualBoxGuest, folder: str) -> DriverFailure | None:
    """The error for a full file system, if that folder's is."""
    try:
        free_bytes = int(at.run(filescript.measuring(folder)))
    except (DriverFailure, ValueError):
        return None
    if free_bytes > PART_BYTES:
        return None
    return DriverFailure(f"there is no space left for the file in '{folder}' of the guest", code="no_space")
