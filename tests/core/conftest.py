"""The services on the real database, with a host that only the tables know."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import pytest
from msgspec import Raw
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from agent.drivers.fake import FakeDriver
from core import database
from core.contract.hosts import DriverHealth, Inventory
from core.contract.messages import Report
from core.contract.states import Kind, Observed, Phase
from core.contract.vms import Observation
from core.dispatch import Dispatch
from core.models import Base
from core.services import context, listing, users
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.intake import inventories, reports
from core.services.vms import VmRequest

Transaction = Callable[[], AbstractContextManager[Session]]
_generation = count(1)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    made = database.connect(database_url)
    yield made
    made.dispose()


@pytest.fixture
def dispatch(redis_url: str) -> Dispatch:
    return Dispatch(redis_url)


@pytest.fixture
def transaction(engine: Engine, dispatch: Dispatch) -> Transaction:
    """Transactions on empty tables."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        # Else the audit log's triggers would refuse.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    dispatch.redis.flushall()

    @contextmanager
    def begin() -> Iterator[Session]:
        with database.transaction(engine) as session:
            yield context.use(session, dispatch)

    return begin


@pytest.fixture
def actor(transaction: Transaction) -> Actor:
    return make_user(transaction, "ann")


@pytest.fixture
def host(transaction: Transaction) -> str:
    """A host with room for four VMs of `request_for`."""
    with transaction() as session:
        inventories.record(session, inventory("host-a"))
    return "host-a"


def make_user(transaction: Transaction, name: str, role: str = "user") -> Actor:
    with transaction() as session:
        user = users.add(session, name, "a good password", role)
        return Actor(user.id, user.username, user.role)


def inventory(name: str, vms: list[Observation] | None = None) -> Inventory:
    capabilities = sorted(FakeDriver.capabilities)
    return Inventory(
        host=name,
        boot_id="boot",
        generation=next(_generation),
        at=time.time(),
        vcpus=4,
        memory_mb=4096,
        disk_gb=100,
        drivers=[DriverHealth("fake", healthy=True, capabilities=capabilities)],
        images=["linux-default"],
        vms=vms or [],
    )


def request_for(name: str, host: str | None = None) -> VmRequest:
    return VmRequest(name, "linux", 1, 512, 10, "linux-default", ("fake",), host)


def _told(operation: Accepted) -> dict[str, object]:
    """What a success of that kind can't do without."""
    if operation.kind == Kind.SNAPSHOT_CREATE:
        return {"size_bytes": 5, "checksum": "sha256:0", "include_memory": operation.params["include_memory"]}
    if operation.kind == Kind.RESIZE:
        return {"applied": dict.fromkeys(operation.params, "at_next_start")}
    return {}


def report(operation: Accepted, phase: str, state: Observed | None = None, **fields: object) -> Report:
    told = fields.pop("result", _told(operation) if phase == Phase.SUCCEEDED else {})
    seen = Observation(operation.vm_id, state, started_at=1.0 if state == Observed.RUNNING else None) if state else None
    return Report(
        host=operation.host_name,
        generation=next(_generation),
        operation_id=operation.id,
        attempt=operation.attempt,
        phase=Phase(phase),
        at=1.0,
        observation=seen,
        result=Raw(json.dumps(told).encode()),
        **fields,  # type: ignore[arg-type]
    )


def apply(transaction: Transaction, told: Report) -> None:
    with transaction() as session:
        reports.record(session, told.host, [told])


class Helpers:
    """Short forms of what most tests do."""

    report = staticmethod(report)
    request = staticmethod(request_for)
    inventory = staticmethod(inventory)

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def user(self, name: str) -> Actor:
        return make_user(self._transaction, name)

    def apply(self, told: Report) -> None:
        apply(self._transaction, told)

    def tell(self, operation: Accepted, phase: str, state: Observed) -> None:
        self.apply(report(operation, phase, state))

    def do(self, begin: Callable[[Session], Accepted], state: Observed) -> Accepted:
        """Accept an operation and report its success at once."""
        with self._transaction() as session:
            operation = begin(session)
        self.tell(operation, "succeeded", state)
        return operation

    def status(self, actor: Actor, name: str) -> str:
        with self._transaction() as session:
            return listing.view(session, actor, name).status


@pytest.fixture
def helpers(transaction: Transaction) -> Helpers:
    return Helpers(transaction)
