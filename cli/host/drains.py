"""`corral host drain`: empties a host of running VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.host.durations import Duration
from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.progress import operation_line, waits
from cli.remote.session import Session, fleet_command

if TYPE_CHECKING:
    from corral.models import Operation

_COLUMNS = {"VM": "vm", "OUTCOME": "outcome", "ID": "vm_id", "ERROR": "error.message"}


@click.command()
@click.argument("name", shell_complete=completion.hosts)
@click.option(
    "--strategy",
    type=click.Choice(["wait", "stop", "move"]),
    required=True,
    help="Wait until the VMs' owners have stopped or deleted them, stop each, or move each to another host.",
)
@click.option(
    "--deadline",
    "deadline_seconds",
    type=Duration(),
    help="When it fails if it is not over (default: wait 1d, stop 1h, move 4h).",
)
@click.option(
    "--at-once", type=click.IntRange(1, 100), help="How many VMs are being stopped or moved at a time (default: 4)."
)
@click.option(
    "--grace", "grace_seconds", type=Duration(), help="What each guest has before its power is cut (default: 60s)."
)
@click.option("--reason", metavar="TEXT", help="Why; everyone who sees the host can read it.")
@waits
@fleet_command
def drain(session: Session, name: str, strategy: str, *, wait: bool, timeout: float | None, **options: Any) -> None:
    """Empty a host of what runs there, and show what became of each VM. For administrators.

    Nothing starts there then until `corral host activate`. Ctrl-C leaves the drain as it is; `corral op cancel ID` ends
    it, and so does `corral host activate`.
    """
    from corral.errors import OperationFailed

    try:
        with operation_line(session, wait=wait) as tell:
            done = session.client.hosts.drain(name, strategy, wait=wait, timeout=timeout, tell=tell, **options)
    except OperationFailed as error:
        _show(session, session.client.operations.get(error.operation_id))
        raise
    if not wait:
        click.echo(done.id)
        return
    _show(session, done)
    session.tell(f"Host '{name}' is drained.")


def _show(session: Session, operation: Operation) -> None:
    if session.output in ("json", "yaml"):
        show_one(session, operation)
    else:
        show_many(session, (operation.result or {}).get("vms", []), _COLUMNS, name="vm")
