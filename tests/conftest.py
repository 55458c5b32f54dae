"""The real servers, started once in each process that runs tests: private, quick, gone afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from cli.fleet.share import Share
from cli.image.log import BuildFailed
from core import migrate, settings
from tests.support.clones import Clones
from tools.virtualbox import root
from tools.virtualbox.sandbox import Sandbox

os.environ["CORRAL_FAKE"] = "1"  # most tests are on the fake driver
# The first is imported by others.
_SUPPORT = ("tiers", "beside", "lanes", "leftovers", "logs", "order", "ports", "skips")
pytest_plugins = [f"tests.support.{name}" for name in _SUPPORT]


@pytest.fixture(scope="session")
def servers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's servers live."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def postgres(servers_home: Path) -> Iterator[Postgres]:
    """A real PostgreSQL: `.url`, `.create_database(name)`, `.kill()`, `.restart()`."""
    server = Postgres(servers_home, durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis(servers_home: Path) -> Iterator[Redis]:
    """A real Redis: `.url`, `.kill()`, `.restart()`."""
    server = Redis(servers_home)
    server.program = os.environ.get("TEST_REDIS_SERVER", server.program)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_url(postgres: Postgres) -> str:
    """A database with all of Corral's tables."""
    migrate.upgrade(postgres.url)
    return postgres.url


@pytest.fixture(scope="session")
def redis_url(redis: Redis) -> str:
    """The session's Redis."""
    return redis.url


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Clones:
    """Guests that need not boot; the processes of one run share what they are cloned of."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if base.name.startswith("popen-") else base
    return Clones(run / "clones", settings.load().images)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A whole fleet with the fake driver: `.url`, `.credentials`, `.kill(name, hold=True)`, `.restart(name)`."""
    home = tmp_path_factory.mktemp("fleet")
    plan = FleetPlan(
        home=home,
        images=home / "images",
        hypervisors=("fake",),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=64, memory_mb=64 * 1024, disk_gb=1000),
        environment={"RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture(scope="session")
def vboxmanage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real VBoxManage: this machine's own if it has one, else that of a Debian root, which can't start VMs."""
    own = shutil.which(settings.load().vboxmanage)
    if own is not None:
        yield own
        return
    built = root.find(settings.load().virtualbox)
    if built is None:
        pytest.skip("there is no VirtualBox, nor a root with one: run `python -m tools.virtualbox build` as root")
    try:
        root.refuse_without_rights()
    except BuildFailed as reason:
        pytest.skip(reason.message)
    home = tmp_path_factory.mktemp("virtualbox-home")
    shares = [tmp_path_factory.getbasetemp(), settings.load().images]
    with Sandbox(built, home, shares) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORRAL_VBOXMANAGE", str(sandbox.program))
        yield str(sandbox.program)
