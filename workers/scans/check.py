"""A check of a scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Controls = Mapping[str, tuple[str, ...]]
# What is wrong in the evidence, a line each; nothing when all is well.
Judge = Callable[[str], list[str]]


@dataclass(frozen=True)
class ScanCheck:
    """`title` names the weakness that is looked for, `severity` is critical, high, medium or low.

    `gather` is POSIX shell that prints the evidence, or gives up by `cannot WHY`. `controls`: by framework.
    """

    id: str
    title: str
    severity: str
    gather: str
    judge: Judge
    recommendation: str
    controls: Controls


@dataclass(frozen=True)
class Family:
    """Checks whose evidence one script gathers. `prepare` runs first and may set variables for all of them.

    `category`: "configuration" or "vulnerability", the scan that it belongs to.
    """

    name: str
    category: str
    checks: tuple[ScanCheck, ...]
    prepare: str = ""
    seconds: float = 60.0

    def only(self, wanted: Callable[[ScanCheck], bool]) -> Family:
        """The same with those checks alone."""
        return replace(self, checks=tuple(check for check in self.checks if wanted(check)))


class CannotJudge(Exception):
    """The evidence does not say what it should; the message says why the check has not run."""


def offenders(text: str) -> list[str]:
    """The evidence is a list of what should not be."""
    return [line for line in text.splitlines() if line.strip()]
