"""The output of a program, read to its end and kept up to a bound."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from typing import Any

READ_BYTES = 256 * 1024
END_BYTES = 4096  # of what is beyond the bound, as errors and last words are at the end


class TooLong(Exception):
    """The program has put out more than its bound."""


class _OutputEnds:
    """The beginning and the end of one output."""

    def __init__(self, most_bytes: int) -> None:
        self._room = most_bytes
        self._first = bytearray()
        self._last = b""

    def take(self, some: bytes) -> None:
        taken = some[: self._room]
        self._room -= len(taken)
        self._first += taken
        if len(taken) < len(some):
            self._last = (self._last + some[len(taken) :])[-END_BYTES:]

    @property
    def is_cut(self) -> bool:
        return bool(self._last)

    def __bytes__(self) -> bytes:
        return bytes(self._first) + self._last


def read(
    helper: subprocess.Popen[bytes], seconds: float, most_bytes: int, *, to_the_end: bool = True
) -> tuple[bytes, bytes]:
    """Both outputs of a helper that has ended: of each so many bytes, and of what is beyond them the last `END_BYTES`.

    `subprocess.TimeoutExpired` when it has not ended in time. Unless `to_the_end`, `TooLong` once it is beyond. In both
    cases it still runs.
    """
    deadline = time.monotonic() + seconds
    if sys.platform == "win32":
        return _cut(helper.communicate(timeout=seconds), most_bytes)
    kept: dict[Any, _OutputEnds] = {each: _OutputEnds(most_bytes) for each in (helper.stdout, helper.stderr)}
    with selectors.DefaultSelector() as selector:
        for each in kept:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(_left(helper, deadline, seconds)):
                some = os.read(key.fd, READ_BYTES)
                kept[key.fileobj].take(some)
                if not some:
                    selector.unregister(key.fileobj)
                if kept[key.fileobj].is_cut and not to_the_end:
                    raise TooLong
    helper.wait(max(0.1, deadline - time.monotonic()))
    out, err = map(bytes, kept.values())
    return out, err


def _left(helper: subprocess.Popen[bytes], deadline: float, seconds: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise subprocess.TimeoutExpired(helper.args, seconds)
    return left


def _cut(outputs: tuple[bytes, bytes], most_bytes: int) -> tuple[bytes, bytes]:
    out, err = (each[:most_bytes] + each[most_bytes:][-END_BYTES:] for each in outputs)
    return out, err
