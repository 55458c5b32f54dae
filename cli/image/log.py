"""The running account of a build: a line a step for whoever waits, the whole of it in a file."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from core.contract.errors import CorralError

TAIL_LINES = 20
CLEAN_UP_SECONDS = 20


class BuildFailed(CorralError):
    """A step of a build failed; the message ends with the end of its log."""

    code = "image_build_failed"


class Log:
    """Says which step is under way, and runs its programs with their output in the log file."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self._say = say
        self._began = time.monotonic()
        path.write_text("")

    def say(self, text: str) -> None:
        """A line for whoever waits, with the seconds since the build began."""
        self._say(f"{time.monotonic() - self._began:5.1f}s  {text}")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step."""
        self.say(f"{name} ...")
        with self.path.open("a") as log:
            log.write(f"=== {name}\n")
        yield

    def run(
        self, command: Sequence[str | Path], *, timeout: float, env: dict[str, str], stdout: IO[bytes] | None = None
    ) -> None:
        """Run a program to its end; `BuildFailed` when it fails, or takes longer than `timeout` seconds.

        What it has to say goes to the log, and its lines "I: ... ..." (mmdebstrap's steps) to whoever waits, too.
        """
        with self.path.open("ab", buffering=0) as log:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=subprocess.PIPE, env=env
                )
            except FileNotFoundError:
                raise BuildFailed(f"{command[0]} is not installed: apt-get install it, and build again") from None
            late = threading.Event()
            with _ended(process, timeout, late):
                self._follow(process.stderr, log)
                process.wait()
        if late.is_set():
            raise self._failed(f"{command[0]} did not end within {timeout:.0f} seconds")
        if process.returncode:
            raise self._failed(f"{command[0]} failed with exit code {process.returncode}")

    def _follow(self, lines: IO[bytes] | None, log: IO[bytes]) -> None:
        for line in lines or ():
            log.write(line)
            text = line.decode(errors="replace").strip()
            if text.startswith("I: ") and text.endswith("..."):
                self.say(f"  {text.removeprefix('I: ')}")

    def _failed(self, what: str) -> BuildFailed:
        tail = self.path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return BuildFailed("\n".join([f"{what}. The end of {self.path}:", *(f"    {line}" for line in tail)]))


@contextmanager
def _ended(process: subprocess.Popen[bytes], timeout: float, late: threading.Event) -> Iterator[None]:
    """See that the process is gone afterwards: asked first, for mmdebstrap unmounts and removes what it has made."""

    def give_up() -> None:
        late.set()
        _signal(process, signal.SIGTERM)

    timer = threading.Timer(timeout, give_up)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _signal(process, signal.SIGTERM)
        if process.stderr:
            process.stderr.close()
        try:
            process.wait(CLEAN_UP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """No harm to one that has ended; one under sudo isn't ours to signal, and ends at its next line of output."""
    with suppress(PermissionError):
        process.send_signal(number)
