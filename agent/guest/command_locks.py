"""A small file beside the channel for each command under way, locked for as long as somebody waits for its end.

The kernel takes the lock from an agent that is killed. What the next one finds unlocked is a command that nobody
waits for any more, and that nobody holds to its time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "running"
COUNTER = "commands"


@contextmanager
def claim(channel: Path, number: int, token: str) -> Iterator[Path]:
    """The file of one command, ours until the block ends; unlink it once nothing of the command is alive."""
    path = channel / FOLDER / str(number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, token.encode())
        yield path
    finally:
        os.close(file)


@contextmanager
def left_behind(path: Path) -> Iterator[tuple[int, str] | None]:
    """The number and the token of a command that nobody waits for, ours until the block ends; None if somebody does."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # it has just ended
        yield None
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield int(path.name), os.read(file, 100).decode()
    except BlockingIOError:
        yield None
    finally:
        os.close(file)


def paths(channel: Path) -> list[Path]:
    """The files of all commands under way, or left behind."""
    return list((channel / FOLDER).glob("[0-9]*"))


def next_number(channel: Path, count: int = 1) -> int:
    """The first of so many numbers that no command of this VM has had; the counter is a file beside the channel."""
    counter = os.open(channel / COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(counter, fcntl.LOCK_EX)
        number = int(os.read(counter, 20) or b"0") + 1
        os.pwrite(counter, str(number + count - 1).encode(), 0)
    finally:
        os.close(counter)
    return number
