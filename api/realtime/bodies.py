"""Request bodies under gunicorn: requested when they are read, and not read to the end without need.

gunicorn answers `Expect: 100-continue` before anyone has looked at the request, and after an answer it reads on to the
body's end, whatever its size, so that a stranger with a bad token could send 5 GB. Here the client is told to go on
when the application first reads; and a connection whose body was refused ends with the answer. gunicorn also waits for
the next byte for as long as the socket does, so that a byte a minute would hold a connection for weeks: here bytes earn
time, and little of it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.web.failures import Stalled

STALLED_SECONDS = 60.0
SLOWEST_BYTES = 4096  # a second, on the whole; time in which nobody here reads does not count
_SMALL_BYTES = 64 * 1024  # has most likely arrived by now: it is read, and the connection kept
_LINGER_SECONDS = 2.0
_PIECE_BYTES = 64 * 1024


class Body:
    """Takes the place of a request's `body`, and decides whether its connection can be kept."""

    def __init__(self, req: Any, sock: Any) -> None:
        self._body, self._sock = req.body, sock
        self._expected = bool(vars(req).get("_expected_100_continue"))
        vars(req)["_expected_100_continue"] = False  # gunicorn looks no further, and does not answer it
        self._unreader, self._received, self._waited = req.unreader, 0, 0.0
        self._left: int | None = _length(req)
        req.body = self
        self._asked_to_close = req.should_close
        req.should_close = self._should_close

    def read(self, size: int | None = None) -> bytes:
        """So many bytes, or all that are left; `Stalled` when nothing comes for too long, or too little."""
        with self._reading():
            return self._counted(self._body.read(size), size is None or size < 0)

    def readline(self, size: int | None = None) -> bytes:
        """A line."""
        with self._reading():
            return self._counted(self._body.readline(size), False)

    def readlines(self, size: int | None = None) -> list[bytes]:
        """All lines."""
        with self._reading():
            self._left = 0
            return list(self._body.readlines(size))

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    @property
    def failed(self) -> bool:
        """Whether what came was no body, so that where the next request begins is unknown. gunicorn asks."""
        return bool(self._body.failed)

    def linger(self) -> None:
        """The connection ends: a client that is still sending shall read the answer all the same."""
        if self._must_close():
            linger(self._sock)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if self._expected:
            self._expected = False
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._unreader.chunk = self._chunk
        try:
            yield
        except TimeoutError:
            raise Stalled(
                f"the body comes too slowly: in {self._waited:.0f} s of waiting for it {self._received} bytes have come"
            ) from None
        finally:
            del self._unreader.chunk
            self._sock.settimeout(None)

    def _chunk(self, size_hint: int | None = None) -> bytes:
        """As the unreader's own, within the time that is left."""
        left = STALLED_SECONDS + self._received / SLOWEST_BYTES - self._waited
        self._sock.settimeout(max(0.001, min(STALLED_SECONDS, left)))
        began = time.monotonic()
        try:
            data: bytes = type(self._unreader).chunk(self._unreader, size_hint)
        finally:
            self._waited += time.monotonic() - began
        self._received += len(data)
        return data

    def _counted(self, data: bytes, to_the_end: bool) -> bytes:
        if to_the_end or not data:
            self._left = 0
        elif self._left is not None:
            self._left -= len(data)
        return data

    def _must_close(self) -> bool:
        """Whether the rest of the body is not worth reading, or can't be."""
        if self.failed:
            return True
        return self._left != 0 and (self._expected or self._left is None or self._left > _SMALL_BYTES)

    def _should_close(self) -> bool:
        return bool(self._asked_to_close()) or self._must_close()


def linger(sock: Any) -> None:
    """Say that nothing more is sent, and drop what still comes for a moment: else the answer may be lost with it."""
    until = time.monotonic() + _LINGER_SECONDS
    try:
        sock.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(_PIECE_BYTES):
                return
    except OSError:  # it takes too long, or is gone
        pass


def _length(req: Any) -> int | None:
    """Of its body in bytes; None for one in chunks, which tells by itself."""
    headers = {name: value for name, value in req.headers if name in ("CONTENT-LENGTH", "TRANSFER-ENCODING")}
    if "TRANSFER-ENCODING" in headers:
        return None
    return int(headers.get("CONTENT-LENGTH", 0))
