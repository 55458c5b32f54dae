"""`corral backup` and `corral restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click

from cli.backup import place, restoring, secrecy, taking
from cli.backup.archive import Archive, BackupManifest
from cli.backup.restoring import moment
from cli.fleet.processes import StartFailed
from cli.remote.progress import Advance, bytes_bar
from cli.remote.session import Session
from core import settings
from core.contract.errors import Invalid
from core.services.restored import RestoreResult

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
    """Back up a control plane into FILE: its database, secrets and settings, without the disks of VMs.

    Backs up the control plane at DATABASE_URL, or the fleet in CORRAL_HOME, which may run meanwhile. FILE is written
    whole or not at all, readable only by you. It gives the control plane's rights: encrypt it, or keep it safe.
    """
    public = secrecy.recipients(recipients)
    with _at(at_rest=False) as here:
        taken = taking.take(here, file, public, _bar)
    click.echo(f"wrote {file}, {taken.bytes:,} bytes{', encrypted' if public else ''}: {_described(taken.manifest)}")
    if taken.unnoted:
        click.echo(f"the audit log has no entry of it: {taken.unnoted}", err=True)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--identity", type=_FILE, metavar="FILE", help="The secret key of an encrypted backup, of age or SSH.")
@click.option("--check", is_flag=True, help="Only verify the file, and show its content.")
@click.option("--replace", is_flag=True, help="Replace an existing database, whose content is lost.")
@click.option("--settings", "to", type=_FILE, metavar="FILE", help="Also write the backup's settings to this file.")
def restore(file: Path, identity: Path | None, check: bool, replace: bool, to: Path | None) -> None:
    """Restore a control plane from the FILE of `corral backup`, while the API and the workers are stopped.

    Restores into the database at DATABASE_URL, with REDIS_URL, or into the fleet in CORRAL_HOME. Hosts and their VMs
    keep running, and report later changes once the API and the workers run again: see docs/deploying.md.
    """
    with restoring.checked(file, identity, _bar) as found:
        if check:
            click.echo(f"{file} is intact: {_described(found.manifest)}")
        else:
            _restore(found, replace=replace)
        if to is not None:
            restoring.write_settings(found, to)
            click.echo(f"the settings that it had are in {to}")


def _restore(found: Archive, *, replace: bool) -> None:
    with _at(at_rest=True) as here:
        if not here.redis_url:
            raise Invalid("set REDIS_URL too: a restore deletes the commands that wait there")
        result = restoring.put_back(here, found, _bar, replace=replace)
    click.echo(f"restored: {_described(found.manifest)}")
    click.echo(_summary(result))


def _summary(result: RestoreResult) -> str:
    return (
        f"operations in progress at the backup: {result.going_on} go on, {result.failed} failed; join tokens"
        " revoked: "
        f"{result.revoked_tokens}\n"
        "Next: start the API and the workers. `corral host list` shows hosts as they come back, and\n"
        "`corral host orphans HOST` the VMs that were created since."
    )


def _described(manifest: BackupManifest) -> str:
    rows = ", ".join(f"{count} {name}" for name, count in manifest.holds.items())
    return f"{rows}, of {moment(manifest):%Y-%m-%d %H:%M:%S} UTC (release {manifest.release}, schema {manifest.schema})"


@contextmanager
def _at(*, at_rest: bool) -> Iterator[place.BackupServers]:
    try:
        with place.servers(settings.load(), at_rest=at_rest) as here:
            yield here
    except StartFailed as error:
        raise click.ClickException(str(error)) from error


def _bar(what: str, total: int) -> AbstractContextManager[Advance]:
    return bytes_bar(Session(None, "table"), what, total)
