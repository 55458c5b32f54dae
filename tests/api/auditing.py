"""Requests, each with its one entry in the audit log."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import select

from core.models import AuditEntry
from tests.api.world import World

ASYNC = {"Prefer": "respond-async"}


def new_mark() -> dict[str, str]:
    """The id of a new request."""
    return {"X-Request-ID": secrets.token_hex(8)}


def entries_of(world: World, given: str) -> list[AuditEntry]:
    """Those of the requests that were given that id: it stands beside our own, which nobody can choose."""
    with world.context.transaction() as session:
        query = select(AuditEntry).where(AuditEntry.details["client_request_id"].astext == given)
        return list(session.scalars(query.order_by(AuditEntry.seq)))


def said(world: World, method: str, path: str, headers: dict[str, str], **options: Any) -> tuple[Any, AuditEntry]:
    """The answer to a request, and its one entry in the log."""
    marked = new_mark()
    answer = world.request(method, path, headers | marked, environ_base={"REMOTE_ADDR": "127.0.0.1"}, **options)
    (entry,) = entries_of(world, marked["X-Request-ID"])
    return answer, entry
