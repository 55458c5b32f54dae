"""What is asked of a guest, and what comes back, is never in Redis in the clear: not on its disk, not on its lines."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from cli.fleet.fleet import Fleet
from core import sealing
from core.contract import channels
from core.contract.errors import NotSent
from core.contract.messages import call as call_of
from core.dispatch import Dispatch
from tests.support.clients import administrator
from tests.support.guests import Guest


def test_only_its_host_opens_what_is_sealed_for_it(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    host, other = sealing.HostKey(tmp_path), sealing.HostKey(tmp_path / "other")
    sealed = sealing.seal(host.public, b"secret")
    assert host.open(sealed) == sealing.HostKey(tmp_path).open(sealed) == b"secret"
    assert sealing.seal(host.public, b"secret") != sealed
    for odd in (sealing.seal(other.public, b"secret"), sealed[:-4], "", "é", sealed[:-4] + "AAAA"):
        with pytest.raises(sealing.Unsealable):
            host.open(odd)
    for none in ("", "x", "AAAA"):
        with pytest.raises(sealing.Unsealable):
            sealing.seal(none, b"secret")
    key = sealing.new_key()
    assert sealing.unwrap(key, sealing.wrap(key, b"reply")) == b"reply"
    with pytest.raises(sealing.Unsealable):
        sealing.unwrap(sealing.new_key(), sealing.wrap(key, b"reply"))
    assert (tmp_path / "calls.key").stat().st_mode & 0o777 == 0o600


def test_nothing_secret_is_sent_to_a_host_that_told_no_key(redis_url: str) -> None:
    dispatch, host = Dispatch(redis_url), f"h{secrets.token_hex(4)}"
    with pytest.raises(NotSent, match="key"):
        dispatch.call(
            host, call_of("c", "execute", "", 2**37, None, {"command": "x", "environment": {"PASSWORD": "secret"}})
        )
    assert dispatch.redis.llen(channels.calls(host)) == 0
    dispatch.close()


@contextmanager
def _overheard(url: str) -> Iterator[list[bytes]]:
    """Everything that is said to a Redis meanwhile."""
    heard: list[bytes] = []
    client = redis.Redis.from_url(url)
    connection: Any = client.connection_pool.get_connection()
    connection.send_command("MONITOR")
    connection.read_response()
    ending = threading.Event()

    def listen() -> None:
        while not ending.is_set():
            if connection.can_read(timeout=0.2):
                heard.append(connection.read_response())

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        client.get("the last thing said")
        ending.set()
        thread.join()
        connection.disconnect()
        client.close()


def test_no_secret_of_a_call_is_in_redis(fleet: Fleet) -> None:
    client, canary = administrator(fleet), f"canary{secrets.token_hex(12)}"
    guest = Guest.started(client, f"sealed{secrets.token_hex(4)}", memory_mb=512)
    command = {"command": f"echo {canary}", "environment": {"SECRET": canary}, "stdin": canary}
    with _overheard(fleet.redis_url) as heard:
        done = guest.request("POST", "/execute", client.key, json=command)
        assert done.status_code == 200, done.text
        assert canary in done.json()["data"]["command"]
        begun = guest.request("POST", "/execs", client.key, json=command)
        assert begun.status_code == 201, begun.text
        login = {"username": "root", "password": canary}
        guest.request("PUT", "/guest-credentials", client.key, json=login)
    everything = b"\n".join(heard if isinstance(heard[0], bytes) else [str(each).encode() for each in heard])
    assert b"calls:" in everything
    assert canary.encode() not in everything
    for base in (b"SECRET", b"environment"):
        assert base not in everything
    with redis.Redis.from_url(fleet.redis_url) as client:
        client.bgrewriteaof()
    folder = fleet.home / "redis"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not any(canary.encode() in path.read_bytes() for path in files)
