"""`corral` as a person starts it: on a terminal of its own, which is a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.support.waiting import until


class Seat:
    """A program on a terminal; `shown` is all that it showed there."""

    def __init__(self, *words: str, config: Path, rows: int = 31, columns: int = 97) -> None:
        self._master, self._slave = pty.openpty()
        self.shown = b""
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from cli.main import main; main(prog_name='corral')", *words],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "CORRAL_CONFIG": str(config), "TERM": "xterm-256color"},
            start_new_session=True,
        )

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        """The window is dragged."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        if tell:  # the kernel tells whom the terminal controls, and this one controls nobody
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        """By a person."""
        os.write(self._master, text.encode())

    def shows(self, text: bytes) -> None:
        """Waits until it does."""
        until(lambda: text in self._look(), why=lambda: self.shown[-2000:])

    def ended(self) -> int:
        """Its exit code; the terminal is as it was."""

        def code() -> int | None:
            self._look()
            return self.process.poll()

        until(lambda: code() is not None, why=lambda: self.shown[-2000:])
        self._look()
        assert termios.tcgetattr(self._slave) == self.before, "the terminal was not restored"
        return self.process.returncode

    def close(self) -> None:
        """Nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    @property
    def is_raw(self) -> bool:
        """Whether keys go through as they are."""
        return not termios.tcgetattr(self._slave)[3] & termios.ICANON

    def _look(self) -> bytes:
        while select.select([self._master], [], [], 0.05)[0]:
            self.shown += os.read(self._master, 65536)
        return self.shown
