"""The Redis users of agents: derived from the database, because Redis keeps none over a restart.

The record is changed first, and Redis after the commit; `Accounts.apply` does again what was missed there.
That of a fenced host is closed: it may ask whether it is fenced, and nothing else (`core.redis_users`).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis
from sqlalchemy import case, delete, false, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract import channels
from core.contract.hosts import Fence
from core.contract.messages import encode
from core.contract.states import SchedulingState
from core.database import after_commit
from core.models import Host, HostIdentity
from core.models.base import now
from core.redis_users import closed_rules, rules
from core.services.context import dispatch_of

log = logging.getLogger(__name__)

_SURE_SECONDS = 60.0  # for which nobody is thought to have meddled with the users of Redis
_MARK = channels.account("")


_OF_ROTATIONS = (
    HostIdentity.next_sha256,
    HostIdentity.rotation,
    HostIdentity.rotation_by,
    HostIdentity.rotation_problem,
    HostIdentity.rotating_since,
    HostIdentity.offered_at,
    HostIdentity.rotation_retry_at,
)


@dataclass(frozen=True)
class HostAccount:
    """The Redis account of a host: the SHA-256 of its secret, and of the next one if there is one; is it closed?"""

    secret_sha256: str
    closed: bool = False
    next_sha256: str | None = None

    @property
    def secrets_sha256(self) -> tuple[str, ...]:
        """Of all secrets that are valid."""
        return (self.secret_sha256, self.next_sha256) if self.next_sha256 else (self.secret_sha256,)


def digest(secret: str) -> str:
    """What is kept of an agent's secret: of 256 random bits, a plain hash is enough, and Redis takes that one."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secrets_of(session: Session, host: str) -> tuple[str, ...]:
    """The SHA-256 of each secret by which that host is known now; none for what is no host that has joined."""
    columns = select(HostIdentity.secret_sha256, HostIdentity.next_sha256)
    row = session.execute(columns.where(HostIdentity.host == host)).one_or_none()
    return tuple(filter(None, row)) if row else ()


def admit(session: Session, host: str, secret_sha256: str, token_id: str | None = None) -> None:
    """From the commit on, who knows that secret is the host, and nobody else is.

    With the secret that it has already, a rotation goes on, and the secret is as old as it was.
    """
    values: dict[str, Any] = {"secret_sha256": secret_sha256, "token_id": token_id, "joined_at": now()}
    statement = insert(HostIdentity).values(host=host, secret_changed_at=now(), **values)
    same = HostIdentity.secret_sha256 == secret_sha256
    changed_at = case((same, HostIdentity.secret_changed_at), else_=statement.excluded.secret_changed_at)
    rotation = {column.key: case((same, column), else_=null()) for column in _OF_ROTATIONS}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["host"], set_=values | rotation | {"secret_changed_at": changed_at}
        )
    )
    settle(session, host)


def settle(session: Session, host: str) -> None:
    """From the commit on the host's account is as its record is now; whoever came with another secret is cut off."""
    session.flush()
    account = _recorded(session, host)[host]
    dispatch = dispatch_of(session)

    def change() -> None:
        grant(dispatch.redis, {host: account}, cut_off={host})

    after_commit(session, lambda: dispatch.attempt(change, "a host's Redis account is not made yet"))


def offered(session: Session, host: str) -> None:
    """From the commit on the host's next secret is valid, too."""
    session.flush()
    account = _recorded(session, host)[host]
    dispatch = dispatch_of(session)
    after_commit(
        session,
        lambda: dispatch.attempt(
            lambda: grant(dispatch.redis, {host: account}), "a host's next secret is not valid yet"
        ),
    )


def fenced(session: Session, host: str) -> None:
    """From the commit on, the host's agent may do what its scheduling state allows: behind a fence nothing.

    What waited for it, or was said by it, before that is gone.
    """
    session.flush()
    account, fence = _recorded(session, host).get(host), _fences(session)[host]
    dispatch = dispatch_of(session)

    def change() -> None:
        """The fence is told, and nothing waits, before anything may be done again."""
        _lay(dispatch.redis, {host: fence})
        _forget_messages(dispatch.redis, host)
        if account is not None:
            grant(dispatch.redis, {host: account})

    after_commit(session, lambda: dispatch.attempt(change, "a host's Redis account is as it was still"))


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


def grant(
    redis: Redis, accounts: Mapping[str, HostAccount], *, cut_off: Collection[str] = (), messages: bool = True
) -> None:
    """Make the accounts of hosts, or make them again; a connection that may still do what it does is left alone.

    Those of hosts to `cut_off` are closed in the same moment: a secret that is valid no more has opened none of what is
    there then. So are those of a closed account, and what waits for it is dropped if the server has `messages`.
    """
    with redis.pipeline(transaction=False) as together:
        for host, account in accounts.items():
            if host not in cut_off:
                _write(together, redis, host, account)
        together.execute()
    for host in cut_off:
        with redis.pipeline(transaction=True) as at_once:
            _write(at_once, redis, host, accounts[host])
            _cut_off(at_once, host)
            at_once.execute()
    for host in (host for host, account in accounts.items() if account.closed):
        _cut_off(redis, host)
        if messages:
            _forget_messages(redis, host)


def _write(pipeline: Redis, redis: Redis, host: str, account: HostAccount) -> None:
    database = int(redis.get_connection_kwargs().get("db") or 0)
    written = closed_rules if account.closed else rules
    _do(pipeline, "ACL SETUSER", channels.account(host), *written(host, account.secrets_sha256, database))


def revoke(redis: Redis, *hosts: str) -> None:
    """Take the accounts away; Redis closes their connections."""
    _do(redis, "ACL DELUSER", *(channels.account(host) for host in hosts))


class Accounts:
    """The accounts of all hosts as one process last saw them in one Redis server.

    `messages`: it is the one that is used. Another one may be a replica, which takes users and no keys.
    """

    def __init__(self, *, messages: bool = True) -> None:
        self._messages = messages
        self._server, self._sure_until = "", 0.0
        self._granted: dict[str, HostAccount] = {}
        self._applying = threading.Lock()

    def apply(self, session: Session, redis: Redis | None = None) -> int:
        """Make Redis's accounts those of the record; how many were not.

        Redis is asked for its accounts before the record is: one that is made meanwhile is in the record by then.
        """
        with self._applying:
            return self._apply(session, redis or dispatch_of(session).redis)

    def _apply(self, session: Session, redis: Redis) -> int:
        there = {name.removeprefix(_MARK) for name in _names(redis) if name.startswith(_MARK)}
        if self._messages:
            _lay(redis, _fences(session))
        wanted = _recorded(session)
        self._forget_what_may_have_changed(redis)
        lacking = {
            host: account for host, account in wanted.items() if host not in there or not self._knows(host, account)
        }
        if lacking:
            grant(redis, lacking, cut_off=_with_other_secrets(redis, lacking), messages=self._messages)
        gone = (there | set(lacking)) - set(_recorded(session) if lacking else wanted)
        if gone:
            revoke(redis, *gone)
        self._granted = {host: account for host, account in wanted.items() if host not in gone}
        return len(gone) + len(set(lacking) - there)

    def _knows(self, host: str, account: HostAccount) -> bool:
        return self._granted.get(host) == account

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


def _with_other_secrets(redis: Redis, accounts: Mapping[str, HostAccount]) -> set[str]:
    """Those whose users in Redis have a secret that the accounts have not."""
    lines: Any = redis.acl_list()
    there = {words[1]: {word[1:] for word in words if word.startswith("#")} for words in map(str.split, lines)}
    of_none: set[str] = set()
    return {
        host
        for host, account in accounts.items()
        if there.get(channels.account(host), of_none) - set(account.secrets_sha256)
    }


def _names(redis: Redis) -> list[str]:
    names: Any = redis.acl_users()  # which redis-py decodes
    return [str(name) for name in names]


def _do(redis: Redis, *command: str) -> Any:
    return redis.execute_command(*command)  # type: ignore[no-untyped-call]


def _cut_off(redis: Redis, host: str) -> None:
    """Close the connections of a host's user."""
    _do(redis, "CLIENT KILL", "USER", channels.account(host))


def _forget_messages(redis: Redis, host: str) -> None:
    """What waits for a host, or was said by it, and its name, which nobody has."""
    waiting = (channels.command_queue(host), channels.calls(host))
    redis.delete(*waiting, channels.reports(host), channels.heartbeat(host), channels.lease(host))


def _lay(redis: Redis, fences: Mapping[str, Fence]) -> None:
    """Where hosts look before they do anything."""
    if fences:
        redis.mset({channels.fence(host): encode(fence) for host, fence in fences.items()})


def _fences(session: Session) -> dict[str, Fence]:
    """Of the hosts that ever were fenced."""
    rows = session.execute(select(Host.name, Host.fence, Host.scheduling_state).where(Host.fence > 0))
    return {name: Fence(number, closed=state == SchedulingState.FENCED) for name, number, state in rows}


def _recorded(session: Session, *hosts: str) -> dict[str, HostAccount]:
    """Of all hosts, or of these."""
    closed = func.coalesce(Host.scheduling_state == SchedulingState.FENCED, false())
    of = HostIdentity
    statement = select(of.host, of.secret_sha256, of.next_sha256, closed.label("closed"))
    if hosts:
        statement = statement.where(of.host.in_(hosts))
    rows = session.execute(statement.outerjoin(Host, Host.name == of.host))
    return {row.host: HostAccount(row.secret_sha256, row.closed, row.next_sha256) for row in rows}
