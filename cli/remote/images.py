"""`corral image list`, `show`, `upload`, `prefetch` and `delete`: the fleet's images."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.host.durations import Duration
from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.progress import operation_line, waits
from cli.remote.session import Session, fleet_command

if TYPE_CHECKING:
    from corral.models import Operation

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
_PREFETCHED = {"HOST": "host", "STATE": "state", "OPERATION": "operation", "REASON": "reason"}
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
@click.option("--host", "hosts", multiple=True, shell_complete=completion.hosts, help="A host; may be repeated.")
@click.option("--label", metavar="TERMS", help="The hosts with these labels, such as zone=a,disk!=hdd.")
@click.option("--deadline", "deadline_seconds", type=Duration(), help="When it fails if it is not over (default: 6h).")
@waits
@fleet_command
def prefetch(session: Session, name: str, *, wait: bool, **options: Any) -> None:
    """Have hosts pull an image before a VM needs it there. For administrators.

    Without --host and --label, all hosts get it. Exit code 1 if a host failed to get it, or a host given by --host
    was skipped without having it.
    """
    with operation_line(session, wait=wait) as tell:
        done = session.client.images.prefetch(name, wait=wait, tell=tell, **options)
    if session.output in ("json", "yaml"):
        show_one(session, done)
    else:
        skipped = [{**each, "state": "skipped"} for each in done.skipped]
        begun = [
            {"host": each.host, "state": each.state, "operation": each.id, "reason": _why(each)}
            for each in done.operations
        ]
        show_many(session, sorted([*begun, *skipped], key=itemgetter("host")), _PREFETCHED, name="host")
    missed = {each["host"] for each in done.skipped if not each["has_image"]}
    if missed & set(options["hosts"]) or any(each.state in ("failed", "cancelled") for each in done.operations):
        raise SystemExit(1)


def _why(operation: Operation) -> str:
    return operation.error.message if operation.error else ""


@click.command()
@_IMAGE
@fleet_command
def delete(session: Session, name: str) -> None:
    """Remove an image from the fleet; VMs that were made from it keep what they have. For administrators."""
    session.client.images.delete(name)
    session.tell(f"Image '{name}' is removed.")
