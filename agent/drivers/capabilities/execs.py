"""Capability: executions, which keep running in the guest without their caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.contract.messages import VmSpec

SIGNALS = ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM")
STREAMS = ("stdout", "stderr")
KEPT_BYTES = 8 * 1024 * 1024
"""How much of each output of a detached command is kept at least, the newest; and at most twice as much."""
UNKNOWN = "unknown"
"""The state of one that ran when its guest was last heard, in a list that the guest does not answer for now."""
MOST_RUNNING = 32
"""How many detached commands a VM runs at once."""
MOST_KEPT = 100
"""How many ended ones are kept, the newest."""


@dataclass(frozen=True)
class Size:
    """Of a terminal, in characters; 1 to 65,535 each."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Detached:
    """A command line for the guest's shell that runs on by itself. `id`: 1 to 64 of `0-9a-f-`, chosen by the caller.

    With `tty` it runs on a terminal of that size (`Terminals`), and `stdin` is nothing.
    """

    id: str
    command: str
    name: str | None = None
    timeout_seconds: float | None = None
    working_directory: str | None = None
    environment: dict[str, str] | None = None
    stdin: bytes | None = None
    tty: Size | None = None


@dataclass(frozen=True)
class GuestExec:
    """A detached command as it is now. Times are seconds since the epoch.

    `state`: running; exited; killed (by `signal`, which `exec_signal` sent); timed_out; lost (the guest was restarted,
    or what watched over it there was killed; nothing of it is alive). `exit_code` as a shell tells it, 128 + N for
    signal N; None while it runs, and for a lost one.
    """

    id: str
    command: str
    started_at: float
    name: str | None = None
    timeout_seconds: float | None = None
    working_directory: str | None = None
    state: str = "running"
    exit_code: int | None = None
    signal: str | None = None
    ended_at: float | None = None
    tty: bool = False


@dataclass(frozen=True)
class ExecOutput:
    """A part of one output of an execution. `offset` is that of the first byte of `data`.

    It is larger than what was asked for where older output is not kept any more. `ended`: nothing follows.
    """

    data: bytes
    offset: int
    ended: bool


@runtime_checkable
class ExecsCapability(Protocol):
    """Has "execs" among its capabilities: commands that run on in the guest whatever becomes of whoever began them.

    All but `exec_sweep` raise `DriverFailure` with code "exec_not_found" for an id that is not there.
    """

    def exec_begin(self, vm: VmSpec, wanted: Detached) -> GuestExec:
        """Returns as soon as it is under way; the one that has that id already, if there is one."""

    def exec_list(self, vm: VmSpec) -> list[GuestExec]:
        """Newest first. In a VM that does not run, none does."""

    def exec_get(self, vm: VmSpec, exec_id: str) -> GuestExec: ...

    def exec_output(self, vm: VmSpec, exec_id: str, stream: str, offset: int, limit: int) -> ExecOutput:
        """What it has written to "stdout" or "stderr" from that byte on, at most so many bytes; needs the guest."""

    def exec_signal(self, vm: VmSpec, exec_id: str, signal: str) -> GuestExec:
        """Sends one of `SIGNALS` to all its processes, unless it has ended. After KILL it has."""

    def exec_delete(self, vm: VmSpec, exec_id: str) -> None:
        """Kills it if need be, and forgets it and its output."""

    def exec_sweep(self) -> float | None:
        """Ends in all guests what is past its timeout; when the next one will be, in seconds since the epoch."""
