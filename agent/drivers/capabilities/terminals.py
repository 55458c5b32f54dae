"""Terminals: commands that run on in the guest on a terminal of their own."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from agent.drivers.capabilities.execs import Size
from core.contract.messages import VmSpec


@runtime_checkable
class TerminalsCapability(Protocol):
    """Has "terminals" among its capabilities: `exec_begin` takes a `tty`, and what a terminal shows is "stdout".

    Both raise `DriverFailure` with code "exec_not_found" for an id that is not there, "not_a_terminal" for a command
    without one, and do nothing once it has ended.
    """

    def exec_type(self, vm: VmSpec, exec_id: str, data: bytes) -> None:
        """Types it, all or none of each 4 KiB; `DriverFailure` with code "terminal_full" when nothing reads there."""

    def exec_resize(self, vm: VmSpec, exec_id: str, size: Size) -> None:
        """The terminal has that size from now on, and what runs there is told so (SIGWINCH)."""
