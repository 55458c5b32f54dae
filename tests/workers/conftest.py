"""Receivers and sweeps of any number of workers in this process, on a database and a Redis database of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text

from agent.drivers.fake import FakeDriver
from cli.fleet.postgres import Postgres
from core import migrate
from core.contract import channels
from core.contract.hosts import DriverHealth, Inventory
from core.contract.messages import Report, encode
from core.contract.states import Observed, Phase
from core.contract.vms import Observation
from core.models import Base
from core.services import users, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.vms import VmRequest
from core.settings import Settings
from tests.workers.rig import Rig
from workers import context
from workers.context import WorkerContext
from workers.receiver import Receiver

_generation = count(1)


class Workers:
    """The control plane from inside: its tables, and what its hosts send."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.settings = Settings(database_url=database_url, redis_url=redis_url)
        self._stack = ExitStack()
        self.context = self.another()
        self.redis = self.context.dispatch.redis
        self.actor = Actor("", "", "user")

    def another(self) -> WorkerContext:
        """What one more worker has."""
        made = context.make(self.settings)
        self._stack.callback(made.close)
        return made

    def empty(self) -> None:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        with self.context.engine.begin() as connection:
            # Else the audit log's triggers would refuse.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        self.redis.flushdb()
        with self.context.transaction() as session:
            user = users.add(session, "ann", "a good password", "user")
            self.actor = Actor(user.id, user.username, user.role)

    def receiver(self, number: int = 1) -> Receiver:
        """A worker's receiver, at work."""
        made = Receiver(self.another(), f"worker-{number}")
        made.start()
        self._stack.callback(made.stop)
        return made

    def close(self) -> None:
        self._stack.close()

    # what hosts send

    def send(self, host: str, *entries: bytes, wake: bool = True) -> None:
        self.redis.rpush(channels.reports(host), *entries)
        if wake:
            self.redis.publish(channels.REPORTS_WAKEUP, host)

    def inventory(self, host: str, *seen: Observation, **changes: Any) -> bytes:
        made = Inventory(
            host=host,
            boot_id="boot",
            generation=next(_generation),
            at=time.time(),
            vcpus=64,
            memory_mb=65536,
            disk_gb=1000,
            drivers=[DriverHealth("fake", healthy=True, capabilities=sorted(FakeDriver.capabilities))],
            images=["linux-default"],
            vms=list(seen),
        )
        return envelope("inventory", replace(made, **changes))

    def report(self, operation: Accepted, phase: str, state: Observed | None = None, **fields: Any) -> bytes:
        started = 1.0 if state == Observed.RUNNING else None
        seen = Observation(operation.vm_id, state, started_at=started) if state else None
        made = Report(
            host=operation.host_name,
            generation=next(_generation),
            operation_id=operation.id,
            attempt=operation.attempt,
            phase=Phase(phase),
            at=1.0,
            observation=seen,
        )
        return envelope("report", structs.replace(made, **fields))

    # what is known

    def row(self, query: str, **values: Any) -> Any:
        with self.context.engine.connect() as connection:
            return connection.execute(text(query), values).one()

    def scalar(self, query: str, **values: Any) -> Any:
        return self.row(query, **values)[0]

    def dead(self, host: str) -> list[Any]:
        """The messages of that host that were moved aside."""
        entries: list[bytes] = self.redis.lrange(channels.dead_reports(host), 0, -1)  # type: ignore[assignment]
        return [json.loads(entry) for entry in entries]

    def left(self, host: str) -> int:
        return int(self.redis.llen(channels.reports(host)))  # type: ignore[arg-type]

    def joined(self, host: str) -> bool:
        return bool(self.scalar("SELECT count(*) FROM hosts WHERE name = :name", name=host))

    def create(self, name: str, host: str) -> Accepted:
        """A create, accepted."""
        request = VmRequest(name, "linux", 1, 512, 10, "linux-default", ("fake",), host)
        with self.context.transaction() as session:
            return vms.create(session, self.actor, request)

    def state(self, operation: Accepted) -> str:
        return str(self.scalar("SELECT state FROM operations WHERE id = :id", id=operation.id))


def envelope(kind: str, message: Any) -> bytes:
    return f'{{"kind":"{kind}","body":{encode(message)}}}'.encode()


@pytest.fixture(scope="session")
def workers_database(postgres: Postgres) -> str:
    url = postgres.create_database("workers_tests")
    migrate.upgrade(url)
    return url


@pytest.fixture
def workers(workers_database: str, redis_url: str) -> Iterator[Workers]:
    """No hosts, no VMs, one user, no worker yet."""
    base, _, _ = redis_url.rpartition("/")
    made = Workers(workers_database, f"{base}/9")
    made.empty()
    yield made
    made.close()


@pytest.fixture
def rig(workers: Workers) -> Rig:
    """host-a; host-b is beside it."""
    workers.receiver()
    made = Rig(workers, "host-a")
    made.tell(vcpus=16)
    Rig(workers, "host-b").tell(vcpus=16)
    return made


@pytest.fixture
def other(rig: Rig) -> Rig:
    """host-b."""
    return Rig(rig.workers, "host-b")
