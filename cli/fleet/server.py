"""The common part of the private servers: a port that the home remembers, a password, a wait until they answer."""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path

from cli.fleet import files, ports
from cli.fleet.processes import Process, StartFailed, clear_out

_ATTEMPTS = 3


class Server(Process):
    """A server with its data in `<home>/<name>`. `start` returns when it answers."""

    program: str
    patience = 60.0  # seconds to the first answer: a recovery after a crash takes its time

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name, [], log=home / "logs" / f"{name}.log")
        self.home = home
        self.port = 0
        self.password = ""

    @property
    @abstractmethod
    def working_folder(self) -> Path:
        """Where the server's processes stand while they run: how what a former run left is known."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes whatever `command` needs, and sets `command`, for `port` and `password`."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves now."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is, with the password."""

    def start(self) -> None:
        """Starts it on the port it had last, on another when that is taken; returns when it answers."""
        if self.alive:
            return
        files.private_folder(self.log.parent)
        self.password = files.kept_secret(self.home / f"{self.name}.password")
        for attempt in range(1, _ATTEMPTS + 1):
            clear_out(self.working_folder, self.program, self.stop_signal)
            self.port = ports.remembered(self.home / f"{self.name}.port")
            self.prepare()
            super().start()
            if self._comes_up():
                return
            if attempt == _ATTEMPTS or ports.is_free(self.port):  # not a port that someone took a moment before us
                break
        raise StartFailed(f"{self.name} did not start. The end of {self.log}:\n{files.tail(self.log)}")

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline and self.alive:
            if self.answers():
                return True
            time.sleep(0.03)
        self.kill()
        return False
