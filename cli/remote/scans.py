"""`corral scan`: searches for weaknesses inside guests."""

from __future__ import annotations

import click

from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command
from cli.remote.vms import VM

_COLUMNS = {
    "ID": "scan_id",
    "TYPE": "scan_type",
    "TARGET": "target",
    "STATUS": "status",
    "STARTED": "started_at",
    "RISK": "results.risk_score",
}


@click.group()
def scan() -> None:
    """Security scans of guests."""


@scan.command(name="list")
@fleet_command
def list_(session: Session) -> None:
    """List scans, newest first."""
    show_many(session, session.client.scans.list(), _COLUMNS, name="scan_id")


@scan.command()
@VM
@click.option(
    "--type",
    "scan_type",
    type=click.Choice(["configuration", "vulnerability", "compliance"]),
    default="configuration",
    show_default=True,
)
@click.option(
    "--framework",
    "frameworks",
    multiple=True,
    help="For a compliance scan: SOC2, HIPAA, PCI_DSS or ISO27001; repeatable.",
)
@fleet_command
def begin(session: Session, vm: str, scan_type: str, frameworks: tuple[str, ...]) -> None:
    """Begin a scan of a VM, or of `all` your VMs."""
    show_one(session, session.client.scans.begin(vm, scan_type, frameworks), name="scan_id")


@scan.command()
@click.argument("scan_id", metavar="ID")
@fleet_command
def show(session: Session, scan_id: str) -> None:
    """Show a scan with its findings so far."""
    show_one(session, session.client.scans.get(scan_id), name="scan_id")
