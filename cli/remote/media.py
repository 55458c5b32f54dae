"""`corral media`: disks beside VMs' own."""

from __future__ import annotations

import click

from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "HOST": "host",
    "GB": "size_gb",
    "USED": "used_gb",
    "FORMAT": "format",
    "VM": "vm_id",
    "CREATED": "created_at",
}


@click.group()
def media() -> None:
    """Disks that users have beside VMs' own."""


@media.command(name="list")
@click.option("--host", shell_complete=completion.hosts, help="Only disks on this host.")
@click.option("--attached/--free", default=None, help="Only disks that are attached to a VM, or that are not.")
@fleet_command
def list_(session: Session, host: str | None, attached: bool | None) -> None:
    """List your disks; an administrator sees everyone's."""
    show_many(session, session.client.media.list(host=host, attached=attached), _COLUMNS)


@media.command()
@click.argument("medium_id", metavar="ID")
@fleet_command
def show(session: Session, medium_id: str) -> None:
    """Show a disk."""
    show_one(session, session.client.media.get(medium_id))


@media.command()
@click.argument("medium_id", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@fleet_command
def delete(session: Session, medium_id: str, yes: bool) -> None:
    """Delete a disk that is not attached, with all its data."""
    if not yes and session.is_terminal:
        click.confirm(f"Delete {medium_id} with all its data?", abort=True, err=True)
    session.client.media.delete(medium_id)
    session.tell(f"{medium_id} is deleted.")
