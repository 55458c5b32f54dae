"""Locks on files and folders, between threads and processes; the kernel takes them back from a process that dies.

The lock is `flock(2)`: it belongs to the open file, and so to every process that has inherited the descriptor. On
Windows, where a host has VirtualBox alone, it is a lock on the file's first byte. docs/decisions/0034 says why this is
no library.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.backoff import Backoff

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.02


def take(
    path: Path,
    *,
    wait: float | None = 0.0,
    flags: int = os.O_RDWR | os.O_CREAT,
    mode: int = 0o600,
    shared: bool = False,
) -> int:
    """A descriptor of the file that holds its lock until it is closed, with every copy that a child has inherited.

    `BlockingIOError` when another still holds the lock after `wait` seconds; None waits for ever. Several may hold a
    `shared` one at a time. What is in the file is left alone; `mode` is that of a new one.
    """
    descriptor = os.open(path, flags, mode)
    try:
        _lock(descriptor, wait, shared=shared)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, *, wait: float | None = None, mode: int = 0o600) -> Iterator[int]:
    """The lock on that file for as long as the block runs: its descriptor. Errors as `take`."""
    descriptor = take(path, wait=wait, mode=mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock on that file; False when there is no such file."""
    try:
        os.close(take(path, flags=os.O_RDONLY, shared=True))  # shared: two who ask at once don't see each other
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _lock(descriptor: int, wait: float | None, *, shared: bool) -> None:
    deadline = None if wait is None else time.monotonic() + wait
    backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        try:
            return _try(descriptor, shared=shared)
        except BlockingIOError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
        time.sleep(backoff.pause())


def _try(descriptor: int, *, shared: bool) -> None:
    """`BlockingIOError` when another has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
