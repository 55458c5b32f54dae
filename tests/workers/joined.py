"""A host of the record's whose agent is a real one, and the steps of a rotation of its secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.broker.secret import FILE
from agent.drivers.fake.state import effects
from core.contract import channels
from core.contract.states import Kind
from core.services.context import SYSTEM
from core.services.identities import accounts, rotations
from core.services.identities.rotations import Rotation
from tests.agent.hosts import Host
from tests.support.accounts import SECRET
from tests.support.waiting import until
from tests.workers.conftest import Workers
from workers import asking, rotating
from workers.context import WorkerContext

FIRST = accounts.digest(SECRET)


class Joined(Host):
    """It joins with `SECRET`; its account is made by the workers."""

    def __init__(self, home: Path, workers: Workers) -> None:
        super().__init__(home, workers.settings.redis_url)
        self.workers = workers
        with workers.context.transaction() as session:
            accounts.admit(session, self.name, FIRST)

    def admit(self) -> None:
        """That is done already."""

    # what is known

    def identity(self) -> Any:
        return self.workers.row("SELECT * FROM host_identities WHERE host = :name", name=self.name)

    def kept(self) -> str:
        """The secret in its home."""
        return (self.folder / FILE).read_text().strip()

    def valid(self) -> list[str]:
        """The SHA-256 of each secret that Redis accepts of it."""
        found: Any = self.redis.execute_command("ACL GETUSER", channels.account(self.name))  # type: ignore[no-untyped-call]
        return sorted(each.lstrip("#") for each in found["passwords"])

    def events(self) -> list[str]:
        """What was told of its secret."""
        query = "SELECT array_agg(data ->> 'state' ORDER BY seq) FROM events WHERE type = 'host_secret'"
        return list(self.workers.scalar(query) or [])

    def effects_of(self, vm_id: str, verb: str) -> int:
        """How often the driver has done that to a VM."""
        return effects(self.folder / "vms")[vm_id, verb]

    def works(self) -> None:
        """It is known by one secret, the agent has that, and does what it is told."""
        assert self.valid() == [self.identity().secret_sha256]
        vm = self.vm()
        self.send(self.command(Kind.CREATE, vm))
        until(lambda: self.effects(vm, "create"), why=self.log)

    # the steps of a rotation

    def begins(self) -> Rotation:
        with self.workers.context.transaction() as session:
            rotations.begin(session, SYSTEM, self.name)
        return self.look()

    def look(self) -> Rotation:
        with self.workers.context.transaction() as session:
            found = rotations.look(session, self.name)
        assert found is not None
        return found

    def asked_for(self, verb: str, rotation: Rotation, secret_sha256: str) -> Any:
        params = {"rotation": rotation.id, "secret_sha256": secret_sha256}
        return asking.ask(self.workers.context.dispatch, self.name, verb, None, params, 20.0, lambda: None)

    def makes(self, rotation: Rotation) -> str:
        return str(self.asked_for("secret_make", rotation, rotation.secret_sha256)["secret_sha256"])

    def offers(self, rotation: Rotation, made: str) -> None:
        with self.workers.context.transaction() as session:
            rotations.offer(session, rotation, made)

    def uses(self, rotation: Rotation, made: str) -> None:
        self.asked_for("secret_use", rotation, made)

    def finishes(self, rotation: Rotation, made: str) -> None:
        with self.workers.context.transaction() as session:
            rotations.finish(session, rotation, made)

    def goes_on(self, context: WorkerContext) -> None:
        """Until it is done, by that worker; what has failed need not rest."""

        def done() -> bool:
            with context.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE host_identities SET rotation_retry_at = NULL")
            rotating.rotate(context)
            return self.identity().rotation is None

        until(done, why=lambda: json.dumps([self.identity().rotation_problem, self.log()[-2000:]]))
