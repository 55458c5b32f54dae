"""The socket under a WebSocket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from api.realtime import wire
from api.realtime.wire import Wire

Pair = tuple[Wire, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    yield Wire(near), far
    near.close()
    far.close()


def test_frames_from_two_threads_do_not_mix(pair: Pair) -> None:
    here, far = pair
    size = 300_000
    threads = [threading.Thread(target=here.send, args=(letter * size,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    data = b""
    while len(data) < 2 * size:
        data += far.recv(65536)
    for thread in threads:
        thread.join()
    assert data in (b"a" * size + b"b" * size, b"b" * size + b"a" * size)


def test_after_a_frame_cut_off_nothing_more_is_sent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SEND_SECONDS", 0.2)
    here = Wire(pair[0]._socket)
    with pytest.raises(TimeoutError):
        here.send(b"x" * 10_000_000)
    with pytest.raises(ConnectionAbortedError):
        here.send(b"x")


def test_more_than_anyone_reads_ends_it(pair: Pair) -> None:
    here, far = pair
    for _ in range(16):
        far.sendall(b"x" * 4096)
        here.recv(4096)
    far.sendall(b"x")
    with pytest.raises(ConnectionAbortedError):
        here.recv(4096)
