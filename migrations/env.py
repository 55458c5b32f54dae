"""How Alembic runs a migration here: on the address in the configuration's attributes, or in DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, text

from core import database_urls
from core.models import Base

# Two control planes that start at once migrate one after the other.
_LOCK = 0x4D494752


def run() -> None:
    """Run the migrations in one transaction."""
    url = context.config.attributes.get("database_url") or os.environ["DATABASE_URL"]
    engine = create_engine(database_urls.engine_url(url))
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()
    engine.dispose()


run()
