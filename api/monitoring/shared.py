"""The shared files of gunicorn's workers for Prometheus; their space is allocated before they are mapped.

Prometheus' client maps files that have holes: a page of them that finds the disk full ends the process by SIGBUS. They
are in memory where that can be had, and a worker that gets no room for its own counts for itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from core import filelocks

_PREFIX, _LOCK = "corral-metrics-", "lock"
_held: list[int] = []  # for as long as this process and its workers live
_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
# One file each for the kinds of figures in meters.py, far larger than all their labels need: they never grow.
_KINDS = ("counter", "histogram", "gauge_livesum")
_BYTES = 4 * 1024 * 1024


def folder(home: Path, port: int) -> Path:
    """The folder of the API that serves that home at that port."""
    if not os.access(_MEMORY, os.W_OK):
        return home / f"metrics-{port}"
    name = hashlib.sha256(f"{os.getuid()} {home} {port}".encode()).hexdigest()[:16]
    return _MEMORY / f"{_PREFIX}{name}"


def clear(where: Path) -> None:
    """Make the folder ours, empty, and remove those in memory whose API was killed: nobody else would."""
    if where.parent == _MEMORY:
        for other in _MEMORY.glob(f"{_PREFIX}*"):
            if other != where and other.stat().st_uid == os.getuid() and not _is_held(other):
                shutil.rmtree(other, ignore_errors=True)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in where.glob("*.db"):
        file.unlink(missing_ok=True)
    with suppress(BlockingIOError):  # the gunicorn that this one takes over from has it still
        _held.append(filelocks.take(where / _LOCK))


def _is_held(where: Path) -> bool:
    """Whether the gunicorn that made it lives, or has a worker that does."""
    lock = where / _LOCK
    return not lock.exists() or filelocks.is_held(lock)  # without one, it has only just been made


def take_room(where: Path) -> bool:
    """Make the files of this process, whole; whether there was room. Before Prometheus' client looks for them."""
    files = [where / f"{kind}_{os.getpid()}.db" for kind in _KINDS]
    try:
        for file in files:
            _make(file)
    except OSError:
        for file in files:
            file.unlink(missing_ok=True)
        return False
    return True


def _make(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _BYTES)
    finally:
        os.close(descriptor)
