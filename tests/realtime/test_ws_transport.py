"""The socket under a WebSocket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from api.realtime import ws_transport
from api.realtime.ws_transport import SlowReader, WsTransport

Pair = tuple[WsTransport, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    yield WsTransport(near), far
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


@pytest.fixture
def tcp() -> Iterator[Pair]:
    """As sockets of clients are."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        far = socket.create_connection(door.getsockname())
        near, _ = door.accept()
    yield WsTransport(near), far
    near.close()
    far.close()


def test_after_a_frame_cut_off_nothing_more_is_sent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_transport, "SEND_SECONDS", 0.2)
    here = WsTransport(pair[0]._socket)
    with pytest.raises(TimeoutError):
        here.send(b"x" * 10_000_000)
    with pytest.raises(ConnectionAbortedError):
        here.send(b"x")


def test_a_reader_that_reads_nothing_is_found_before_a_frame_is_cut_and_still_has_its_last_one(
    tcp: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws_transport, "SEND_SECONDS", 0.5)
    here, far = tcp
    sent = list[bytes]()

    def fill() -> None:
        while True:
            here.send(b"x" * 16_384)
            sent.append(b"x" * 16_384)

    with pytest.raises(SlowReader):
        fill()
    here.is_last = True
    here.send(b"the last frame")
    here.shut(socket.SHUT_WR)
    data = b""
    while piece := far.recv(1 << 20):
        data += piece
    assert data == b"".join(sent) + b"the last frame"


def test_who_sends_more_than_is_taken_waits_and_loses_nothing(tcp: Pair) -> None:
    here, far = tcp
    sender = threading.Thread(target=far.sendall, args=[b"x" * 1_000_000])
    sender.start()
    got = 0
    while got < 1_000_000:
        threading.Timer(0.02, here.taken).start()
        got += len(here.recv(65536))
    sender.join()
    assert got == 1_000_000


def test_what_nobody_takes_ends_it(tcp: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws_transport, "TAKE_SECONDS", 0.2)
    here, far = tcp
    far.sendall(b"x" * 100_000)
    while here._unread_bytes <= ws_transport._UNREAD_BYTES:
        here.recv(4096)
    with pytest.raises(ConnectionAbortedError):
        here.recv(4096)
