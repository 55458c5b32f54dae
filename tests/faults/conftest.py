"""A whole fleet of real processes on the fake driver, told to be slow, and what must hold after any failure."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from agent.drivers.base import Driver, DriverFolders
from agent.drivers.fake import FakeDriver
from agent.drivers.qemu import QemuDriver
from cli.fleet import vms
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from cli.main import main
from core import database_urls, settings
from tests.support.waiting import HANG_SECONDS, until

# Failures are noticed and made up for quickly, so that a test needs seconds.
_BRISK = {
    "CORRAL_SWEEP_SECONDS": "1",
    "CORRAL_RESEND_SECONDS": "1",
    "CORRAL_OFFLINE_AFTER": "8",
    "RATE_LIMIT_BURST": "1000000",
    "RATE_LIMIT_HOURLY": "1000000",
}


def plan(home: Path, images: Path, hypervisor: str) -> FleetPlan:
    """Two hosts, two workers, and a durable PostgreSQL: it is going to be killed."""
    return FleetPlan(
        home=home,
        images=images,
        hypervisors=(hypervisor,),
        flower=False,
        workers=2,
        image=False,
        share=Share(vcpus=1000, memory_mb=1_000_000, disk_gb=100_000),
        environment=_BRISK,
    )


DRIVERS: dict[str, Callable[[DriverFolders], Driver]] = {"fake": FakeDriver, "qemu": QemuDriver}


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet on the driver that the module names as its HYPERVISOR. No VM outlives it."""
    home = tmp_path_factory.mktemp("fleet") / "home"
    images = settings.load().images
    if request.module.HYPERVISOR == "fake":
        images = tmp_path_factory.mktemp("images")
        (images / "linux-default").mkdir()
        (images / "linux-default" / "manifest.json").write_text("{}")
    try:
        with Fleet(plan(home, images, request.module.HYPERVISOR)) as running:
            yield running
    finally:
        vms.end(vms.running(home))


class Rig:
    """One user's view of the fleet, and its inside."""

    def __init__(self, fleet: Fleet, engine: Engine) -> None:
        self.fleet, self.engine = fleet, engine
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = fleet.credentials.api_key

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        url = f"{self.fleet.url}/api/v1{path}"
        return self._session.request(method, url, json=body, headers=headers, timeout=60)

    def accept(self, method: str, path: str, body: Any = None, **headers: str) -> str:
        """The id of an operation that the API has accepted."""
        answer = self.request(method, path, body, Prefer="respond-async", **headers)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]

    def create(self, name: str, **fake: Any) -> None:
        """A stopped VM. `fake` tells its driver how to misbehave from now on."""
        operation = self.accept("POST", "/vms", {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10})
        assert self.ended(operation) == "succeeded"
        if fake:
            self.tell(name, **fake)

    def tell(self, name: str, **fake: Any) -> None:
        """Change how the VM's driver misbehaves."""
        hardware = text("UPDATE vms SET hardware = hardware || :more WHERE name = :name")
        with self.engine.begin() as connection:
            connection.execute(hardware, {"more": json.dumps({"fake": fake}), "name": name})

    def row(self, query: str, **values: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), values).one()

    def state(self, operation: str) -> str:
        return str(self.row("SELECT state FROM operations WHERE id = :id", id=operation)[0])

    def ended(self, operation: str, seconds: float = HANG_SECONDS) -> str:
        """How an operation ended; it must within so many seconds."""
        until(lambda: self.state(operation) in ("succeeded", "failed", "cancelled"), seconds, operation)
        return self.state(operation)

    def running(self, operation: str) -> None:
        """Wait until the agent is at it."""
        until(lambda: self.state(operation) == "running", why=f"{operation} running")

    def effects(self, name: str) -> Counter[str]:
        """What the fake driver has done to that VM, verb by verb, over all its lives."""
        vm_id, host = self.row("SELECT id, host_name FROM vms WHERE name = :name ORDER BY created_at DESC", name=name)
        path = self.fleet.home / "hosts" / host / "fake-effects.log"
        lines = (line.split() for line in path.read_text().splitlines())
        return Counter(verb for vm, verb in lines if vm == vm_id)

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Without those processes of the control plane; without a name, without API and workers."""
        chosen = names or ("api", *self.fleet.plan.worker_names)
        for name in chosen:
            self.fleet.kill(name, hold=True)
        try:
            yield
        finally:
            for name in chosen:
                self.fleet.restart(name)

    def lose_record(self) -> None:
        """Its database is a new one, without a table."""
        place, password = database_urls.for_programs(self.fleet.database_url)
        self.engine.dispose()
        connection = psycopg2.connect(place, password=password, dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE corral WITH (FORCE)")
            cursor.execute("CREATE DATABASE corral")
        connection.close()

    def lose_redis(self) -> None:
        """It is a new one: without a key, and without an account."""
        self.fleet.kill("redis", hold=True)
        shutil.rmtree(self.fleet.home / "redis")
        self.fleet.restart("redis")

    def agrees(self) -> None:
        """Every operation has ended, and the tables agree with what is on the hosts."""
        live = "SELECT count(*) FROM operations WHERE state IN ('queued', 'running')"
        until(lambda: self.row(live)[0] == 0, why="operations still live")
        until(lambda: self._recorded() == self._on_hosts(), why="tables and hosts differ")

    def _recorded(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT id, observed FROM vms WHERE deleted_at IS NULL AND reserved"))
            return {row[0]: row[1] for row in rows}

    def _on_hosts(self) -> dict[str, str]:
        """What a driver sees that was never told anything."""
        found = {}
        for host in self.fleet.plan.host_names:
            place = DriverFolders(self.fleet.home / "hosts" / host / "vms", self.fleet.plan.images)
            for seen in DRIVERS[self.fleet.plan.hypervisors[0]](place).observe_all():
                found[seen.vm_id] = seen.state.value
        return found


Corral = Callable[..., Result]


@pytest.fixture
def corral(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Corral:
    """The command line beside the fleet's servers; it has to end with `code`."""
    monkeypatch.setenv("DATABASE_URL", rig.fleet.database_url)
    monkeypatch.setenv("REDIS_URL", rig.fleet.redis_url)

    def run(*words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def rig(fleet: Fleet) -> Iterator[Rig]:
    """The fleet, whole before and after."""
    engine = create_engine(fleet.database_url, pool_pre_ping=True)
    made = Rig(fleet, engine)
    yield made
    made.agrees()
    engine.dispose()
