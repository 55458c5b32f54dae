"""Sessions on PostgreSQL, and what happens around a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import psycopg2
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from core import database_urls, prepared
from core.backoff import Backoff
from core.contract.errors import Busy, Unavailable

# A statement that hangs must not hold a request for ever; lock waits are short because transactions are.
_STATEMENT_SECONDS, _LOCK_SECONDS, _IDLE_SECONDS = 15, 10, 30
_RESTED_SECONDS = 1.0
# Deadlock, serialization failure, lock timeout, statement timeout: the database is there, and others are in the way.
_IN_THE_WAY = frozenset({"40P01", "40001", "55P03", "57014"})
_TRIES = 4
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 0.4
_LAST_TRY_SECONDS = 12.0  # a lock that was waited for in vain is waited for once more, a slow statement is not repeated
T = TypeVar("T")
# By the beginnings of SQLSTATE.
_UNAVAILABLE = {
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
    "53": "the database has too many connections",
    "57P": "the database is being shut down or started",
    "58": "the database can't use its disk",
    "25006": "the database is a read-only replica",
    "XX": "the database has an internal problem",
}


def connect(
    url: str,
    *,
    pool_size: int = 20,
    statement_seconds: float = _STATEMENT_SECONDS,
    lock_seconds: float = _LOCK_SECONDS,
) -> Engine:
    """An engine whose every wait has a bound. Any form of a PostgreSQL address will do."""
    limits = {
        "statement_timeout": statement_seconds,
        "lock_timeout": lock_seconds,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS,
    }
    options = " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items())
    engine = create_engine(
        database_urls.engine_url(url),
        pool_size=pool_size,
        max_overflow=0,  # such a connection is closed after each use, and what it has prepared is gone with it
        pool_use_lifo=True,  # the busiest stay warm, and the rest rest
        pool_timeout=10,
        executemany_mode="values_plus_batch",  # the same change of many rows is one round trip
        connect_args={"connect_timeout": 5, "options": options, "application_name": "corral"},
    )
    prepared.install(engine)
    event.listen(engine, "checkin", _put_back)
    event.listen(engine, "checkout", _test_rested)
    return engine


def _put_back(connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()
    if connection is not None and not connection.closed and connection.autocommit:  # None: it broke
        connection.autocommit = False


def _test_rested(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Ask a connection that has rested whether it still lives; the pool replaces it when it does not.

    `pool_pre_ping` asks every time, which is a round trip in each of a busy process's many short transactions.
    """
    if time.monotonic() - record.info.get("used_at", time.monotonic()) > _RESTED_SECONDS:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except psycopg2.Error as error:
            raise DisconnectionError from error


Hook = Callable[[Session], None]


def before_commit(session: Session, key: str, hook: Hook) -> None:
    """Run `hook(session)` last in this transaction; once for each key, however often it is asked for."""
    session.info.setdefault("before_commit", {}).setdefault(key, hook)


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Run `action()` once this transaction is committed, and never if it is not."""
    session.info.setdefault("after_commit", []).append(action)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only reads, each statement by itself: no BEGIN and no COMMIT go over the wire.

    Raises `Unavailable` when the database can't be reached.
    """
    with _reachable(), engine.connect() as connection:
        _driver(connection).autocommit = True
        with Session(connection, expire_on_commit=False, autoflush=False) as session:
            yield session


def _driver(connection: Connection) -> Any:
    """psycopg2's own connection. SQLAlchemy's way to AUTOCOMMIT and back costs a statement at each change."""
    return connection.connection.dbapi_connection


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back by any exception; then the after-commit actions.

    Raises `Unavailable` when the database can't be reached, `Busy` when others are in the way: see `transact`.
    """
    with _reachable(), Session(engine, expire_on_commit=False) as session:
        yield session
        for hook in session.info.pop("before_commit", {}).values():
            hook(session)
        session.commit()
        actions: list[Callable[[], object]] = session.info.pop("after_commit", [])
    for action in actions:
        action()


def transact(
    begin: Callable[[], AbstractContextManager[Session]],
    work: Callable[[Session], T],
    *,
    within: float = _LAST_TRY_SECONDS,
) -> T:
    """What `work(session)` returns, in a transaction that `begin` makes, begun anew while others are in the way.

    A few times, and none later than `within` seconds after the first; `Busy` then. `work` may run more than once, so
    it changes nothing but the database.
    """
    began, tries = time.monotonic(), 0
    backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, jitter=0.8)  # so that two don't meet again
    while True:
        try:
            with begin() as session:
                done = work(session)
        except Busy:
            tries += 1
            if tries == _TRIES or time.monotonic() - began > within:
                raise
            time.sleep(backoff.pause())
        else:
            return done


@contextmanager
def exclusively(engine: Engine, key: int) -> Iterator[bool]:
    """Whether nobody else in the fleet is inside this with that key; False at once when somebody is.

    The lock is a session's, on a connection of its own, and so outlives any number of transactions; it goes with the
    connection when that breaks.
    """
    with _reachable(), engine.connect() as connection:
        _driver(connection).autocommit = True
        mine = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))
        try:
            yield mine
        finally:
            if mine:
                try:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                except SQLAlchemyError:
                    connection.invalidate()  # closed, and the lock with it: not back into the pool


def unavailable(error: BaseException) -> Unavailable | None:
    """What to say of an error that means that the database is away, frozen, full or only to be read; else None."""
    if isinstance(error, PoolTimeout):
        return Unavailable("the database is overloaded; try again in a few seconds")
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = str(getattr(cause, "pgcode", None) or "")
    if code in _IN_THE_WAY:
        return Busy("this change conflicts with others in progress; try again in a few seconds")
    for beginning, what in _UNAVAILABLE.items():
        if code.startswith(beginning):
            return Unavailable(f"{what}; try again in a few seconds")
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Unavailable("the database connection was lost; try again in a few seconds")
    if isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Unavailable("the database can't be reached; try again in a few seconds")
    return None


@contextmanager
def _reachable() -> Iterator[None]:
    """Say `Unavailable` for what means that the database is away, `Busy` for what may be tried again at once."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        known = unavailable(error)
        if known is None:
            raise
        raise known from error


def violates(error: DBAPIError, constraint: str) -> bool:
    """Whether this integrity error is a violation of that constraint."""
    diagnostics: Any = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None) == constraint
