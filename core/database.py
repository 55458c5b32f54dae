"""Sessions on PostgreSQL, and what is to happen around a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from core.contract.errors import Unavailable

# A statement that hangs must not hold a request for ever; lock waits are short because transactions are.
_OPTIONS = "-c statement_timeout=15000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000"


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """An engine whose every wait has a bound. Any form of a PostgreSQL address will do."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": _OPTIONS, "application_name": "corral"},
    )


Hook = Callable[[Session], None]


def before_commit(session: Session, key: str, hook: Hook) -> None:
    """Run `hook(session)` last in this transaction; once for each key, however often it is asked for."""
    session.info.setdefault("before_commit", {}).setdefault(key, hook)


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Run `action()` once this transaction is committed, and never if it is not."""
    session.info.setdefault("after_commit", []).append(action)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back by any exception; then the after-commit actions.

    Raises `Unavailable` when the database can't be reached.
    """
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
            for hook in session.info.pop("before_commit", {}).values():
                hook(session)
            session.commit()
            actions: list[Callable[[], object]] = session.info.pop("after_commit", [])
    except (OperationalError, PoolTimeout) as error:
        raise Unavailable("the database can't be reached; try again in a few seconds") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the database connection was lost; try again in a few seconds") from error
        raise
    for action in actions:
        action()


def violates(error: DBAPIError, constraint: str) -> bool:
    """Whether this integrity error is a violation of that constraint."""
    diagnostics: Any = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None) == constraint
