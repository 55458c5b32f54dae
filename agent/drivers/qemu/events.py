"""The event log of a VM that QEMU writes to a file.

A second QMP monitor reads a named pipe and writes a plain file: each event is a line in it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.drivers.local import happened

IN, OUT = "events.in", "events.out"
TAIL_BYTES = 64 * 1024
FULL, BROKEN = "full", "broken"
DISK_FULL = "the host's disk is full: make room on it, then resume the VM"
DISK_BROKEN = "the host's disk failed while the VM wrote to it: repair the disk, then resume the VM"
_ENDS = {"guest-panic": "the guest's kernel panicked", "host-signal": "its QEMU process was killed on the host"}


@dataclass(frozen=True)
class QemuRunEvents(happened.RunEvents):
    """`ended`: the reason of a SHUTDOWN event. `halted`: it is paused because the host could not write for it, `FULL`
    or `BROKEN`; `was_halted`: it has been, since it was started."""

    halted: str | None = None
    was_halted: bool = False

    @property
    def powered_off(self) -> bool:
        """Whether the guest did it itself."""
        return self.ended == "guest-shutdown"

    @property
    def end(self) -> str:
        """In words."""
        return _ENDS.get(
            self.ended or "", f"QEMU ended: {self.ended}" if self.ended else "QEMU ended without an error message"
        )

    @property
    def halt(self) -> str | None:
        """What the host could not do for it."""
        if self.halted is None:
            return None
        return DISK_FULL if self.halted == FULL else DISK_BROKEN

    @property
    def disk_is_full(self) -> bool:
        """Whether it stands still until there is room on its host's disk."""
        return self.paused and self.halted == FULL


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """A fresh record for a QEMU that starts, and answers on its monitor, inside the `with`."""
    for name in (IN, OUT):
        (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / IN, 0o600)
    (folder / OUT).touch(0o600)
    pipe = os.open(folder / IN, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(pipe, b'{"execute": "qmp_capabilities"}\n')
        yield
    finally:
        os.close(pipe)


class QemuEventLog(happened.EventLog):
    """Each event a line."""

    file = OUT

    def run_events(self, folder: Path, since: int = 0) -> QemuRunEvents:
        """What it says from that byte of it on."""
        found = QemuRunEvents()
        for line in self.tail(folder, since, TAIL_BYTES).splitlines():
            found = _after(found, _event(line))
        return found


RECORD = QemuEventLog()


def _after(was: QemuRunEvents, event: dict[str, Any]) -> QemuRunEvents:
    """https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-qmp-ref.html: BLOCK_IO_ERROR comes before its STOP."""
    name, data = event.get("event"), event.get("data", {})
    if name == "STOP":
        return replace(was, paused=True)
    if name == "RESUME":
        return replace(was, paused=False, resumed=True, halted=None)
    if name == "BLOCK_IO_ERROR" and data.get("action") == "stop":
        return replace(was, halted=FULL if data.get("nospace") else BROKEN, was_halted=True)
    if name == "SHUTDOWN":
        return replace(was, ended=data.get("reason", "unknown"))
    if name == "RESET" and data.get("guest"):
        return replace(was, restarted_at=float(event.get("timestamp", {}).get("seconds", time.time())))
    return was


def _event(line: bytes) -> dict[str, Any]:
    """Empty for a line that is cut, which only the first and the last can be."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return event
