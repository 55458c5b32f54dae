"""A database that is mute, slow or away holds no request for ever, and nobody else at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests

from cli.fleet.redis import Redis
from tests.realtime.servers import Served


class Line:
    """A TCP line to the database that can go mute: it takes what comes, and passes nothing on."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_mute = False
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [near, far]
            for pair in ((near, far), (far, near)):
                thread = threading.Thread(target=self._copy, args=pair)
                self._threads.append(thread)
                thread.start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                if not self.is_mute:
                    other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture
def line(own_database: str) -> Iterator[Line]:
    made = Line(urlsplit(own_database).port or 0)
    yield made
    made.close()


@pytest.fixture
def behind(tmp_path: Path, own_database: str, own_redis: Redis, line: Line) -> Iterator[Served]:
    """An API that reaches its database over the line."""
    parts = urlsplit(own_database)
    address = f"{parts.username}:{parts.password}@127.0.0.1:{line.port}"
    url = urlunsplit(parts._replace(netloc=address))
    server = Served(tmp_path, url, own_redis.url, QUERY_SECONDS="3")
    yield server
    server.stop()


def ask(served: Served, path: str) -> tuple[int, float]:
    begun = time.monotonic()
    answer = requests.get(f"http://127.0.0.1:{served.port}{path}", timeout=60)
    return answer.status_code, time.monotonic() - begun


def test_queries_wait_side_by_side(served: Served) -> None:
    answers = list[tuple[int, float]]()
    threads = [threading.Thread(target=lambda: answers.append(ask(served, "/query?seconds=0.5"))) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 2
    assert [status for status, _ in answers] == [200] * 8


def test_a_server_that_never_takes_the_connection(behind: Served, line: Line) -> None:
    line.is_mute = True
    status, seconds = ask(behind, "/query?seconds=0")
    assert status == 503
    assert 4 < seconds < 8
    line.is_mute = False
    assert ask(behind, "/query?seconds=0")[0] == 200


def test_a_server_that_goes_mute_in_the_middle(behind: Served, line: Line) -> None:
    answers = list[tuple[int, float]]()
    thread = threading.Thread(target=lambda: answers.append(ask(behind, "/query?seconds=1")))
    thread.start()
    time.sleep(0.5)
    line.is_mute = True
    assert ask(behind, "/held/op-x?seconds=0.2")[1] < 2
    thread.join()
    line.is_mute = False
    [(status, seconds)] = answers
    assert status == 503
    assert 2.5 < seconds < 6
    assert ask(behind, "/query?seconds=0")[0] == 200


def test_the_servers_own_limit_on_a_statement_holds(served: Served) -> None:
    status, seconds = ask(served, "/query?seconds=30&limit=500")
    assert status == 503
    assert seconds < 2
