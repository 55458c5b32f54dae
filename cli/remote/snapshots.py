"""`corral vm snapshot`."""

from __future__ import annotations

from typing import Any

import click

from cli.remote.output import show_many
from cli.remote.progress import change, waits
from cli.remote.session import Session, fleet_command
from cli.remote.vms import VM

_COLUMNS = {
    "NAME": "name",
    "MEMORY": "include_memory",
    "BYTES": "size_bytes",
    "CREATED": "created_at",
    "DESCRIPTION": "description",
}


@click.group()
def snapshot() -> None:
    """Snapshots of a VM."""


@snapshot.command(name="list")
@VM
@fleet_command
def list_(session: Session, vm: str) -> None:
    """List a VM's snapshots."""
    show_many(session, session.client.snapshots.list(vm), _COLUMNS)


@snapshot.command()
@VM
@click.argument("name")
@click.option("--memory", "include_memory", is_flag=True, help="Include the memory of a running VM.")
@click.option("--description", default="", help="A note.")
@waits
@fleet_command
def create(
    session: Session, vm: str, name: str, include_memory: bool, description: str, wait: bool, timeout: float | None
) -> None:
    """Take a snapshot of a VM."""
    options: dict[str, Any] = {
        "include_memory": include_memory,
        "description": description,
        "wait": wait,
        "timeout": timeout,
    }
    change(session, f"Snapshot '{name}' of VM '{vm}' is taken.", session.client.snapshots.create, vm, name, **options)


@snapshot.command()
@VM
@click.argument("name")
@click.option("--start/--no-start", default=None, help="Whether the VM runs afterwards (default: as at the snapshot).")
@waits
@fleet_command
def restore(session: Session, vm: str, name: str, start: bool | None, wait: bool, timeout: float | None) -> None:
    """Set a VM back to a snapshot."""
    options: dict[str, Any] = {"start": start, "wait": wait, "timeout": timeout}
    change(session, f"VM '{vm}' is back at snapshot '{name}'.", session.client.snapshots.restore, vm, name, **options)


@snapshot.command()
@VM
@click.argument("name")
@waits
@fleet_command
def delete(session: Session, vm: str, name: str, wait: bool, timeout: float | None) -> None:
    """Delete a snapshot."""
    what = f"Snapshot '{name}' of VM '{vm}' is deleted."
    change(session, what, session.client.snapshots.delete, vm, name, wait=wait, timeout=timeout)
