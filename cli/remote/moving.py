"""`corral vm move`: a VM goes to another host."""

from __future__ import annotations

from typing import Any

import click

from cli.remote import completion
from cli.remote.progress import change, waits
from cli.remote.session import Session, fleet_command


@click.command()
@click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=completion.vms)
@click.option("--to", "host", metavar="HOST", shell_complete=completion.hosts, help="Default: where it fits best.")
@click.option("--stop", is_flag=True, help="Stop a VM that runs, and start it on the other host.")
@click.option("--force", is_flag=True, help="With --stop: cut the power without asking the guest.")
@click.option(
    "--grace",
    "grace_seconds",
    type=click.IntRange(0, 3600),
    default=30,
    show_default=True,
    help="With --stop: seconds that the guest has to shut down.",
)
@waits
@fleet_command
def move(session: Session, vms: tuple[str, ...], wait: bool, **options: Any) -> None:
    """Move VMs that are off to another host, with their disks and snapshots.

    Ctrl-C leaves a move as it is; `corral op cancel ID` ends it, and the VM stays where it was.
    """
    for each in vms:
        change(session, f"VM '{each}' is moved.", session.client.vms.move, each, wait=wait, **options)
