"""Steps as a person follows them: what is done, how far it is, and how long it took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Screen:
    """On a terminal the running step has a line that moves; elsewhere each line is written once."""

    def __init__(self) -> None:
        self._moves = sys.stdout.isatty()
        self._lock = threading.RLock()
        self._running: str | None = None
        self._detail = ""
        self._began = 0.0

    def line(self, text: str) -> None:
        """A line of its own."""
        with self._lock:
            self._clear()
            click.echo(text)
            sys.stdout.flush()

    def event(self, text: str) -> None:
        """Something heard meanwhile."""
        self.line(click.style(f"      ⚡ {text}", fg="cyan"))

    def detail(self, text: str) -> None:
        """How far the running step is; said once, however often it is told."""
        if text and text != self._detail:
            self._detail = text
            self.line(click.style(f"      {text}", dim=True))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step; its mark says whether it was done."""
        self._running, self._detail, self._began = what, "", time.monotonic()
        ended = threading.Event()
        if self._moves:
            mover = threading.Thread(target=self._move, args=(ended,), daemon=True)
            mover.start()
        else:
            self.line(f"    … {what}")
        mark, colour = "✗", "red"
        try:
            yield
            mark, colour = "✓", "green"
        finally:
            ended.set()
            if self._moves:
                mover.join()
            self._running = None
            self.line(f"    {click.style(mark, fg=colour)} {what} ({time.monotonic() - self._began:.1f} s)")

    def _move(self, ended: threading.Event) -> None:
        frame = 0
        while not ended.wait(0.1):
            frame += 1
            with self._lock:
                self._clear()
                seconds = time.monotonic() - self._began
                click.echo(f"    {_FRAMES[frame % len(_FRAMES)]} {self._running} ({seconds:.0f} s)", nl=False)
                sys.stdout.flush()

    def _clear(self) -> None:
        if self._moves:
            click.echo("\r\033[K", nl=False)
