"""The realtime side on servers of its own: its tests stop Redis and read every event."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.realtime.hub import Hub
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from core import database, migrate
from core.dispatch import Dispatch
from core.models import Host
from tests.realtime.servers import Served
from tests.support.record import Record


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that a test may stop."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_database(postgres: Postgres) -> str:
    """A database that only these tests write events to."""
    url = postgres.create_database("realtime")
    migrate.upgrade(url)
    return url


@pytest.fixture(scope="module")
def world(own_redis: Redis, own_database: str) -> Iterator[Record]:
    """The services on both."""
    engine, dispatch = database.connect(own_database), Dispatch(own_redis.url)
    made = Record(engine, dispatch)
    with made.transaction() as session:
        is_known = session.get(Host, "host-a") is not None
    if not is_known:
        made.add_host("host-a")
    yield made
    dispatch.close()
    engine.dispose()


@pytest.fixture
def hub(world: Record, own_redis: Redis) -> Iterator[Hub]:
    """A hub in threads."""
    made = Hub(own_redis.url, world.engine, world.dispatch)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, own_database: str, own_redis: Redis) -> Iterator[Served]:
    """gunicorn, for tests that leave it running."""
    server = Served(tmp_path_factory.mktemp("served"), own_database, own_redis.url)
    yield server
    server.stop()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()
