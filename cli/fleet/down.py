"""`corral down`: ends the VMs that a former `corral up` left running."""

from __future__ import annotations

import click

from cli.fleet import vms
from cli.fleet.home import taken
from cli.fleet.processes import StartFailed
from core import settings


@click.command()
def down() -> None:
    """Stop the VMs that still run after `corral up` has ended. Their disks stay; nothing is started."""
    home = settings.load().home
    if not home.exists():
        raise click.ClickException(f"there is no {home}: check CORRAL_HOME")
    try:
        with taken(home):
            left = vms.running(home)
            if left:
                print(f"asking {len(left)} VMs to shut down; in 30 s their power is cut", flush=True)
            vms.shut_down(left)
    except StartFailed as error:
        raise click.ClickException(str(error)) from error
    for vm in left:
        print(f"stopped {vm.name} on {vm.host}")
    print(f"{len(left)} VMs were running in {home}")
