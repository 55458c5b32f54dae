"""What happened to a machine, from the record that QEMU itself writes.

A second QMP monitor reads a named pipe and writes a plain file: each event is a line in it, and is still there when
the process is gone. So observing needs no connection, and a guest that powered itself off is told from a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IN, OUT = "events.in", "events.out"
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Seen:
    """The last word on each matter since the launch. `ended`: the reason of a SHUTDOWN event.

    `resumed`: was set going by us, which a machine that boots is not.
    """

    paused: bool = False
    resumed: bool = False
    ended: str | None = None

    @property
    def guest_powered_off(self) -> bool:
        """Whether the guest did it itself."""
        return self.ended == "guest-shutdown"


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


def seen(folder: Path) -> Seen:
    """What the record says; nothing when there is none."""
    try:
        with (folder / OUT).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return Seen()
    paused, resumed, ended = False, False, None
    for event in map(_event, lines):
        name = event.get("event")
        if name in {"STOP", "RESUME"}:
            paused = name == "STOP"
            resumed = resumed or not paused
        elif name == "SHUTDOWN":
            ended = event["data"].get("reason", "unknown")
    return Seen(paused, resumed, ended)


def _event(line: bytes) -> dict[str, Any]:
    """Empty for a line that is cut, which only the first and the last can be."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return event
