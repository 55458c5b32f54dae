"""`make migration MESSAGE=...`: writes a migration from what the models have and the migrated tables have not."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from cli.fleet.postgres import Postgres
from core import migrate


def main(message: str) -> None:
    """On a PostgreSQL of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder), durable=False)
        server.start()
        try:
            migrate.upgrade(server.url)
            write(migrate.config(server.url), message)
        finally:
            server.stop()


def write(config: Config, message: str) -> None:
    """The next migration. Its number follows the greatest: a number that fell out of use is not taken again."""
    numbers = [int(script.revision) for script in ScriptDirectory.from_config(config).walk_revisions()]
    command.revision(config, message, autogenerate=True, rev_id=f"{max(numbers, default=0) + 1:04}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit('usage: make migration MESSAGE="what changes"')
    main(sys.argv[1])
