"""Redis has the accounts of hosts that the record has, whatever becomes of either."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis as library
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from cli.fleet.accounts import address
from core.contract import channels
from core.services.context import SYSTEM
from core.services.identities import accounts
from core.services.lost import remove_host
from tests.support.waiting import until
from tests.workers.conftest import Workers
from workers import context, sweeping


def admit(workers: Workers, host: str, secret: str) -> None:
    with workers.context.transaction() as session:
        accounts.admit(session, host, accounts.digest(secret))


def at(workers: Workers, host: str, secret: str) -> Redis:
    """A connection with that host's credentials."""
    url = address(workers.settings.redis_url, host, secret)
    return Redis.from_url(url, socket_timeout=30, retry=Retry(NoBackoff(), 0))


def opens(workers: Workers, host: str, secret: str) -> bool:
    try:
        with at(workers, host, secret) as client:
            return bool(client.ping())
    except AuthenticationError:
        return False


def accounts_of(workers: Workers) -> set[str]:
    names: Any = workers.redis.acl_users()
    return set(names) - {"default"}


class Waiting:
    """A connection that waits for a command, as an agent's does."""

    def __init__(self, client: Redis, host: str) -> None:
        self.ended: list[Any] = []
        self._client, self._queue = client, channels.command_queue(host)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.ended.append(self._client.brpop([self._queue], 25))
        except library.ConnectionError as error:
            self.ended.append(error)


@pytest.fixture
def host(workers: Workers) -> Iterator[Workers]:
    """Where host-a has joined."""
    admit(workers, "host-a", "its own")
    yield workers
    with workers.context.transaction() as session:
        accounts.expel(session, "host-a")


def waiting(workers: Workers) -> Waiting:
    made = Waiting(at(workers, "host-a", "its own"), "host-a")
    until(lambda: blocked(workers))
    return made


def blocked(workers: Workers) -> bool:
    there: Any = workers.redis.client_list()
    return any(each["user"] == channels.account("host-a") and "b" in each["flags"] for each in there)


def test_an_account_is_there_from_the_commit_on(host: Workers) -> None:
    assert opens(host, "host-a", "its own")
    assert not opens(host, "host-a", "another's")
    assert not opens(host, "host-b", "its own")


@pytest.mark.parametrize("sweeps", [1, 2])
def test_what_redis_has_lost_it_gets_again(host: Workers, sweeps: int) -> None:
    for _ in range(sweeps):
        sweeping.sweep(host.context)
    host.redis.acl_deluser(channels.account("host-a"))
    sweeping.sweep(host.context)
    assert opens(host, "host-a", "its own")


def test_nobody_else_is_let_in(host: Workers) -> None:
    accounts.grant(host.redis, {"stranger": accounts.HostAccount(accounts.digest("its own"))})
    sweeping.sweep(host.context)
    assert accounts_of(host) == {channels.account("host-a")}


def test_a_connection_outlives_that_its_account_is_made_anew(host: Workers) -> None:
    there = waiting(host)
    accounts.grant(host.redis, {"host-a": accounts.HostAccount(accounts.digest("its own"))})
    host.redis.lpush(channels.command_queue("host-a"), "a command")
    assert until(lambda: there.ended) == [(channels.command_queue("host-a").encode(), b"a command")]


def test_who_had_the_former_secret_is_cut_off(host: Workers) -> None:
    there = waiting(host)
    admit(host, "host-a", "a new one")
    assert isinstance(until(lambda: there.ended)[0], library.ConnectionError)
    assert not opens(host, "host-a", "its own")
    assert opens(host, "host-a", "a new one")


def test_a_removed_host_is_cut_off_and_hears_nothing_more(host: Workers) -> None:
    host.receiver()
    host.send("host-a", host.inventory("host-a"))
    until(lambda: host.joined("host-a"))
    there = waiting(host)
    with host.context.transaction() as session:
        remove_host(session, SYSTEM, "host-a", force=True)
    assert not opens(host, "host-a", "its own")
    host.redis.lpush(channels.command_queue("host-a"), "a command")
    assert isinstance(until(lambda: there.ended)[0], library.ConnectionError)
    sweeping.sweep(host.context)
    assert accounts_of(host) == set()


def test_a_receiver_lets_hosts_in_before_the_next_sweep(host: Workers) -> None:
    host.redis.acl_deluser(channels.account("host-a"))
    host.receiver()
    until(lambda: opens(host, "host-a", "its own"))


def test_a_redis_that_asks_for_no_password_is_told_of(host: Workers, caplog: pytest.LogCaptureFixture) -> None:
    secret = host.redis.get_connection_kwargs()["password"]
    open_to_all = context.make(replace(host.settings, redis_url=host.settings.redis_url.replace(f":{secret}@", "")))
    with host.redis.client() as kept:  # type: ignore[no-untyped-call]  # which has shown it already
        kept.acl_setuser("default", enabled=True, nopass=True)
        try:
            sweeping.sweep(open_to_all)
        finally:
            kept.acl_setuser("default", enabled=True, passwords=[f"+{secret}"])
            open_to_all.close()
    assert "without a password" in caplog.text
