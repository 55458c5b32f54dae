"""The event log of a VM since its launch, which its hypervisor writes into the VM's folder.

The record is still there when the process is gone. So observing needs no connection, and a guest that powered itself
off is told from a crash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunEvents(ABC):
    """The last word on each matter. `ended`: why it did, in the hypervisor's own word; None: it runs, or ended without
    one.

    `resumed`: was set going by us, which a machine that boots is not. `restarted_at`: when the guest last restarted
    itself, since the epoch.
    """

    paused: bool = False
    resumed: bool = False
    ended: str | None = None
    restarted_at: float | None = None

    @property
    @abstractmethod
    def powered_off(self) -> bool:
        """Whether the guest did it itself."""

    @property
    @abstractmethod
    def end(self) -> str:
        """Of a machine that should run and has no process: what is told of that."""

    @property
    def halt(self) -> str | None:
        """Of a machine that stands still: why, where nobody asked for it."""
        return None


class EventLog(ABC):
    """The record of one kind of hypervisor. `file` is its place in a VM's folder."""

    file: str

    @abstractmethod
    def run_events(self, folder: Path, since: int = 0) -> RunEvents:
        """What it says from that byte of it on; nothing when there is none."""

    def length(self, folder: Path) -> int:
        """How long it is by now, in bytes."""
        try:
            return (folder / self.file).stat().st_size
        except FileNotFoundError:
            return 0

    def tail(self, folder: Path, since: int, most: int) -> bytes:
        """What it has from that byte on, the last of it if that is more than `most`; of one begun anew, all."""
        try:
            with (folder / self.file).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(since if since <= size else 0, size - most))
                return file.read()
        except FileNotFoundError:
            return b""
