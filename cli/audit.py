"""`corral audit`: checks of the audit log, for operators who can read the database."""

from __future__ import annotations

import click

from cli.fleet import home
from cli.lazy import LazyCommand, LazyGroup
from core import database, settings
from core.contract.errors import Invalid
from core.services.audit import chain
from core.services.audit.chain import Head
from core.settings import Settings


class _AuditGroup(LazyGroup):
    places = {"list": LazyCommand("cli.remote.audits:list_", "List changes and refusals, newest first.")}


@click.group(cls=_AuditGroup)
def audit() -> None:
    """The audit log."""


class _HeadParam(click.ParamType[Head]):
    """POSITION:SHA256, as `verify` prints it."""

    name = "head"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        position, _, digest = str(value).partition(":")
        try:
            return Head(int(position), bytes.fromhex(digest))
        except ValueError:
            self.fail(f"{value!r} is not POSITION:SHA256 as `corral audit verify` prints it", param, ctx)


@audit.command()
@click.option(
    "--expect",
    type=_HeadParam(),
    metavar="HEAD",
    help="A head that was printed earlier: finds entries cut off at the end.",
)
def verify(expect: Head | None) -> None:
    """Verify that nothing in the audit log was changed, removed, moved or inserted.

    Prints the head of the chain and exits with 0, or names the first wrong entry and exits with 1. Reads the database
    at DATABASE_URL, or else the database of the fleet in CORRAL_HOME.
    """
    engine = database.connect(_database_url(settings.load()), pool_size=2)
    try:
        with database.reading(engine) as session:
            head = chain.verify(session, expected=expect)
            left = chain.waiting(session)
    finally:
        engine.dispose()
    click.echo(f"{head.position} entries are linked and unbroken; {left} are not linked yet")
    click.echo(f"head: {head.position}:{head.sha256.hex()}")


def _database_url(configured: Settings) -> str:
    """What the environment says, else what the fleet was started with."""
    if configured.database_url:
        return configured.database_url
    if url := home.environment(configured.home).get("DATABASE_URL"):
        return url
    raise Invalid(f"there is no fleet in {configured.home}: set DATABASE_URL or CORRAL_HOME")
