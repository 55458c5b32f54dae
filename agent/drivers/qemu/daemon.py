"""The QEMU process of a VM: alive exactly while it holds the lock on its pid file, so no number is mistaken for it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from core.contract import pidfiles
from core.contract.errors import DriverFailure

PID_FILE = "qemu.pid"
TERM_SECONDS, KILL_SECONDS = 5.0, 10.0


def alive(folder: Path) -> int | None:
    """The process's id, or None."""
    return pidfiles.holder(folder / PID_FILE)


def started_at(folder: Path) -> float | None:
    """When it wrote its pid file, in seconds since the epoch."""
    try:
        return (folder / PID_FILE).stat().st_mtime
    except FileNotFoundError:
        return None


def cut(folder: Path) -> None:
    """Ends the process, if there is one, and returns when it is gone: first so that it can flush its disks."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        _signal(folder, number)
        if wait_gone(folder, seconds):
            return
    raise DriverFailure(f"the QEMU process {alive(folder)} can't be ended")


def wait_gone(folder: Path, seconds: float) -> bool:
    """Whether the process is gone within that time."""
    deadline = time.monotonic() + seconds
    while alive(folder) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _signal(folder: Path, number: int) -> None:
    pid = alive(folder)
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if alive(folder) == pid:  # so the descriptor is that of the lock's holder
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(process)
