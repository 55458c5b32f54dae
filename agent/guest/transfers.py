"""Records of open transfers in guests, beside the channel, so that an agent that restarts can close them.

The guest agent numbers its handles so that none is used twice, also when it is started anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.guest import qga
from core import filelocks

FOLDER = "transfers"
CLOSE_SECONDS = 15.0
RECORD_BYTES = 64 * 1024


class Transfer:
    """One file on its way. Its record is locked for as long as its process lives."""

    def __init__(self, channel: Path, token: str, *, new: bool = True) -> None:
        self.token = token
        self._channel = channel
        self._path = channel / FOLDER / token
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        # A new one may be looked at by `abandoned` before it is ours, for a moment.
        flags, patience = (os.O_RDWR | os.O_CREAT, None) if new else (os.O_RDWR, 0.0)
        self._record = filelocks.take(self._path, flags=flags, wait=patience)
        self.handle: int | None = None
        self.paths: list[str] = []

    @classmethod
    def abandoned(cls, channel: Path) -> Iterator[Transfer]:
        """Those whose process is gone, each while the loop is at it."""
        for path in (channel / FOLDER).glob("*"):
            try:
                transfer = cls(channel, path.name, new=False)
            except (FileNotFoundError, BlockingIOError):
                continue  # it has just ended, or is under way
            try:
                transfer._load()
                yield transfer
            finally:
                transfer.leave()

    def note(self, *paths: str) -> None:
        """From now on these are to be removed from the guest."""
        self.paths = list(dict.fromkeys(paths))
        self._save()

    @contextmanager
    def opened(self, path: str, mode: str) -> Iterator[int]:
        """A handle of the guest agent's; one that an error leaves open is closed with the transfer."""
        handle: int = qga.ask(self._channel, "guest-file-open", CLOSE_SECONDS, path=path, mode=mode)
        self.handle = handle
        self._save()
        yield handle
        self._ask_to_close()
        self.handle = None

    def close_handle(self) -> None:
        """Closes what is open; a handle that the guest agent does not know any more is closed."""
        if self.handle is not None:
            try:
                self._ask_to_close()
            except qga.AgentRefused:
                pass
            self.handle = None

    def forget(self) -> None:
        """Nothing of it is left in the guest."""
        self._path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Ends the lock."""
        os.close(self._record)

    def _ask_to_close(self) -> None:
        qga.ask(self._channel, "guest-file-close", CLOSE_SECONDS, handle=self.handle)

    def _save(self) -> None:
        text = json.dumps({"handle": self.handle, "paths": self.paths}).encode()
        os.pwrite(self._record, text, 0)
        os.ftruncate(self._record, len(text))

    def _load(self) -> None:
        """A record that was not written to its end says nothing."""
        try:
            found = json.loads(os.pread(self._record, RECORD_BYTES, 0))
            self.handle, self.paths = found["handle"], list(found["paths"])
        except (ValueError, KeyError, TypeError):
            pass
