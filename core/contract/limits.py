"""Limits for programs that read files of users: a crafted file could use any memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessLimits:
    """The limits of such a program: memory, seconds of a processor, and the largest file that it may write."""

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 30
    file_bytes: int = 16 << 20


def within(limits: ProcessLimits, command: Sequence[str]) -> list[str]:
    """The command, as it is run within them; `prlimit` is one of util-linux."""
    bounds = [f"--as={limits.memory_bytes}", f"--cpu={limits.cpu_seconds}", f"--fsize={limits.file_bytes}"]
    return ["prlimit", *bounds, "--core=0", "--", *command]
