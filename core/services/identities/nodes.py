"""The Redis servers beside the one that is used: they get the accounts of hosts, which Redis does not replicate.

So when one of them takes over, hosts can log in there at once. One that can't be reached is tried in each round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from redis import Redis, RedisError
from sqlalchemy.orm import Session

from core import refusals
from core.contract import channels
from core.contract.hosts import RedisNodeState
from core.contract.messages import encode
from core.database import transact
from core.dispatch import Dispatch
from core.services.identities.accounts import Accounts

log = logging.getLogger(__name__)


class RedisNodes:
    """Those servers as one process last saw them, each by its place."""

    def __init__(self) -> None:
        self._accounts: dict[str, Accounts] = {}
        self.problems: dict[str, str] = {}

    def apply(self, dispatch: Dispatch, transaction: Callable[[], AbstractContextManager[Session]]) -> int:
        """Give each the accounts of the record; how many were not there. Health shows what is wrong with one."""
        changed = 0
        for redis in dispatch.nodes:
            place = _place(redis)
            accounts = self._accounts.setdefault(place, Accounts(messages=False))
            problem = ""
            try:
                changed += transact(transaction, lambda session: accounts.apply(session, redis))  # noqa: B023  # at once
            except RedisError as error:
                problem = refusals.reason(error)
            self._note(place, problem)
        states = {place: encode(RedisNodeState(time.time(), problem)) for place, problem in self.problems.items()}
        if states:
            dispatch.attempt(lambda: dispatch.redis.hset(channels.NODES, mapping=states))
        return changed

    def _note(self, place: str, problem: str) -> None:
        if problem != self.problems.get(place, ""):
            log.warning("the Redis server at %s %s", place, problem or "has the accounts of hosts again")
        self.problems[place] = problem


def _place(redis: Redis) -> str:
    options = redis.get_connection_kwargs()
    return str(options["path"]) if "path" in options else f"{options['host']}:{options['port']}"
