"""Placement: options of `corral vm create`, and `corral placement explain`."""

from __future__ import annotations

from typing import Any

import click

from cli.remote import completion
from cli.remote.output import plain, show_many
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "HOST": "host",
    "FITS": "fits",
    "HYPERVISOR": "hypervisor",
    "PREFERRED": "preferred",
    "FREE VCPUS": "free.vcpus",
    "FREE MB": "free.memory_mb",
    "FREE GB": "free.disk_gb",
    "WHY NOT": "why_not",
}
_OPTIONS = (
    click.option(
        "--image", shell_complete=completion.images, help="The image to create it from (default: by --os-type)."
    ),
    click.option("--vcpus", type=int, help="Virtual CPUs."),
    click.option("--memory", "memory_mb", type=int, metavar="MB", help="Memory."),
    click.option("--disk", "disk_gb", type=int, metavar="GB", help="Disk size."),
    click.option("--os-type", type=click.Choice(["linux", "windows"])),
    click.option("--hypervisor", help="qemu, cloud-hypervisor or virtualbox (default: the fleet chooses)."),
    click.option("--host", shell_complete=completion.hosts, help="The host to run on (default: the fleet chooses)."),
    click.option("--bridge", help="A bridge of the host to join."),
    click.option(
        "--require", multiple=True, metavar="TERM", help="Only hosts with this label, such as zone=a or !old."
    ),
    click.option("--prefer", multiple=True, metavar="TERM", help="Rather hosts with this label, such as disk=ssd."),
    click.option("--apart-from-group", metavar="NAME", help="A group of VMs of which no host has two."),
    click.option("--spread", "strategy", flag_value="spread", help="The host with most free memory (default)."),
    click.option("--pack", "strategy", flag_value="pack", help="The host with least free memory."),
)


def placing(view: Any) -> Any:
    """What a new VM is, as far as its place goes by it; `wanted` makes one argument of what it asks of its host."""
    for option in reversed(_OPTIONS):
        view = option(view)
    return view


def wanted(options: dict[str, Any]) -> dict[str, Any]:
    """The options with `placement` for what belongs to it."""
    placement = {name: options.pop(name) for name in ("require", "prefer", "apart_from_group", "strategy")}
    return options | {"placement": {name: value for name, value in placement.items() if value}}


@click.group()
def placement() -> None:
    """Placement: which host a VM would be on, and why."""


@placement.command()
@placing
@fleet_command
def explain(session: Session, **options: Any) -> None:
    """Show where such a VM would be placed: each host, the best first, and why not. Creates nothing."""
    found = [plain(each) for each in session.client.vms.explain_placement(**wanted(options))]
    for each in found:
        each["why_not"] = "; ".join(reason["message"] for reason in each["reasons"])
    show_many(session, found, _COLUMNS, name="host")
