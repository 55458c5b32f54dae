"""Reads files in a guest by its agent: no program is started there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.guest import qga
from agent.guest.replies import QgaRead

SECONDS = 10.0


@dataclass(frozen=True)
class GuestFilePart:
    """A part of a file, and the size of the file just after."""

    data: bytes
    size: int


def part(channel: Path, path: str, offset: int, count: int) -> GuestFilePart | None:
    """That many bytes of a file from there on, fewer at its end; None when there is no such file."""
    with _opened(channel, path) as handle:
        if handle is None:
            return None
        qga.ask(channel, "guest-file-seek", SECONDS, handle=handle, offset=offset, whence=0)
        read = qga.ask(channel, "guest-file-read", SECONDS, handle=handle, count=count)
        size = qga.ask(channel, "guest-file-seek", SECONDS, handle=handle, offset=0, whence=2).position
        return GuestFilePart(read.buf_b64[:count], size)


def small(channel: Path, path: str, count: int = 4096) -> bytes | None:
    """The beginning of a file, also of one that has no size, as in /proc; None when there is none."""
    with _opened(channel, path) as handle:
        if handle is None:
            return None
        try:
            read: QgaRead = qga.ask(channel, "guest-file-read", SECONDS, handle=handle, count=count)
        except qga.AgentRefused:  # a process that has just ended
            return None
        return read.buf_b64[:count]


def is_folder(channel: Path, path: str) -> bool:
    """Whether there is a folder of that name that can be entered."""
    with _opened(channel, f"{path}/.") as handle:
        return handle is not None


@contextmanager
def _opened(channel: Path, path: str) -> Iterator[int | None]:
    """A handle of the guest agent's, None when it can't open that. An agent that fell silent is not asked to close."""
    try:
        handle = qga.ask(channel, "guest-file-open", SECONDS, path=path, mode="r")
    except qga.AgentRefused:
        yield None
        return
    try:
        yield handle
    except qga.AgentSilent:
        raise
    except BaseException:
        qga.ask(channel, "guest-file-close", SECONDS, handle=handle)
        raise
    else:
        qga.ask(channel, "guest-file-close", SECONDS, handle=handle)
