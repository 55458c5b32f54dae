"""A database that is mute, slow or away holds no request for ever, and nobody else at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests

from cli.fleet.redis import Redis
from tests.realtime.servers import Served
from tests.support.record import Record
from tests.support.waiting import HANG_SECONDS, until


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


def ask(served: Served, path: str) -> int:
    """The status that is answered."""
    return requests.get(f"http://127.0.0.1:{served.port}{path}", timeout=HANG_SECONDS).status_code


def sleeping(world: Record) -> int:
    """How many queries the database is at now."""
    counted = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%%'"
    with world.engine.connect() as connection:
        return int(connection.exec_driver_sql(counted).scalar_one())


def test_queries_wait_side_by_side(served: Served, world: Record) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, served, "/query?seconds=2") for _ in range(8)]
        until(lambda: sleeping(world) == 8)
        assert [each.result() for each in answers] == [200] * 8


def test_a_server_that_never_takes_the_connection(behind: Served, line: Line) -> None:
    line.is_mute = True
    assert ask(behind, "/query?seconds=0") == 503
    line.is_mute = False
    assert ask(behind, "/query?seconds=0") == 200


def test_a_server_that_goes_mute_in_the_middle(behind: Served, line: Line, world: Record) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, behind, "/query?seconds=2")
        until(lambda: sleeping(world) == 1)
        line.is_mute = True
        assert ask(behind, "/held/op-x?seconds=0.2") == 202
        assert not answer.done()
        assert answer.result() == 503
    line.is_mute = False
    assert ask(behind, "/query?seconds=0") == 200


def test_the_servers_own_limit_on_a_statement_holds(served: Served) -> None:
    assert ask(served, "/query?seconds=600&limit=500") == 503
