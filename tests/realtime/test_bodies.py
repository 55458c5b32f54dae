"""Bodies that come slowly, as gunicorn hands them on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser

from api.realtime import bodies
from api.web.failures import Stalled

MANY = 1_000_000


@contextmanager
def client(*pieces: bytes, pause: float = 0.0) -> Iterator[tuple[Any, socket.socket]]:
    """A request with a long body, of which these pieces come again and again, and the socket that it comes on."""
    here, there = socket.socketpair()
    enough = threading.Event()

    def send() -> None:
        here.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % MANY)
        while not enough.wait(pause):
            try:
                here.sendall(b"".join(pieces))
            except OSError:
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield next(get_parser(Config(), there, None)), there
    finally:
        enough.set()
        there.close()
        here.close()
        sender.join()


def test_a_trickle_of_bytes_buys_hardly_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALLED_SECONDS", 0.5)
    with client(b"x", pause=0.05) as (request, connection):
        body = bodies.Body(request, connection)
        with pytest.raises(Stalled, match="too slowly"):
            body.read()
        assert body.failed


def test_what_comes_steadily_is_read_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALLED_SECONDS", 0.5)
    with client(b"x" * 40_000, pause=0.05) as (request, connection):
        assert len(bodies.Body(request, connection).read()) == MANY
