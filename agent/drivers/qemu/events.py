"""What happened to a machine, from the record that QEMU itself writes.

A second QMP monitor reads a named pipe and writes a plain file: each event is a line in it, and is still there when
the process is gone. So observing needs no connection, and a guest that powered itself off is told from a crash.
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

IN, OUT = "events.in", "events.out"
TAIL_BYTES = 64 * 1024
FULL, BROKEN = "full", "broken"


@dataclass(frozen=True)
class Seen:
    """The last word on each matter since the launch. `ended`: the reason of a SHUTDOWN event.

    `resumed`: was set going by us, which a machine that boots is not. `halted`: it is paused because the host could
    not write for it, `FULL` or `BROKEN`; `was_halted`: it
    has been, since it was started. `restarted_at`: when the guest last restarted itself, since the epoch.
    """

    paused: bool = False
    resumed: bool = False
    ended: str | None = None
    halted: str | None = None
    was_halted: bool = False
    restarted_at: float | None = None

    @property
    def guest_powered_off(self) -> bool:
        """Whether the guest did it itself."""
        return self.ended == "guest-shutdown"

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


def seen(folder: Path, since: int = 0) -> Seen:
    """What the record says from that byte of it on; nothing when there is none."""
    try:
        with (folder / OUT).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return Seen()
    found = Seen()
    for line in lines:
        found = _after(found, _event(line))
    return found


def length(folder: Path) -> int:
    """How long the record is by now, in bytes."""
    try:
        return (folder / OUT).stat().st_size
    except FileNotFoundError:
        return 0


def _after(was: Seen, event: dict[str, Any]) -> Seen:
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
