"""Statements that are planned once a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, select, text
from sqlalchemy.engine import Connection, Engine

from core import prepared
from core.models import User
from core.prepared import PREPARED

ASKED = select(User.username).where(User.username == bindparam("name"))
PLANNED = ASKED.execution_options(**PREPARED)
COUNT = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%users.username = $1%'")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """One that has prepared nothing yet."""
    with engine.connect() as connection:
        connection.detach()
        connection.info.clear()
        connection.execute(text("DEALLOCATE ALL"))
        yield connection


def planned(connection: Connection) -> int:
    return int(connection.execute(COUNT).scalar_one())


def test_it_is_planned_once_for_all_values_and_outlives_a_rollback(connection: Connection) -> None:
    for name in ("nobody", "no one", "o'brien %s %(name)s"):
        assert connection.execute(PLANNED, {"name": name}).all() == []
        connection.rollback()
        assert planned(connection) == 1


def test_what_does_not_ask_for_it_is_planned_each_time(connection: Connection) -> None:
    connection.execute(ASKED, {"name": "ann"})
    assert planned(connection) == 0


def test_a_connection_keeps_only_so_many(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_MOST", 0)
    assert connection.execute(PLANNED, {"name": "nobody"}).all() == []
    assert planned(connection) == 0


def test_a_statement_without_parameters_is_planned_once_too(connection: Connection) -> None:
    asked = select(User.username).where(User.username.is_(None)).execution_options(**PREPARED)
    for _ in range(2):
        assert connection.execute(asked).all() == []
