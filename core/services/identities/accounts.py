"""The users of Redis as which agents come: derived from the record, for Redis keeps none over a restart.

The record is changed first, and Redis after the commit; `Accounts.apply` does again what was missed there.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from redis import Redis
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract import channels
from core.database import after_commit
from core.models import HostIdentity
from core.models.base import now
from core.redis_users import rules
from core.services.context import dispatch_of

log = logging.getLogger(__name__)

_SURE_SECONDS = 60.0  # for which nobody is thought to have meddled with the users of Redis
_MARK = channels.account("")


def digest(secret: str) -> str:
    """What is kept of an agent's secret: of 256 random bits, a plain hash is enough, and Redis takes that one."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_of(session: Session, host: str) -> str | None:
    """The SHA-256 of the secret by which that host is known; None for what is no host that has joined."""
    return session.scalar(select(HostIdentity.secret_sha256).where(HostIdentity.host == host))


def admit(session: Session, host: str, secret_sha256: str, token_id: str | None = None) -> None:
    """From the commit on, who knows that secret is the host, and nobody else is."""
    values = {"secret_sha256": secret_sha256, "token_id": token_id, "joined_at": now()}
    statement = insert(HostIdentity).values(host=host, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["host"], set_=values))
    dispatch = dispatch_of(session)

    def change() -> None:
        """Whoever came with another secret is cut off."""
        grant(dispatch.redis, {host: secret_sha256})
        _do(dispatch.redis, "CLIENT KILL", "USER", channels.account(host))

    after_commit(session, lambda: dispatch.attempt(change, "a host's Redis account is not made yet"))


def expel(session: Session, host: str) -> None:
    """From the commit on nobody is that host, and who was is cut off."""
    session.execute(delete(HostIdentity).where(HostIdentity.host == host))
    dispatch = dispatch_of(session)

    def change() -> None:
        """Nothing is pushed any more once the account is gone; what it had pushed last is not heard.

        Whoever has the name next may come from another home.
        """
        revoke(dispatch.redis, host)
        dispatch.redis.delete(channels.reports(host), channels.home(host))

    after_commit(session, lambda: dispatch.attempt(change, "a host's Redis account still exists"))


def grant(redis: Redis, secrets: Mapping[str, str]) -> None:
    """Make the accounts of hosts, or make them anew; a connection that may still do what it does is left alone.

    `secrets`: the SHA-256 of each host's.
    """
    database = int(redis.get_connection_kwargs().get("db") or 0)
    with redis.pipeline(transaction=False) as together:
        for host, secret_sha256 in secrets.items():
            _do(together, "ACL SETUSER", channels.account(host), *rules(host, secret_sha256, database))
        together.execute()


def revoke(redis: Redis, *hosts: str) -> None:
    """Take the accounts away; Redis closes their connections."""
    _do(redis, "ACL DELUSER", *(channels.account(host) for host in hosts))


class Accounts:
    """The accounts of all hosts as one process last saw them in Redis."""

    def __init__(self) -> None:
        self._server, self._sure_until = "", 0.0
        self._granted: dict[str, str] = {}
        self._applying = threading.Lock()

    def apply(self, session: Session) -> int:
        """Make Redis's accounts those of the record; how many were not.

        Redis is asked for its accounts before the record is: one that is made meanwhile is in the record by then.
        """
        with self._applying:
            return self._apply(session, dispatch_of(session).redis)

    def _apply(self, session: Session, redis: Redis) -> int:
        there = {name.removeprefix(_MARK) for name in _names(redis) if name.startswith(_MARK)}
        wanted = _recorded(session)
        self._forget_what_may_have_changed(redis)
        lacking = {
            host: secret for host, secret in wanted.items() if host not in there or not self._knows(host, secret)
        }
        if lacking:
            grant(redis, lacking)
        gone = (there | set(lacking)) - set(_recorded(session) if lacking else wanted)
        if gone:
            revoke(redis, *gone)
        self._granted = {host: secret for host, secret in wanted.items() if host not in gone}
        return len(gone) + len(set(lacking) - there)

    def _knows(self, host: str, secret: str) -> bool:
        return self._granted.get(host) == secret

    def _forget_what_may_have_changed(self, redis: Redis) -> None:
        information: Any = redis.info("server")
        if information["run_id"] != self._server or time.monotonic() > self._sure_until:
            self._server, self._sure_until = information["run_id"], time.monotonic() + _SURE_SECONDS
            self._granted = {}
            _warn_of_an_open_door(redis)


def _warn_of_an_open_door(redis: Redis) -> None:
    everyones: Any = redis.acl_getuser("default")
    if everyones and {"on", "nopass"} <= set(everyones["flags"]):
        log.warning(
            "Redis lets its user 'default' in without a password, so hosts' accounts protect nothing: set requirepass"
        )


def _names(redis: Redis) -> list[str]:
    names: Any = redis.acl_users()  # which redis-py decodes
    return [str(name) for name in names]


def _do(redis: Redis, *command: str) -> Any:
    return redis.execute_command(*command)  # type: ignore[no-untyped-call]


def _recorded(session: Session) -> dict[str, str]:
    rows = session.execute(select(HostIdentity.host, HostIdentity.secret_sha256))
    return {row.host: row.secret_sha256 for row in rows}
