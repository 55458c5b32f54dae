"""Webhooks of a user, events, and a worker that delivers them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from sqlalchemy import text

from core.models import Vm
from core.services import events
from core.services.context import Actor
from core.services.webhooks import hooks, queue
from tests.support.receivers import Sent
from tests.workers.conftest import Workers
from workers import webhooks
from workers.context import WorkerContext

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Hooks:
    """Webhooks of a user, events, and workers that deliver them."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.actor = workers, workers.actor
        workers.settings = replace(workers.settings, webhook_networks=LOOPBACK)
        self.context: WorkerContext = workers.another()
        self._vms: dict[str, Any] = {}

    def create(self, url: str, *types: str, actor: Actor | None = None) -> str:
        with self.context.transaction() as session:
            return hooks.create(session, actor or self.actor, url, types, LOOPBACK).id

    def happen(self, vm: str, type_: str = "status_change", owner: str | None = None, **data: Any) -> int:
        """An event; its number."""
        with self.context.transaction() as session:
            of = Vm(id=vm, name=f"name-of-{vm}", owner_id=owner or self.actor.user_id, host_name="host-a")
            events.of_vm(session, type_, of, data)
        return int(self.workers.scalar("SELECT max(seq) FROM events"))

    def deliver(self) -> int:
        """All that there is to do now, by one worker; how many webhooks had a turn."""
        with self.context.transaction() as session:
            queue.fan_out(session)
        turns = 0
        while webhooks.deliver_next(self.context):
            turns += 1
        return turns

    def later(self, seconds: float = 7 * 86400) -> None:
        """As if so much time had passed for all that waits."""
        passed = {"passed": timedelta(seconds=seconds)}
        with self.context.engine.begin() as connection:
            connection.execute(text("UPDATE webhook_deliveries SET next_try_at = next_try_at - :passed"), passed)
            connection.execute(
                text("UPDATE webhooks SET held_until = held_until - :passed, leased_until = leased_until - :passed"),
                passed,
            )

    def states(self) -> list[str]:
        with self.context.engine.connect() as connection:
            return list(connection.execute(text("SELECT state FROM webhook_deliveries ORDER BY id")).scalars())

    def hook(self, hook_id: str) -> Any:
        return self.workers.row("SELECT * FROM webhooks WHERE id = :id", id=hook_id)


def signature(secret: str, sent: Sent) -> str:
    """That of what was sent, reckoned by itself."""
    content = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.raw
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
