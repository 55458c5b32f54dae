"""One host, whose agent is the test."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from core.contract import channels
from core.contract.messages import Call, Command, decode
from core.contract.states import Observed
from core.contract.vms import Observation
from core.services import listing
from core.services.accepted import Accepted
from tests.support.waiting import until
from workers import sweeping

if TYPE_CHECKING:
    from tests.workers.conftest import Workers


class Rig:
    """What such a host says, and is told."""

    def __init__(self, workers: Workers, host: str) -> None:
        self.workers, self.host = workers, host
        self.actor = workers.actor

    def send(self, *entries: bytes) -> None:
        self.workers.send(self.host, *entries)
        until(lambda: self.workers.left(self.host) == 0)
        assert self.workers.dead(self.host) == []

    def tell(self, *seen: Observation, **changes: Any) -> None:
        self.send(self.workers.inventory(self.host, *seen, **changes))

    def create(self, name: str) -> Accepted:
        return self.workers.create(name, self.host)

    def created(self, name: str) -> str:
        """The id of a VM that was made."""
        operation = self.create(name)
        self.send(self.workers.report(operation, "succeeded", Observed.STOPPED))
        return operation.vm_id

    def sql(self, statement: str, **values: Any) -> None:
        with self.workers.context.engine.begin() as connection:
            connection.execute(text(statement), values)

    def late(self) -> None:
        """All that is under way has run past its deadline."""
        self.sql("UPDATE operations SET deadline_at = now() - interval '1 hour'")
        sweeping.sweep(self.workers.context)

    def silence(self) -> None:
        self.sql("UPDATE hosts SET last_seen_at = now() - interval '1 hour' WHERE name = :name", name=self.host)
        sweeping.sweep(self.workers.context)

    def vm(self, vm_id: str, column: str) -> Any:
        return self.workers.scalar("SELECT to_jsonb(vms) -> :name FROM vms WHERE id = :id", id=vm_id, name=column)

    def vcpus(self) -> int:
        return int(self.workers.scalar("SELECT reserved_vcpus FROM hosts WHERE name = :name", name=self.host))

    def status(self, vm_id: str) -> str:
        with self.workers.context.transaction() as session:
            return listing.view(session, self.actor, vm_id).status.value

    def commands(self) -> list[Command]:
        """What waits on the host's queue, oldest first."""
        queue: list[bytes] = self.workers.redis.lrange(channels.command_queue(self.host), 0, -1)  # type: ignore[assignment]
        bodies = [json.loads(base64.b64decode(json.loads(each)["body"])) for each in reversed(queue)]
        return [decode(Command, body[1]["command"]) for body in bodies]

    def take(self) -> list[Command]:
        """The same, taken."""
        found = self.commands()
        self.workers.redis.delete(channels.command_queue(self.host))
        return found

    def calls(self) -> list[Call]:
        entries: list[bytes] = self.workers.redis.lrange(channels.calls(self.host), 0, -1)  # type: ignore[assignment]
        return [decode(Call, each) for each in entries]
