"""The migrations lead to the tables that the models describe, and back to none."""

from __future__ import annotations

from alembic import command
from sqlalchemy import create_engine, inspect

from cli.fleet.postgres import Postgres
from core import migrate


def test_models_and_migrated_tables_agree(database_url: str) -> None:
    migrate.check(database_url)


def test_migrations_can_be_undone_and_done_again(postgres: Postgres) -> None:
    url = postgres.create_database("migrations")
    migrate.upgrade(url)
    command.downgrade(migrate.config(url), "base")
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    migrate.upgrade(url)
    migrate.check(url)
