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
NOTED = text("SELECT name, prepare_time, generic_plans + custom_plans FROM pg_prepared_statements ORDER BY name")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """One that has prepared nothing yet."""
    with engine.connect() as connection:
        connection.detach()
        connection.info.clear()
        connection.execute(text("DEALLOCATE ALL"))
        yield connection


def noted(connection: Connection) -> list[tuple[str, object, int]]:
    """The server's own account: what was prepared, when, and how often each was executed."""
    return [(row[0], row[1], row[2]) for row in connection.execute(NOTED)]


def test_it_is_prepared_once_for_all_values_and_outlives_a_rollback(connection: Connection) -> None:
    assert connection.execute(PLANNED, {"name": "nobody"}).all() == []
    ((name, prepared_at, _),) = noted(connection)
    for value in ("no one", "o'brien %s %(name)s"):
        connection.rollback()
        assert connection.execute(PLANNED, {"name": value}).all() == []
    assert noted(connection) == [(name, prepared_at, 3)]


def test_what_does_not_ask_for_it_is_planned_each_time(connection: Connection) -> None:
    connection.execute(ASKED, {"name": "ann"})
    assert noted(connection) == []


def test_a_connection_keeps_only_so_many(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_MOST", 2)
    for column in (User.id, User.username, User.role):
        asked = select(column).where(User.username == bindparam("name")).execution_options(**PREPARED)
        for _ in range(2):
            assert connection.execute(asked, {"name": "nobody"}).all() == []
    assert [(name, times) for name, _, times in noted(connection)] == [("corral_0", 2), ("corral_1", 2)]


def test_a_statement_without_parameters_is_prepared_once_too(connection: Connection) -> None:
    asked = select(User.username).where(User.username.is_(None)).execution_options(**PREPARED)
    for _ in range(2):
        assert connection.execute(asked).all() == []
    assert [times for _, _, times in noted(connection)] == [2]
