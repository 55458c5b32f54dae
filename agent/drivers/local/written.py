"""Files that a hypervisor writes while a VM runs, as fast as a guest may make it: only their ends are read, and the old
parts are freed.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from agent.system import process
from core.contract import diskformats
from core.contract.errors import DriverFailure

KEPT_BYTES = 1024 * 1024  # more than is ever read (happened.Record.tail)
MOST_BYTES = 16 * KEPT_BYTES  # of room
HOLE_SECONDS = 10.0

log = logging.getLogger(__name__)


def end_of(file: Path, most: int) -> bytes:
    """Its last bytes, so many at most; nothing of one that is not there."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, 2) - most))
            return opened.read(most)
    except FileNotFoundError:
        return b""


def bound(file: Path) -> None:
    """Makes a hole of all but its end once it takes too much room: whoever writes goes on where it is.

    A link is left alone, and what has more than one name: some lie where the VM's user could put another file.
    """
    try:
        if file.lstat().st_blocks * diskformats.SECTOR <= MOST_BYTES:
            return
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # not there yet, or no more, or a link
        return
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            old = ["--punch-hole", "--offset", "0", "--length", str(found.st_size - KEPT_BYTES)]
            process.run(["fallocate", *old, f"/proc/self/fd/{descriptor}"], HOLE_SECONDS, holding=[descriptor])
    except DriverFailure as error:
        log.warning("'%s' grows, and its old part can't be freed: %s", file.name, error.message)
    finally:
        os.close(descriptor)
