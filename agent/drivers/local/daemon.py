"""The process of a VM: alive exactly while it holds the lock on its pid file, so no reused pid is mistaken for it."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

from agent.system import signals
from core.contract import pidfiles
from core.contract.errors import DriverFailure

# By the drivers' names: a folder has the file of the one that made the VM.
PID_FILES = {"qemu": "qemu.pid", "cloud-hypervisor": "cloud-hypervisor.pid"}
TERM_SECONDS, KILL_SECONDS = 5.0, 10.0


def alive(folder: Path) -> int | None:
    """The process's id, or None."""
    found = (pidfiles.holder(folder / name) for name in PID_FILES.values())
    return next((pid for pid in found if pid is not None), None)


def started_at(folder: Path) -> float | None:
    """When it wrote its pid file, in seconds since the epoch."""
    for name in PID_FILES.values():
        with suppress(FileNotFoundError, NotADirectoryError):
            return (folder / name).stat().st_mtime
    return None


def cut(folder: Path) -> None:
    """Ends the process, if there is one, and returns when it is gone: first so that it can flush its disks."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        signals.send(lambda: alive(folder), number)
        if wait_gone(folder, seconds):
            return
    raise DriverFailure(f"the VM's process {alive(folder)} can't be ended")


def wait_gone(folder: Path, seconds: float) -> bool:
    """Whether the process is gone within that time."""
    deadline = time.monotonic() + seconds
    while alive(folder) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
