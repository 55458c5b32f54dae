"""The real agent process on the real Redis, with the fake driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.fleet.redis import Redis
from tests.agent.hosts import Host


@pytest.fixture
def host(tmp_path: Path, redis: Redis) -> Iterator[Host]:
    """A host whose agent a test starts and ends itself."""
    host = Host(tmp_path, redis.url)
    host.redis.flushall()
    yield host
    if host.alive():
        host.kill()
    host.redis.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[Host]:
    """A host with its agent running, for tests that don't end it."""
    host = Host(tmp_path_factory.mktemp("host"), redis.url)
    host.start()
    yield host
    assert host.terminate() == 0
    host.redis.close()
