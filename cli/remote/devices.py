"""`corral vm disk`, `nic` and `forward`: what is attached to a VM."""

from __future__ import annotations

from typing import Any

import click

from cli.remote.output import show_many
from cli.remote.session import Session, fleet_command
from cli.remote.vms import VM

_DISKS = {
    "CONTROLLER": "controller",
    "PORT": "port",
    "DEVICE": "device",
    "TYPE": "type",
    "GB": "size_gb",
    "USED": "used_gb",
    "FORMAT": "format",
    "OWN": "own",
    "MEDIUM": "medium",
}
_ADAPTERS = {
    "SLOT": "slot",
    "ENABLED": "enabled",
    "TYPE": "type",
    "MODE": "mode",
    "CABLE": "cable_connected",
    "MAC": "mac_address",
    "NETWORK": "bridge_adapter",
}
_FORWARDS = {
    "HOST PORT": "host_port",
    "GUEST PORT": "guest_port",
    "PROTOCOL": "protocol",
    "ADDRESS": "host_address",
    "HOST": "host",
    "DESCRIPTION": "description",
}


@click.group()
def disk() -> None:
    """Disks and DVDs of a VM."""


@disk.command(name="list")
@VM
@fleet_command
def list_disks(session: Session, vm: str) -> None:
    """List a VM's disks and DVDs, its own disk first."""
    show_many(session, session.client.devices.disks(vm), _DISKS, name="medium")


@disk.command()
@VM
@click.argument("medium")
@click.option("--controller", default="SATA Controller", show_default=True)
@click.option("--port", type=int, required=True, help="The controller's port.")
@click.option("--device", type=int, default=0, show_default=True)
@click.option("--type", "kind", type=click.Choice(["hdd", "dvd"]), default="hdd", show_default=True)
@click.option(
    "--size", "size_gb", type=int, metavar="GB", help="Create an empty disk of this size if MEDIUM does not exist."
)
@fleet_command
def attach(session: Session, vm: str, medium: str, **where: Any) -> None:
    """Attach MEDIUM: one of your disks by name, or a path in a media folder of the VM's host."""
    session.client.devices.attach_disk(vm, medium, **where)
    session.tell(f"{medium} is attached to VM '{vm}'.")


@disk.command()
@VM
@click.option("--controller", default="SATA Controller", show_default=True)
@click.option("--port", type=int, required=True, help="The controller's port.")
@click.option("--device", type=int, default=0, show_default=True)
@fleet_command
def detach(session: Session, vm: str, controller: str, port: int, device: int) -> None:
    """Detach a disk or DVD; its file stays."""
    session.client.devices.detach_disk(vm, controller, port, device)
    session.tell(f"The disk at {controller}, port {port}, is detached from VM '{vm}'.")


@click.group()
def nic() -> None:
    """Network adapters of a VM."""


@nic.command(name="list")
@VM
@fleet_command
def list_adapters(session: Session, vm: str) -> None:
    """List a VM's network adapters by slot."""
    show_many(session, session.client.devices.adapters(vm), _ADAPTERS, name="slot")


@nic.command(name="set")
@VM
@click.argument("slot", type=int)
@click.option("--enable/--disable", "enabled", default=None)
@click.option("--plug/--unplug", "cable_connected", default=None, help="Plug in or unplug the adapter's cable.")
@click.option("--type", "type_", help="The adapter's chip, such as virtio or 82540EM.")
@click.option("--mode", help="nat, bridged, hostonly, intnet, null or none.")
@click.option("--network", "bridge_adapter", help="The host's interface or network to join.")
@fleet_command
def set_(session: Session, vm: str, slot: int, type_: str | None, **changes: Any) -> None:
    """Change or add the network adapter in SLOT."""
    wanted = {name: value for name, value in {**changes, "type": type_}.items() if value is not None}
    if not wanted:
        raise click.UsageError("nothing to change: give an option, see --help")
    session.client.devices.set_adapter(vm, slot, **wanted)
    session.tell(f"Adapter {slot} of VM '{vm}' is changed.")


@click.group()
def forward() -> None:
    """Port forwards: ports of the host that lead to ports of the VM."""


@forward.command(name="list")
@VM
@fleet_command
def list_forwards(session: Session, vm: str) -> None:
    """List a VM's port forwards."""
    show_many(session, session.client.devices.forwards(vm), _FORWARDS, name="id")


@forward.command()
@VM
@click.argument("guest_port", type=click.IntRange(1, 65535))
@click.option("--host-port", type=int, default=0, help="The host's port (default: any free one).")
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True)
@click.option("--description", default="", help="A note.")
@fleet_command
def add(session: Session, vm: str, guest_port: int, **options: Any) -> None:
    """Forward a port of the host to GUEST_PORT, and print the host's address and port."""
    before = {each.id for each in session.client.devices.forwards(vm)}
    session.client.devices.forward(vm, guest_port, **options)
    for each in session.client.devices.forwards(vm):
        if each.id not in before:
            click.echo(f"{each.host_address}:{each.host_port}")


@forward.command()
@VM
@click.argument("host_port")
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), help="Needed if the port is forwarded for both.")
@fleet_command
def remove(session: Session, vm: str, host_port: str, protocol: str | None) -> None:
    """Remove a port forward, by the host's port or by its id."""
    session.client.devices.remove_forward(vm, host_port, protocol=protocol)
    session.tell(f"Port {host_port} is no longer forwarded to VM '{vm}'.")
