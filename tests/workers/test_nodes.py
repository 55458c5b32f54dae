"""Several Redis servers: each has the accounts of hosts, also after it was started again, and after it takes over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis as library

from cli.fleet.redis import Redis
from core import redis_clients
from core.contract import channels
from core.contract.hosts import RedisNodeState
from core.contract.messages import decode
from core.services.identities import accounts
from core.services.monitoring import health
from tests.support.waiting import until
from tests.workers.conftest import Workers
from tests.workers.joined import FIRST, Joined
from workers import context, sweeping


class Switch:
    """The address that everybody knows, and behind it the server that is used now."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._let_in, daemon=True).start()

    def to(self, port: int) -> None:
        """From now on that server is used; who is connected with the other is cut off."""
        self._port = port
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._door.close()
        self.to(0)

    def _let_in(self) -> None:
        with suppress(OSError):
            while True:
                inner, _ = self._door.accept()
                try:
                    outer = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    inner.close()
                    continue
                self._open += [inner, outer]
                for ends in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def started(folder: Path) -> Redis:
    """All servers of a fleet have one password."""
    folder.mkdir()
    (folder / "redis.password").write_text("one-for-all-servers")
    server = Redis(folder)
    server.start()
    return server


def client(server: Redis) -> library.Redis:
    return redis_clients.connect(server.url, seconds=5)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Redis, Redis]]:
    """A server, and its replica."""
    master, replica = started(tmp_path / "master"), started(tmp_path / "replica")
    with client(replica) as redis:
        redis.config_set("masterauth", master.password)
        redis.replicaof("127.0.0.1", str(master.port))
        until(lambda: redis.info("replication")["master_link_status"] == "up")
    yield master, replica
    for each in (master, replica):
        each.stop()


@pytest.fixture
def fleet(pair: tuple[Redis, Redis], workers_database: str) -> Iterator[tuple[Workers, Switch]]:
    """Workers that use the one behind the switch, and know of both."""
    master, replica = pair
    switch = Switch(master.port)
    made = Workers(workers_database, f"redis://:{master.password}@{switch.place}/0")
    made.settings = replace(made.settings, redis_nodes=(master.url, replica.url))
    made.context = context.make(made.settings)
    made.redis = made.context.dispatch.redis
    made.empty()
    yield made, switch
    made.context.close()
    made.close()
    switch.close()


def has(server: Redis, host: str) -> bool:
    with client(server) as redis:
        return redis.acl_getuser(channels.account(host)) is not None


def test_a_server_that_comes_back_has_them_at_the_next_round(
    fleet: tuple[Workers, Switch], pair: tuple[Redis, Redis], caplog: pytest.LogCaptureFixture
) -> None:
    (workers, _), (master, replica) = fleet, pair
    with workers.context.transaction() as session:
        accounts.admit(session, "host-a", FIRST)
    assert (has(master, "host-a"), has(replica, "host-a")) == (True, False), "they are not replicated"
    sweeping.sweep(workers.context)
    assert has(replica, "host-a")
    assert health.of_nodes(workers.redis) == ""

    replica.kill()
    sweeping.sweep(workers.context)  # which does not fail
    assert health.of_nodes(workers.redis) == f"the server at 127.0.0.1:{replica.port} can't be reached"
    sweeping.sweep(workers.context)
    assert caplog.text.count("can't be reached") == 1
    with workers.context.transaction() as session:
        accounts.admit(session, "host-b", FIRST)
        accounts.expel(session, "host-a")
    replica.restart()
    sweeping.sweep(workers.context)
    assert (has(replica, "host-a"), has(replica, "host-b")) == (False, True)
    assert health.of_nodes(workers.redis) == ""
    for entry in workers.redis.hgetall(channels.NODES).values():  # type: ignore[union-attr]
        assert decode(RedisNodeState, entry).problem == ""
        assert master.password.encode() not in entry


def test_hosts_go_on_when_a_replica_takes_over_while_they_work(
    fleet: tuple[Workers, Switch], pair: tuple[Redis, Redis], tmp_path: Path
) -> None:
    (workers, switch), (master, replica) = fleet, pair
    host = Joined(tmp_path, workers)
    workers.receiver()
    sweeping.sweep(workers.context)
    host.start("--vcpus", "64", "--memory-mb", "65536", "--disk-gb", "1000")
    try:
        until(lambda: workers.joined(host.name))
        made = [workers.create(f"vm-{number}", host.name) for number in range(8)]
        until(lambda: workers.state(made[0]) == "succeeded")
        with client(replica) as redis:
            redis.replicaof("NO", "ONE")
        master.kill()
        switch.to(replica.port)
        made += [workers.create(f"late-{number}", host.name) for number in range(4)]

        def ended() -> bool:
            with suppress(sweeping.SweepFailed):
                sweeping.sweep(workers.context)
            return {workers.state(each) for each in made} == {"succeeded"}

        until(ended, why=host.log)
        for each in made:
            assert host.effects_of(each.vm_id, "create") == 1
        assert host.alive()
        until(lambda: sweeping.sweep(workers.context) and not workers.scalar("SELECT offline_since FROM hosts"))
    finally:
        host.kill()
        host.redis.close()
