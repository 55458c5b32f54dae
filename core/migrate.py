"""Migrations: bring the tables to the newest form, from any that this release knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from core import database
from core.contract.errors import CorralError
from core.version import OLDEST_SCHEMA, VERSION

_SCRIPTS = Path(__file__).parent.parent / "migrations"


class UnsupportedSchema(CorralError):
    """Tables of a release that this one does not follow: nothing of them was changed."""

    code = "unsupported_schema"


@dataclass(frozen=True)
class Steps:
    """From the schema that was found ("": no tables at all) to the newest: the migrations between, in their order."""

    found: str
    newest: str
    missing: tuple[str, ...]


def config(database_url: str) -> Config:
    """Alembic's configuration, without a file: the address holds a password."""
    made = Config()
    made.set_main_option("script_location", str(_SCRIPTS))
    made.set_main_option("path_separator", "os")
    made.attributes["database_url"] = database_url
    return made


def upgrade(database_url: str) -> None:
    """Apply the migrations that are missing; two at once take turns. `UnsupportedSchema` leaves all as it is."""
    steps_of(database_url)
    command.upgrade(config(database_url), "head")


def check(database_url: str) -> None:
    """Raise when the models and the migrated tables differ (`alembic check`)."""
    command.check(config(database_url))


def steps_of(database_url: str) -> Steps:
    """What `upgrade` would do; `UnsupportedSchema`."""
    engine = database.connect(database_url, pool_size=1)
    try:
        with engine.connect() as connection:
            return steps(schema_of(connection))
    finally:
        engine.dispose()


def schema_of(connection: Connection) -> str:
    """The number of the migration that was applied last; "" where none was."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def steps(found: str) -> Steps:
    """From that schema on; `UnsupportedSchema` for one that is newer than this release, or too old for it."""
    known = [each.revision for each in ScriptDirectory.from_config(config("")).walk_revisions()][::-1]
    newest = known[-1]
    if found and found not in known:
        raise UnsupportedSchema(_not_known(found, newest))
    if found and known.index(found) < known.index(OLDEST_SCHEMA):
        raise UnsupportedSchema(_too_old(found))
    return Steps(found, newest, tuple(known[known.index(found) + 1 if found else 0 :]))


def _not_known(found: str, newest: str) -> str:
    if not found.isdigit():
        return f"the tables are of the schema '{found:.40}', which no release of Corral has"
    if int(found) < int(newest):
        return _too_old(found)
    return (
        f"the tables are of a newer release: their schema is {found}, and release {VERSION} knows them up to {newest}."
        " Run that release, or restore a backup that was taken before its update"
    )


def _too_old(found: str) -> str:
    return (
        f"the tables are too old: their schema is {found}, and release {VERSION} goes on from {OLDEST_SCHEMA}."
        " Update to a release in between first"
    )
