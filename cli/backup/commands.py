"""`corral backup` and `corral restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click

from cli.backup import place, restoring, secrecy, taking
from cli.backup.archive import Archive, Manifest
from cli.backup.restoring import moment
from cli.fleet.processes import StartFailed
from cli.remote.progress import Advance, bytes_bar
from cli.remote.session import Session
from core import settings
from core.contract.errors import Invalid
from core.services.restored import Settled

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY",
    help="Encrypt it for this public key, of age (age1…) or SSH (ssh-ed25519 …); repeatable.",
)
def backup(file: Path, recipients: tuple[str, ...]) -> None:
    """Write all that the control plane knows into FILE: its record, its secrets, and its settings. No disks of VMs.

    Of the control plane at DATABASE_URL, or of the fleet in CORRAL_HOME; it may run meanwhile. FILE is whole or not
    there, and its owner's alone. Who has it can do all that the control plane can: encrypt it, or keep it well.
    """
    public = secrecy.recipients(recipients)
    with _at(at_rest=False) as here:
        taken = taking.take(here, file, public, _bar)
    click.echo(f"wrote {file}, {taken.bytes:,} bytes{', encrypted' if public else ''}: {_described(taken.manifest)}")
    if taken.unnoted:
        click.echo(f"the audit log has no word of it: {taken.unnoted}", err=True)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--identity", type=_FILE, metavar="FILE", help="The secret key of an encrypted backup, of age or SSH.")
@click.option("--check", is_flag=True, help="Only prove that it is whole, and say what is in it.")
@click.option("--replace", is_flag=True, help="Put it in the place of the record that is there, which is gone then.")
@click.option(
    "--settings", "to", type=_FILE, metavar="FILE", help="Also write the settings that it has into this file."
)
def restore(file: Path, identity: Path | None, check: bool, replace: bool, to: Path | None) -> None:
    """Bring a control plane back from the FILE of `corral backup`, while API and workers stand still.

    Into the database of DATABASE_URL, with REDIS_URL, or into the fleet in CORRAL_HOME. Hosts and their VMs go on
    meanwhile; once API and workers run again, hosts tell what has changed since. docs/deploying.md says what becomes
    of it.
    """
    with restoring.checked(file, identity, _bar) as found:
        if check:
            click.echo(f"{file} is whole: {_described(found.manifest)}")
        else:
            _restore(found, replace=replace)
        if to is not None:
            restoring.write_settings(found, to)
            click.echo(f"the settings that it had are in {to}")


def _restore(found: Archive, *, replace: bool) -> None:
    with _at(at_rest=True) as here:
        if not here.redis_url:
            raise Invalid("set REDIS_URL too: what waits there for hosts is forgotten")
        settled = restoring.put_back(here, found, _bar, replace=replace)
    click.echo(f"restored: {_described(found.manifest)}")
    click.echo(_settled(settled))


def _settled(settled: Settled) -> str:
    return (
        f"under way at the backup: {settled.going_on} go on, {settled.failed} failed; join tokens revoked: "
        f"{settled.revoked_tokens}\n"
        "Next: start API and workers. `corral host list` shows hosts as they come back, and\n"
        "`corral host orphans HOST` the VMs that were made since."
    )


def _described(manifest: Manifest) -> str:
    rows = ", ".join(f"{count} {name}" for name, count in manifest.holds.items())
    return f"{rows}, of {moment(manifest):%Y-%m-%d %H:%M:%S} UTC (release {manifest.release}, schema {manifest.schema})"


@contextmanager
def _at(*, at_rest: bool) -> Iterator[place.Place]:
    try:
        with place.found(settings.load(), at_rest=at_rest) as here:
            yield here
    except StartFailed as error:
        raise click.ClickException(str(error)) from error


def _bar(what: str, total: int) -> AbstractContextManager[Advance]:
    return bytes_bar(Session(None, "table"), what, total)
