"""Open files for a new QEMU process, which may open none itself: sockets, taps, media, and its lock."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from agent.network import opening
from core.contract import pidfiles


@dataclass
class Handing:
    """Descriptors for a process that is started inside the `with`, and closed here afterwards."""

    descriptors: list[int] = field(default_factory=list)
    _close: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Handing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close.close()

    def file(self, path: Path, flags: int) -> int:
        """A file that is there."""
        return self._given(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW))

    def tap(self, name: str) -> int:
        """The other end of an interface."""
        return self._given(opening.opened(name))

    def listener(self, folder: Path, name: str) -> int:
        """A new unix socket of that name, for the agent's user alone to connect to."""
        (folder / name).unlink(missing_ok=True)
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener = self._given(stream.detach())
        home = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(fileno=os.dup(listener)) as bound:
                bound.bind(f"/proc/self/fd/{home}/{name}")  # an address holds 107 bytes
                bound.listen()
        finally:
            os.close(home)
        (folder / name).chmod(0o600)
        return listener

    def pid_file(self, path: Path) -> int:
        """Its pid file, locked for as long as it lives."""
        return self._given(pidfiles.take(path))

    def _given(self, descriptor: int) -> int:
        self._close.callback(os.close, descriptor)
        self.descriptors.append(descriptor)
        return descriptor
