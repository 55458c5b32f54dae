"""`corral op`: operations."""

from __future__ import annotations

import click

from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.progress import operation_line
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "ID": "id",
    "KIND": "kind",
    "STATE": "state",
    "VM": "vm_name",
    "HOST": "host",
    "STEP": "progress.step",
    "ACCEPTED": "accepted_at",
    "ERROR": "error.message",
}
_ID = click.argument("operation_id", metavar="ID", shell_complete=completion.operations)


@click.group()
def op() -> None:
    """Operations: accepted changes, and how they ended."""


@op.command(name="list")
@click.option("--vm", shell_complete=completion.vms, help="Only operations of this VM.")
@click.option("--host", shell_complete=completion.hosts, help="Only operations on this host.")
@click.option("--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]))
@click.option("--kind", help="Only this kind, such as start, snapshot_create or drain.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@fleet_command
def list_(session: Session, vm: str | None, host: str | None, state: str | None, kind: str | None, limit: int) -> None:
    """List operations, newest first."""
    found = session.client.operations.list(vm=vm, host=host, state=state, kind=kind, limit=limit)
    show_many(session, found, _COLUMNS, name="id")


@op.command()
@_ID
@fleet_command
def show(session: Session, operation_id: str) -> None:
    """Show an operation."""
    show_one(session, session.client.operations.get(operation_id), name="id")


@op.command()
@_ID
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting after that long; the operation goes on.")
@fleet_command
def wait(session: Session, operation_id: str, timeout: float | None) -> None:
    """Wait for an operation and show its progress; exit with 1 if it fails."""
    with operation_line(session) as tell:
        done = session.client.operations.wait(operation_id, timeout, tell)
    show_one(session, done, name="id")


@op.command()
@_ID
@fleet_command
def cancel(session: Session, operation_id: str) -> None:
    """Ask the host to cancel an operation; it may already be too late."""
    show_one(session, session.client.operations.cancel(operation_id), name="id")
