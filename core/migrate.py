"""Bringing the tables to the newest form."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

_SCRIPTS = Path(__file__).parent.parent / "migrations"


def config(database_url: str) -> Config:
    """Alembic's configuration, without a file: the address holds a password."""
    made = Config()
    made.set_main_option("script_location", str(_SCRIPTS))
    made.set_main_option("path_separator", "os")
    made.attributes["database_url"] = database_url
    return made


def upgrade(database_url: str) -> None:
    """Apply the migrations that are missing; two at once take turns."""
    command.upgrade(config(database_url), "head")


def check(database_url: str) -> None:
    """Raise when the models and the migrated tables differ (`alembic check`)."""
    command.check(config(database_url))
