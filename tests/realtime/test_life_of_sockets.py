"""What ends a socket, or keeps it: pings, credentials, Redis, a restart of the API."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from cli.fleet.redis import Redis
from tests.realtime.servers import Served
from tests.support.record import Caller, Record
from tests.support.waiting import HANG_SECONDS, until

SYSTEM = "/api/v1/system/events"


@pytest.fixture
def owner(world: Record) -> Caller:
    return world.caller()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, own_database: str, own_redis: Redis) -> Iterator[Served]:
    """Pings every second, looks at credentials every second, waits one for the first message."""
    server = Served(
        tmp_path_factory.mktemp("impatient"),
        own_database,
        own_redis.url,
        PING_INTERVAL="1",
        CHECK_SECONDS="1",
        FIRST_MESSAGE_SECONDS="1",
    )
    yield server
    server.stop()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@pytest.fixture
def mortal(tmp_path: Path, own_database: str, own_redis: Redis) -> Iterator[Served]:
    """One to end."""
    server = Served(tmp_path, own_database, own_redis.url)
    yield server
    server.stop()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def test_idle_sockets_are_pinged(impatient: Served, owner: Caller) -> None:
    client = impatient.client(SYSTEM, owner.secret)
    until(lambda: client.silent(0.5) and client.pings > 2)
    client.close()


def test_who_does_not_answer_pings_is_let_go(impatient: Served, owner: Caller) -> None:
    client = impatient.client(SYSTEM, owner.secret, pongs=False)
    assert client.closed().code == 1008
    assert client.pings <= 2


def test_a_revoked_key_ends_its_sockets(impatient: Served, world: Record, owner: Caller) -> None:
    first = impatient.client(SYSTEM, owner.secret)
    second = impatient.client("/api/v1/ws")
    second.send({"type": "auth", "api_key": owner.secret})
    second.receive()
    # Both must answer their pings.
    until(lambda: first.silent(0.2) and second.silent(0.2) and min(first.pings, second.pings) > 1)
    world.revoke(owner)
    for client in (first, second):
        end = client.closed()
        assert (end.code, end.reason) == (4401, "this API key was revoked")


@pytest.mark.parametrize("path", [SYSTEM, "/api/v1/ws"])
def test_who_says_nothing_at_first_is_let_go(impatient: Served, path: str) -> None:
    assert impatient.client(path).closed().code == 4401


def test_sigterm_says_1012_and_answers_202_at_once(mortal: Served, world: Record, owner: Caller) -> None:
    vm, statuses = world.vm(owner), list[int]()
    listening = [mortal.client(SYSTEM, owner.secret) for _ in range(20)]
    unknown, silent = mortal.client(SYSTEM), mortal.client("/api/v1/ws")
    world.tell(vm)
    seq = world.newest()
    for client in listening:
        assert client.seqs(1) == [seq]

    def hold() -> None:
        answer = requests.get(f"http://127.0.0.1:{mortal.port}/held/op-x?seconds=3600", timeout=HANG_SECONDS)
        statuses.append(answer.status_code)

    held = [threading.Thread(target=hold) for _ in range(10)]
    for thread in held:
        thread.start()
    until(lambda: connections(mortal) >= len(listening) + 2 + len(held))
    mortal.process.terminate()
    for client in listening:
        end = client.closed()
        assert end.code == 1012
        assert end.reason.endswith(f"after={seq}")
    assert unknown.closed().code == silent.closed().code == 1012
    for thread in held:
        thread.join()
    assert statuses == [202] * 10
    mortal.stop()
    assert mortal.process.returncode == 0


def connections(server: Served) -> int:
    """How many its worker has open."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == server.port
        for each in server.worker.net_connections()
    )


def test_a_reload_hands_over_to_a_new_worker(mortal: Served, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    client = mortal.client(SYSTEM, owner.secret)
    mortal.process.send_signal(signal.SIGHUP)
    assert client.closed().code == 1012
    again = mortal.client(SYSTEM, owner.secret)
    world.tell(vm)
    assert again.seqs(1) == [world.newest()]
    again.close()


def test_sigint_says_1012_too(mortal: Served, owner: Caller) -> None:
    client = mortal.client(SYSTEM, owner.secret)
    mortal.stop(signal.SIGINT)
    assert client.closed().code == 1012
    assert mortal.process.returncode == 0


def test_sockets_live_through_the_loss_of_redis(served: Served, world: Record, owner: Caller, own_redis: Redis) -> None:
    vm, first = world.vm(owner), world.newest()
    clients = [served.client(SYSTEM, owner.secret) for _ in range(5)]
    world.tell(vm)
    own_redis.kill()
    world.tell(vm, times=400)
    own_redis.start()
    until(world.dispatch.redis.ping)
    for client in clients:
        assert client.seqs(401) == list(range(first + 1, first + 402))
    for number in (402, 403):
        world.tell(vm)
        for client in clients:
            assert client.seqs(1) == [first + number]
    for client in clients:
        client.close()
