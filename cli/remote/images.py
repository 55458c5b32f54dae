"""`corral image list`, `show`, `upload` and `delete`: the fleet's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "NAME": "name",
    "OS": "os_type",
    "FORMAT": "format",
    "DISK GB": "disk_size_gb",
    "BYTES": "size_bytes",
    "AGENT": "guest_agent",
    "HOSTS": "hosts",
    "DESCRIPTION": "description",
}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_IMAGE = click.argument("name", shell_complete=completion.images)


@click.command(name="list")
@click.option("--os-type", type=click.Choice(["linux", "windows"]))
@fleet_command
def list_(session: Session, os_type: str | None) -> None:
    """List the fleet's images."""
    show_many(session, session.client.images.list(os_type=os_type), _COLUMNS)


@click.command()
@_IMAGE
@fleet_command
def show(session: Session, name: str) -> None:
    """Show an image of the fleet."""
    show_one(session, session.client.images.get(name))


@click.command()
@click.argument("name")
@click.argument("disk", type=_FILE)
@click.option("--kernel", type=_FILE, help="A Linux kernel to boot directly.")
@click.option("--initrd", type=_FILE, help="The kernel's initial ramdisk.")
@click.option("--cmdline", default="", help="The kernel's command line.")
@click.option("--os-type", type=click.Choice(["linux", "windows"]), default="linux", show_default=True)
@click.option("--guest-agent", is_flag=True, help="The image starts the QEMU guest agent by itself.")
@click.option("--description", default="", help="A note.")
@fleet_command
def upload(session: Session, name: str, disk: Path, **options: Any) -> None:
    """Send the image DISK (qcow2 or raw) to the fleet as NAME; for administrators."""
    session.tell(f"sending {disk.name} ({disk.stat().st_size} bytes) …")
    show_one(session, session.client.images.upload(name, disk, **options))


@click.command()
@_IMAGE
@fleet_command
def delete(session: Session, name: str) -> None:
    """Remove an image from the fleet; VMs that were made from it keep what they have. For administrators."""
    session.client.images.delete(name)
    session.tell(f"Image '{name}' is removed.")
