"""`make migration` writes one that follows all there are."""

from __future__ import annotations

import shutil
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from cli.fleet.postgres import Postgres
from core import migrate
from scripts import migration


def test_the_next_one_follows_the_greatest_number_and_the_head(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create_database("next_migration")
    migrate.upgrade(url)
    config = migrate.config(url)
    shutil.copytree(str(config.get_main_option("script_location")), tmp_path / "migrations")
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    before = ScriptDirectory.from_config(config)
    greatest = max(int(script.revision) for script in before.walk_revisions())

    migration.write(config, "add a column")
    made = ScriptDirectory.from_config(config).get_revision("head")
    assert (made.revision, made.down_revision) == (f"{greatest + 1:04}", before.get_current_head())
    assert Path(made.path).name == f"{greatest + 1:04}_add_a_column.py"

    command.upgrade(config, "head")  # it can be read, and says nothing where nothing has changed
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == made.revision
    engine.dispose()
