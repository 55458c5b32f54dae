"""The holder of the lock on a pid file: a VM's process while it lives, so that no reused pid is mistaken for it.

Linux alone: it asks about an open file description's lock (fcntl(2), F_OFD_GETLK).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

_LOCK = struct.Struct("hhqqi")  # struct flock on 64-bit Linux


def take(path: Path) -> int:
    """A descriptor of an empty pid file, locked for as long as someone has it; `OSError` if someone has.

    It can't be written by: whoever inherits it is not to say who it is.
    """
    if holder(path) is not None:
        raise BlockingIOError(errno.EAGAIN, "the pid file is held", str(path))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    return file


def holder(path: Path) -> int | None:
    """The process's id; None where the file is missing, or its number without the lock is a dead one's."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        query = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        held = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, query))[0] != fcntl.F_UNLCK
        text = os.read(file, 20).strip()
    finally:
        os.close(file)
    return int(text) if held and text.isdigit() else None
