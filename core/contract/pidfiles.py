"""Who holds the lock on a pid file, as QEMU does for as long as it lives: so no number is mistaken for a process.

Linux alone: it asks about an open file description's lock (fcntl(2), F_OFD_GETLK).
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_LOCK = struct.Struct("hhqqi")  # struct flock on 64-bit Linux


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
