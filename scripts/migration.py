"""`make migration MESSAGE=...`: writes a migration from what the models have and the migrated tables have not."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
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
            config = migrate.config(server.url)
            count = len(list(ScriptDirectory.from_config(config).walk_revisions()))
            command.revision(config, message, autogenerate=True, rev_id=f"{count + 1:04}")
        finally:
            server.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit('usage: make migration MESSAGE="what changes"')
    main(sys.argv[1])
