"""Health tells the truth, and tells it within a second whatever is wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, update

from cli.fleet.postgres import Postgres
from core import migrate
from core.contract import channels
from core.models import Host
from core.models.base import now
from core.settings import Settings
from tests.api.world import World

WORDS = ("api", "database", "cloud_hypervisor", "network")


@pytest.fixture(scope="module")
def world(settings: Settings, postgres: Postgres) -> Iterator[World]:
    """With one host alone: the hosts that other files' tests add say something of the fleet's health."""
    url = postgres.create_database("health")
    migrate.upgrade(url)
    made = World(replace(settings, database_url=url))
    made.record.add_host("host-a")
    yield made
    made.close()


def test_healthy_while_everything_works(world: World) -> None:
    body = world.get("/health").json
    assert set(body) == {"status", "timestamp", "version", "components", "uptime_seconds"}
    assert set(WORDS) <= set(body["components"])
    assert (body["components"]["database"], body["components"]["redis"]) == ("healthy", "healthy")
    assert body["components"]["cloud_hypervisor"] == "absent"
    assert world.get("/health", world.caller().key).json["status"] == "success"


def test_workers_that_are_gone_or_get_nothing_done(world: World) -> None:
    world.context.dispatch.redis.delete(channels.WORKERS, channels.SWEPT)

    def told() -> tuple[str, str]:
        body = world.get("/health").json
        return body["components"]["workers"], body["status"]

    assert told() == ("unhealthy", "unhealthy")
    world.beat()
    assert told() == ("healthy", "healthy")
    world.beat(swept_ago=60)
    assert told() == ("degraded", "degraded")
    world.beat(seconds_ago=60)
    assert told() == ("unhealthy", "unhealthy")


def test_a_receiver_that_is_gone_or_can_record_nothing(world: World) -> None:
    world.beat()
    world.context.dispatch.redis.delete(channels.RECEIVERS)

    def told() -> tuple[str, str]:
        body = world.get("/health").json
        return body["components"]["receiver"], body["status"]

    assert told() == ("unhealthy", "unhealthy")
    world.beat(waiting=1)
    assert told() == ("degraded", "degraded")
    world.context.dispatch.redis.hset(channels.RECEIVERS, "odd", "[" * 100_000)
    world.beat()
    assert told() == ("healthy", "healthy")
    world.beat(seconds_ago=60)
    assert told() == ("unhealthy", "unhealthy")


def test_hosts_that_are_silent_or_broken_are_told(world: World) -> None:
    world.beat()
    broken = {"name": "cloud-hypervisor", "healthy": False, "problem": "no KVM", "capabilities": []}
    name = world.add_host("broken", drivers=[broken])
    body = world.get("/health").json
    assert (body["components"]["cloud_hypervisor"], body["status"]) == ("unhealthy", "degraded")
    assert (body["components"]["hosts"], body["components"]["network"]) == ("degraded", "healthy")
    with world.context.transaction() as session:
        session.execute(update(Host).where(Host.name == name).values(offline_since=now()))
    body = world.get("/health").json
    assert (body["components"]["cloud_hypervisor"], body["components"]["network"]) == ("absent", "degraded")
    with world.context.transaction() as session:
        session.execute(delete(Host).where(Host.name == name))


def test_servers_that_take_connections_and_are_mute(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        world = World(
            replace(
                settings,
                database_url=f"postgresql+psycopg2://x:y@127.0.0.1:{port}/x",
                redis_url=f"redis://127.0.0.1:{port}/0",
            )
        )
        try:
            for _ in range(4):  # more checks than there are threads for those that hang
                begun = time.monotonic()
                body = world.get("/health").json
                assert time.monotonic() - begun < 1
                assert body["status"] == "unhealthy"
                assert (body["components"]["database"], body["components"]["redis"]) == ("unhealthy", "unhealthy")
        finally:
            world.close()
