"""Statements that are planned once a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ProgrammingError

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


def test_rows_that_are_written_are_planned_each_time_too(connection: Connection) -> None:
    """Their texts may be as many as there are numbers of rows."""
    connection.execute(update(User).where(User.username == "nobody").values(role="user"))
    assert noted(connection) == []


def test_a_connection_keeps_those_that_were_used_last(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_MOST", 2)
    asked = {
        column.key: select(column).where(User.username == bindparam("name")).execution_options(**PREPARED)
        for column in (User.id, User.username, User.role)
    }
    for name in ("id", "username", "id", "role", "id", "username"):
        assert connection.execute(asked[name], {"name": "nobody"}).all() == []
    kept = connection.execute(text("SELECT statement FROM pg_prepared_statements")).scalars().all()
    assert sorted(each.partition("users.")[2].split()[0] for each in kept) == ["id", "username"]
    assert [(name, times) for name, _, times in noted(connection)] == [("corral_1", 3), ("corral_4", 1)]


def test_one_that_fails_to_be_prepared_is_no_loss(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_MOST", 1)
    connection.execute(PLANNED, {"name": "nobody"})
    with pytest.raises(ProgrammingError):
        connection.execute(text("SELECT nothing FROM nowhere").execution_options(**PREPARED))
    connection.rollback()
    assert connection.execute(PLANNED, {"name": "nobody"}).all() == []
    assert [times for _, _, times in noted(connection)] == [1]


def test_a_statement_without_parameters_is_prepared_once_too(connection: Connection) -> None:
    asked = select(User.username).where(User.username.is_(None)).execution_options(**PREPARED)
    for _ in range(2):
        assert connection.execute(asked).all() == []
    assert [times for _, _, times in noted(connection)] == [2]
