"""The API in this process, on the real PostgreSQL and Redis; and for what needs an agent, a whole fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.fleet import ports
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from cli.fleet.share import Share
from core import migrate
from core.settings import Settings
from tests.api.filing import Files
from tests.api.speaking import Speaker
from tests.api.world import World
from tests.support.clients import Client, new_user

PLENTY = 1_000_000


@pytest.fixture(scope="session")
def settings(postgres: Postgres, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database of these tests' own, hardly any limits, short waits."""
    url = postgres.create_database("api")
    migrate.upgrade(url)
    return Settings(
        metrics_token="s3cret",
        home=tmp_path_factory.mktemp("home"),
        images=tmp_path_factory.mktemp("images"),
        database_url=url,
        redis_url=redis.url,
        rate_burst=PLENTY,
        rate_hourly=PLENTY,
        wait_seconds=2,
        fake=True,
    )


@pytest.fixture(scope="session")
def world(settings: Settings) -> Iterator[World]:
    """The API with a host in its tables, but no agent: what is accepted stays queued."""
    made = World(settings)
    made.record.add_host("host-a")
    yield made
    made.close()


@pytest.fixture
def limited(settings: Settings, redis: Redis) -> Iterator[World]:
    """The API with small limits, counted from zero."""
    made = World(replace(settings, rate_burst=5, rate_hourly=8))
    made.context.dispatch.redis.flushdb()
    yield made
    made.close()


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Real processes: gunicorn, a worker, an agent with the fake driver."""
    images: Path = tmp_path_factory.mktemp("fleet-images")
    (images / "linux-default").mkdir()
    (images / "linux-default" / "manifest.json").write_text("{}")
    plan = FleetPlan(
        home=tmp_path_factory.mktemp("fleet") / "home",
        images=images,
        hypervisors=("fake",),
        flower=False,
        image=False,
        metrics_port=ports.choose(3),  # a worker's and two agents'
        share=Share(vcpus=10_000, memory_mb=100_000_000, disk_gb=1_000_000),
        environment={
            "RATE_LIMIT_BURST": str(PLENTY),
            "RATE_LIMIT_HOURLY": str(PLENTY),
            "CORRAL_WAIT_SECONDS": "20",
            "CORRAL_TRUSTED_PROXIES": "127.0.0.1",  # where test_proxies.py has its own
        },
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """A new user of the fleet's. Leaves no VM behind."""
    made = new_user(fleet)
    yield made
    for vm in made.call("GET", "/vms?limit=100").json()["vms"]:
        assert made.call("DELETE", f"/vms/{vm['name']}").status_code == 204


@pytest.fixture(scope="module")
def apart(fleet: Fleet) -> Iterator[Client]:
    """With a running VM 'apart'."""
    made = new_user(fleet)
    assert made.call("POST", "/vms", made.bearer, {"name": "apart"}).status_code == 201
    assert made.call("POST", "/vms/apart/start", made.bearer).status_code == 200
    yield made
    assert made.call("DELETE", "/vms/apart", made.bearer).status_code == 204


@pytest.fixture(params=["bearer", "key"])
def speaker(apart: Client, request: pytest.FixtureRequest) -> Speaker:
    return Speaker(apart, request.param)


@pytest.fixture
def bare(apart: Client) -> Speaker:
    return Speaker(apart, "bearer")


@pytest.fixture(scope="module")
def files(fleet: Fleet) -> Iterator[Files]:
    made = Files(fleet)
    yield made
    made.guest.delete()
