"""The running account of a build: a line a step for whoever waits, the whole of it in a file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.contract.errors import CorralError

TAIL_LINES = 20


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
        """Announce a step, and how long it took."""
        began = time.monotonic()
        self.say(f"{name} ...")
        self._write(f"=== {name}\n")
        yield
        self._write(f"=== {name}: {time.monotonic() - began:.1f}s\n")

    def run(
        self, command: Sequence[str | Path], *, timeout: float, env: dict[str, str], stdout: IO[bytes] | None = None
    ) -> None:
        """Run a program to its end; `BuildFailed` when it fails, or takes longer than `timeout` seconds."""
        with self.path.open("ab") as log:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout or log,
                    stderr=log,
                    env=env,
                    timeout=timeout,
                    check=False,
                )
            except FileNotFoundError:
                raise BuildFailed(f"{command[0]} is not installed: apt-get install it, and build again") from None
            except subprocess.TimeoutExpired:
                raise self._failed(f"{command[0]} did not end within {timeout:.0f} seconds") from None
        if done.returncode:
            raise self._failed(f"{command[0]} failed with exit code {done.returncode}")

    def _failed(self, what: str) -> BuildFailed:
        tail = self.path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return BuildFailed("\n".join([f"{what}. The end of {self.path}:", *(f"    {line}" for line in tail)]))

    def _write(self, text: str) -> None:
        with self.path.open("a") as log:
            log.write(text)
