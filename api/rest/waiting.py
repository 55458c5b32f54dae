"""`Prefer`: how long a request waits for its operation, and the answer if that takes longer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import g, request

from api.auth.identity import actor
from api.web import limits
from api.web.context import api_context
from core.contract.states import ENDED
from core.services import operations
from core.services.accepted import AnyOperation

_SHORTEST_SECONDS = 1
_WAIT = re.compile(r"wait=(\d{1,9})")


@dataclass(frozen=True)
class Preference:
    """How long to hold, in seconds; `begun`: the answer is that work has begun. `applied` goes into the header."""

    seconds: float
    begun: bool = False
    applied: str | None = None


def preference(*, holds: bool) -> Preference:
    """What the request prefers, else what its dialect does: hold until the end, or answer at once."""
    limit = api_context().settings.wait_seconds
    wishes = [wish.strip().lower() for wish in ",".join(request.headers.getlist("Prefer")).split(",")]
    waits = [match for wish in wishes if (match := _WAIT.fullmatch(wish))]
    if waits:
        seconds = min(int(waits[0][1]), limit)
        return Preference(seconds, applied=f"wait={seconds}")
    if "respond-async" in wishes:
        return Preference(0, applied="respond-async")
    return Preference(limit if holds else 0, begun=not holds)


@contextmanager
def held(timeout: float | None) -> Iterator[float]:
    """A place among the waits that the caller may hold at once, and for how many seconds that may be.

    Waits are free of rate limits, as they take the place of many requests; one that hardly waits is a request.
    """
    limit = api_context().settings.wait_seconds
    seconds = min(limit if timeout is None else timeout, limit)
    if seconds < _SHORTEST_SECONDS:
        limits.count_request()
    with api_context().waits.one(actor().user_id):
        yield seconds


def wait(operation_id: str, seconds: float, *, just_begun: bool = False) -> bool:
    """Whether the operation has ended, within that time. No connection is held meanwhile."""
    if seconds <= 0:
        return False

    def ended() -> bool:
        with api_context().reading() as session:
            return operations.get(session, actor(), operation_id).state in ENDED

    g.held = True
    return api_context().hub.wait_operation(operation_id, seconds, ended, just_begun=just_begun)


def has_ended(operation: AnyOperation) -> bool:
    """Whether it will not change any more."""
    return operation.state in ENDED
