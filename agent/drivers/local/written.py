"""Files that a hypervisor writes for as long as its machine runs, and as fast as a guest may make it: their ends are
read, and what is old gives its room back."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.system import process
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
    """Makes a hole of all but its end once it takes too much room: whoever writes goes on where it is."""
    try:
        found = file.stat()
    except OSError:  # not there yet, or no more
        return
    if found.st_blocks * 512 <= MOST_BYTES:
        return
    old = ["--punch-hole", "--offset", "0", "--length", str(found.st_size - KEPT_BYTES)]
    try:
        process.run(["fallocate", *old, str(file)], HOLE_SECONDS)
    except DriverFailure as error:
        log.warning("'%s' grows, and what is old in it can't be given back: %s", file.name, error.message)
