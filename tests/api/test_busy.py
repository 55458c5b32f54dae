"""A request that loses a deadlock is done all the same."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import text

from core.models.base import now
from tests.api.world import VM, World
from tests.support.waiting import until


def test_a_request_that_loses_a_deadlock_is_tried_again(world: World) -> None:
    """It holds its idempotency key and wants the host; another transaction holds the host and wants the key."""
    caller = world.caller()
    answers: list[Any] = []

    def create() -> None:
        headers = caller.bearer | {"Idempotency-Key": "crossed", "Prefer": "respond-async"}
        answers.append(world.post("/vms", headers, json=VM | {"name": "crossed"}))

    waits = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    asking = threading.Thread(target=create)
    with world.context.engine.connect() as other, world.context.engine.connect() as looking:
        other.execute(text("SELECT 1 FROM hosts FOR UPDATE"))
        asking.start()

        def waiting() -> bool:
            looking.rollback()
            return bool(looking.scalar(waits))

        until(waiting)
        wanted = text(
            "INSERT INTO idempotency (principal, key, fingerprint, created_at) VALUES (:user, 'crossed', '', :at)"
        )
        other.execute(wanted, {"user": caller.actor.user_id, "at": now()})
        other.rollback()
    asking.join(30)
    assert [answer.status_code for answer in answers] == [202]
