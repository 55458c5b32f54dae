"""`corral migrate` and `corral administrator`: a control plane's first steps, on servers that you run."""

from __future__ import annotations

import click
from sqlalchemy.exc import SQLAlchemyError

from core import bootstrap, database, settings
from core import migrate as tables


def _database_url() -> str:
    if url := settings.load().database_url:
        return url
    raise click.ClickException("DATABASE_URL is not set: set it to the control plane's PostgreSQL")


@click.command()
def migrate() -> None:
    """Migrate the database at DATABASE_URL to this release. Two runs at once take turns."""
    try:
        tables.upgrade(_database_url())
    except SQLAlchemyError as error:
        raise click.ClickException(_why("the database can't be migrated", error)) from error
    click.echo("the database is up to date")


@click.command()
def administrator() -> None:
    """Create the first administrator, or give that account a new password and another API key.

    Run `corral migrate` first.
    """
    engine = database.connect(_database_url(), pool_size=1)
    try:
        with database.transaction(engine) as session:
            username, password, key = bootstrap.first_administrator(session)
    except SQLAlchemyError as error:
        raise click.ClickException(_why("no administrator was created", error)) from error
    finally:
        engine.dispose()
    click.echo(f"username  {username}\npassword  {password}\napi_key   {key}")


def _why(what: str, error: SQLAlchemyError) -> str:
    reason = str(getattr(error, "orig", error)).strip()
    return f"{what} ({reason}): check DATABASE_URL, and run `corral migrate` first"
