"""Command locks: a small file beside the channel for each command in progress, locked while a caller waits for its end.

The kernel takes the lock from an agent that is killed. What the next one finds unlocked is a command that nobody
waits for any more, and that nobody holds to its time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import filelocks

FOLDER = "running"
COUNTER = "commands"


@contextmanager
def claim(channel: Path, number: int, token: str) -> Iterator[Path]:
    """The file of one command, ours until the block ends; unlink it once nothing of the command is alive."""
    path = channel / FOLDER / str(number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with filelocks.locked(path) as file:
        os.write(file, token.encode())
        yield path


@contextmanager
def left_behind(path: Path) -> Iterator[tuple[int, str] | None]:
    """The number and the token of a command that nobody waits for, ours until the block ends; None if somebody does."""
    try:
        file = filelocks.take(path, flags=os.O_RDWR)
    except (FileNotFoundError, BlockingIOError):  # it has just ended, or somebody waits for it
        yield None
        return
    try:
        yield int(path.name), os.read(file, 100).decode()
    finally:
        os.close(file)


def paths(channel: Path) -> list[Path]:
    """The files of all commands under way, or left behind."""
    return list((channel / FOLDER).glob("[0-9]*"))


def next_number(channel: Path, count: int = 1) -> int:
    """The first of so many numbers that no command of this VM has had; the counter is a file beside the channel."""
    with filelocks.locked(channel / COUNTER) as counter:
        number = int(os.read(counter, 20) or b"0") + 1
        os.pwrite(counter, str(number + count - 1).encode(), 0)
    return number
