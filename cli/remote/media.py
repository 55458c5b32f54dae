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
    """Disks beside VMs' own, attached or kept."""


@media.command(name="list")
@click.option("--host", shell_complete=completion.hosts, help="On one host.")
@click.option("--attached/--free", default=None, help="Those that a VM has, or those that none has.")
@fleet_command
def list_(session: Session, host: str | None, attached: bool | None) -> None:
    """List your disks; everyone's for administrators."""
    show_many(session, session.client.media.list(host=host, attached=attached), _COLUMNS)


@media.command()
@click.argument("medium_id", metavar="ID")
@fleet_command
def show(session: Session, medium_id: str) -> None:
    """Show one."""
    show_one(session, session.client.media.get(medium_id))


@media.command()
@click.argument("medium_id", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@fleet_command
def delete(session: Session, medium_id: str, yes: bool) -> None:
    """Delete one that no VM has, with all that is on it."""
    if not yes and session.is_terminal:
        click.confirm(f"Delete {medium_id} with all that is on it?", abort=True, err=True)
    session.client.media.delete(medium_id)
    session.tell(f"{medium_id} is deleted.")
