"""`python -m tools.recordings LINES CAST`: types each line of a file into a shell, and records the terminal.

The result is asciinema's format, version 2: `asciinema play CAST` shows it. Pauses are cut to two seconds.
"""

from __future__ import annotations

import codecs
import json
import os
import pty
import select
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import click

WIDTH, HEIGHT = 110, 30
_READY = b"\x1b]133;A\x07"  # a mark that terminals know and don't show: the shell's prompt begins
_PROMPT = _READY + b"$ "
_LONGEST_PAUSE, _KEY_SECONDS, _PATIENCE_SECONDS = 2.0, 0.04, 600.0


class TerminalRecording:
    """A shell in a terminal, and what it has shown since its start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.events: list[tuple[float, str]] = []
        self._at, self._clock = 0.0, time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            prompt = {"PS1": "\\[\x1b]133;A\x07\\]$ ", "TERM": "xterm-256color"}
            termios.tcsetwinsize(0, (HEIGHT, WIDTH))
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], {**environment, **prompt})  # noqa: S606
        self._until_ready()

    def type(self, line: str) -> None:
        """Type it, and return when the shell asks for the next one."""
        for key in line:
            os.write(self._terminal, key.encode())
            self._read(_KEY_SECONDS)
            self._at += _KEY_SECONDS
        os.write(self._terminal, b"\r")
        self._until_ready()

    def end(self) -> None:
        """Leave the shell."""
        os.write(self._terminal, b"\x04")
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def cast(self) -> str:
        """The recording."""
        head = json.dumps({"version": 2, "width": WIDTH, "height": HEIGHT, "env": {"TERM": "xterm-256color"}})
        lines = (json.dumps([round(at, 2), "o", shown], ensure_ascii=False) for at, shown in self.events)
        return "\n".join([head, *lines, ""])

    def _until_ready(self) -> None:
        seen, until = b"", time.monotonic() + _PATIENCE_SECONDS
        while _PROMPT not in seen:
            if time.monotonic() > until:
                raise TimeoutError(f"the shell asks for nothing: {seen[-300:]!r}")
            seen += self._read(1.0)

    def _read(self, seconds: float) -> bytes:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return b""
        shown = os.read(self._terminal, 65536)
        now = time.monotonic()
        self._at, self._clock = self._at + min(now - self._clock, _LONGEST_PAUSE), now
        self.events.append((self._at, self._decoder.decode(shown).replace(_READY.decode(), "")))
        return shown


@click.command()
@click.argument("lines", type=click.Path(exists=True, path_type=Path))
@click.argument("cast", type=click.Path(path_type=Path))
def main(lines: Path, cast: Path) -> None:
    """Type each of LINES into a shell, and write the recording to CAST."""
    recording = TerminalRecording(os.environ)
    for line in lines.read_text().splitlines():
        recording.type(line)
    recording.end()
    cast.write_text(recording.cast())


if __name__ == "__main__":
    main()
