"""Handshakes count for who opens the socket, and for an address only where no good credential is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.fleet.redis import Redis
from tests.realtime.clients import Refused
from tests.realtime.servers import Served
from tests.support.record import Record


@pytest.fixture
def strict(tmp_path: object, own_database: str, own_redis: Redis) -> Iterator[Served]:
    """gunicorn with three handshakes a minute."""
    server = Served(tmp_path, own_database, own_redis.url, RATE_LIMIT_BURST="3")  # type: ignore[arg-type]
    yield server
    server.stop()


def _statuses(server: Served, key: str, times: int) -> list[int]:
    found = []
    for _ in range(times):
        try:
            server.client("/api/v1/system/events", key).close()
            found.append(101)
        except Refused as refused:
            found.append(refused.status)
    return found


def test_one_user_uses_up_nobody_elses(strict: Served, world: Record) -> None:
    ann, bob, carl = (world.caller().secret for _ in range(3))
    assert _statuses(strict, ann, 4) == [101] * 3 + [429]
    assert _statuses(strict, bob, 3) == [101] * 3
    assert _statuses(strict, "nonsense", 4) == [401] * 3 + [429]
    assert _statuses(strict, carl, 1) == [101]
