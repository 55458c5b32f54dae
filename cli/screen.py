"""Steps on the screen: which are done, how far one is, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text


class Screen:
    """On a terminal the running step has a line that moves; elsewhere each line is written once."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._detail = ""

    def line(self, text: str, style: str = "") -> None:
        """A line of its own, above the step that runs."""
        self._console.print(Text(text, style=style))

    def event(self, text: str) -> None:
        """An event that came meanwhile."""
        self.line(f"      ⚡ {text}", "cyan")

    def detail(self, text: str) -> None:
        """How far the running step is; shown once, however often it is told."""
        if text and text != self._detail:
            self._detail = text
            self.line(f"      {text}", "dim")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step; its mark says whether it was done."""
        self._detail, began = "", time.monotonic()
        mark, colour = "✗", "red"
        try:
            with self._moving(what):
                yield
            mark, colour = "✓", "green"
        finally:
            seconds = time.monotonic() - began
            self._console.print(Text.assemble("    ", (mark, colour), f" {what} ({seconds:.1f} s)"))

    @contextmanager
    def _moving(self, what: str) -> Iterator[None]:
        if not self._console.is_terminal:
            self.line(f"    … {what}")
            yield
            return
        columns = (TextColumn("   "), SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(what, total=None)
            yield
