"""The progress of a build: a line for each step on the screen, and everything in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.contract.errors import CorralError

TAIL_LINES = 20
CLEAN_UP_SECONDS = 20
POLL_SECONDS = 0.1


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
        with self.path.open("ab") as log, self.path.open("rb") as lines:
            lines.seek(0, os.SEEK_END)
            try:
                # To a file and not through us: killed, we leave it able to clean up behind itself.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout or log,
                    stderr=log,
                    env=env,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise BuildFailed(f"{command[0]} is not installed: apt-get install it, and build again") from None
            with _ended(process):
                in_time = self._followed(process, lines, timeout)
        if not in_time:
            raise self._failed(f"{command[0]} did not end within {timeout:.0f} seconds")
        if process.returncode:
            raise self._failed(f"{command[0]} failed with exit code {process.returncode}")

    def _followed(self, process: subprocess.Popen[bytes], lines: IO[bytes], timeout: float) -> bool:
        """Wait for it; whether it ended within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            for line in lines:
                text = line.decode(errors="replace").strip()
                if text.startswith("I: ") and text.endswith("..."):
                    self.say(f"  {text.removeprefix('I: ')}")
        return process.poll() is not None

    def _failed(self, what: str) -> BuildFailed:
        tail = self.path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return BuildFailed("\n".join([f"{what}. The end of {self.path}:", *(f"    {line}" for line in tail)]))


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """See that it is gone afterwards, with its children.

    Asked first, for mmdebstrap unmounts and removes what it has made; it waits for its children, so they are asked too.
    """
    try:
        yield
    finally:
        try:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(CLEAN_UP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except PermissionError:
            pass  # one under sudo isn't ours to signal; it watches its own time
