"""Terminals of detached commands: what is typed on one, and its size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.drivers.capabilities.execs import Size
from agent.guest import execs, killing, qga, terminal_script
from agent.guest.exec_store import StoredExec
from agent.guest.exec_supervisor import FOLDER
from core.contract.errors import DriverFailure

PIECE_BYTES = 4096  # what a pipe takes whole or not at all
RESIZE_SECONDS = 15.0
TYPE_SECONDS = 5.0
LOOK_SECONDS = 0.05


def type_in(channel: Path, entry: StoredExec, data: bytes) -> None:
    """See `Terminals`."""
    if not _is_open(entry):
        return
    for start in range(0, len(data), PIECE_BYTES):
        if not _typed(channel, entry, data[start : start + PIECE_BYTES]):
            return


def resize(channel: Path, entry: StoredExec, size: Size) -> None:
    """See `Terminals`."""
    if not _is_open(entry):
        return
    text = terminal_script.resizing(f"{FOLDER}/{entry.exec.id}", size)
    failed = killing.run(channel, text, time.monotonic() + RESIZE_SECONDS) != 0
    if failed and execs.look(channel, entry).is_running:
        raise DriverFailure("the guest refused to change the terminal's size", code="guest_refused")


def _is_open(entry: StoredExec) -> bool:
    if not entry.exec.tty:
        raise DriverFailure(f"execution '{entry.exec.id}' was begun without a terminal", code="not_a_terminal")
    return entry.is_running


def _typed(channel: Path, entry: StoredExec, piece: bytes) -> bool:
    """Whether it was, or the command has ended."""
    with _opened(channel, entry) as handle:
        if handle is None:
            return False
        qga.ask(channel, "guest-file-write", TYPE_SECONDS, handle=handle, **{"buf-b64": qga.data(piece)})
        deadline = time.monotonic() + TYPE_SECONDS
        while True:
            try:
                qga.ask(channel, "guest-file-flush", TYPE_SECONDS, handle=handle)
                return True
            except qga.AgentRefused:  # the pipe is full
                if time.monotonic() > deadline:
                    raise DriverFailure(
                        "what was typed was lost: the program on the terminal does not read", code="terminal_full"
                    ) from None
                time.sleep(LOOK_SECONDS)


@contextmanager
def _opened(channel: Path, entry: StoredExec) -> Iterator[int | None]:
    """The pipe, as soon as the supervisor has made it; None once the command has ended. For reading too, as the agent
    would else wait for a reader, and everybody for the agent."""
    deadline = time.monotonic() + TYPE_SECONDS
    while True:
        try:
            handle = qga.ask(channel, "guest-file-open", TYPE_SECONDS, path=f"{FOLDER}/{entry.exec.id}.in", mode="r+")
            break
        except qga.AgentRefused:
            if time.monotonic() > deadline or not execs.look(channel, entry).is_running:
                yield None
                return
            time.sleep(LOOK_SECONDS)
    try:
        yield handle
    finally:
        with suppress(DriverFailure):
            qga.ask(channel, "guest-file-close", TYPE_SECONDS, handle=handle)
