"""A record, its backup, and the command line that makes and restores it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, inspect, literal_column, select, table, text

from cli.fleet.postgres import Postgres
from tests.support.record import Caller, Record

Corral = Callable[..., str]
LOG = ("audit_entries", "audit_pending")


@dataclass
class Old:
    """A record with something in most tables, and one of its administrators."""

    url: str
    owner: Caller
    record: Record


def drop(postgres: Postgres, name: str) -> None:
    execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def content(url: str, *but: str) -> dict[str, Any]:
    """All rows of all tables, but those."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = sorted(set(inspect(connection).get_table_names()) - set(but))
        rows = {
            name: sorted(map(repr, connection.execute(select(literal_column("*")).select_from(table(name))).all()))
            for name in tables
        }
    engine.dispose()
    return rows
