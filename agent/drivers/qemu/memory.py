"""The memory and devices of a VM, written to a file and read back: QEMU's migration through an open descriptor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.qemu.qmp import Monitor
from core.contract.errors import DriverFailure

NAME = "memory"
POLL_SECONDS = 0.02
UNDER_WAY = {"setup", "active", "device", "pre-switchover", "cancelling"}
UNLIMITED = 1 << 40  # bytes a second: it goes to a file, and the guest waits


def save(monitor: Monitor, file: Path, progress: Progress) -> None:
    """Writes a paused machine to `file`; the migration is cancelled when `progress` raises."""
    monitor.ask("migrate-set-parameters", max_bandwidth=UNLIMITED)
    with _opened(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
        monitor.hand_over(NAME, descriptor)
        monitor.ask("migrate", uri=f"fd:{NAME}")
        try:
            _wait(monitor, progress, "saving the memory")
        except BaseException:
            abandon(monitor)
            raise
        os.fsync(descriptor)


def load(monitor: Monitor, file: Path, progress: Progress) -> None:
    """Fills a machine that was launched to wait for it, and leaves it paused."""
    with _opened(file, os.O_RDONLY) as descriptor:
        monitor.hand_over(NAME, descriptor)
        monitor.ask("migrate-incoming", uri=f"fd:{NAME}")
        _wait(monitor, progress, "loading the memory")


def abandon(monitor: Monitor) -> None:
    """Ends a saving that is under way, begun by whomever, and returns when it has ended."""
    monitor.ask("migrate_cancel")
    while monitor.ask("query-migrate").get("status") in UNDER_WAY:
        time.sleep(POLL_SECONDS)


@contextmanager
def _opened(file: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(file, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(monitor: Monitor, progress: Progress, step: str) -> None:
    """Until the migration has ended; the monitor's own deadline bounds it."""
    while True:
        now = monitor.ask("query-migrate")
        if now.get("status") == "completed":
            return
        if now.get("status") in {"failed", "cancelled"}:
            raise DriverFailure(f"{step} failed: {now.get('error-desc', 'QEMU gives no reason')}")
        ram = now.get("ram") or {}
        done = int(100 * ram["transferred"] / ram["total"]) if ram.get("total") else None
        progress(step, done)
        time.sleep(POLL_SECONDS)
