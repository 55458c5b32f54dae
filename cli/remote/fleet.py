"""`corral host`, `network`, `health`, `status` and `events`: the fleet as a whole."""

from __future__ import annotations

import click

from cli.remote import completion
from cli.remote.output import plain, show_many, show_one
from cli.remote.session import Session, fleet_command
from cli.visible import as_json, visible
from core import labels

_HOSTS = {
    "NAME": "name",
    "STATUS": "status",
    "FREE VCPUS": "free.vcpus",
    "FREE MB": "free.memory_mb",
    "FREE GB": "free.disk_gb",
    "HYPERVISORS": "healthy",
    "LABELS": "labelled",
    "LAST SEEN": "last_seen_at",
}
_ORPHANS = {"ID": "id", "HOST": "host"}
_NETWORKS = {"NAME": "name", "TYPE": "type", "HOST": "host", "SUBNET": "subnet", "VMS": "vms_connected"}


@click.group()
def host() -> None:
    """Hosts: the machines that VMs run on."""


@host.command(name="list")
@click.option("--status", help="Only hosts with this status: online or offline.")
@click.option("--scheduling", help="Only hosts in this scheduling state, such as cordoned.")
@click.option("--label", metavar="TERMS", help="Only hosts with these labels, such as zone=a,disk!=hdd,fast,!old.")
@fleet_command
def list_(session: Session, status: str | None, scheduling: str | None, label: str | None) -> None:
    """List hosts."""
    found = [plain(each) for each in session.client.hosts.list(status=status, scheduling=scheduling, label=label)]
    for each in found:
        state = each["scheduling"]["state"]
        each["status"] += "" if state == "active" else f", {state}"
        each["labelled"] = labels.as_texts(each["labels"])
        each["healthy"] = [driver["name"] for driver in each["hypervisors"] if driver["healthy"]]
    show_many(session, found, _HOSTS)


@host.command()
@click.argument("name", shell_complete=completion.hosts)
@fleet_command
def show(session: Session, name: str) -> None:
    """Show a host: its size, what is free, and its drivers."""
    show_one(session, session.client.hosts.get(name))


@host.command()
@click.argument("name", shell_complete=completion.hosts)
@click.argument("changes", metavar="[KEY=VALUE|KEY-]...", nargs=-1)
@fleet_command
def label(session: Session, name: str, changes: tuple[str, ...]) -> None:
    """Label a host: KEY=VALUE sets a label, KEY- removes it. For administrators.

    Without labels, show those of the host.
    """
    wanted = dict(_label_change(each) for each in changes)
    found = session.client.hosts.label(name, wanted) if wanted else session.client.hosts.get(name)
    show_one(session, {"name": name, "labels": found["labels"]})


@host.command()
@click.argument("name", shell_complete=completion.hosts)
@click.option("--vcpus", type=float, metavar="RATIO")
@click.option("--memory", "memory_mb", type=float, metavar="RATIO")
@click.option("--disk", "disk_gb", type=float, metavar="RATIO")
@fleet_command
def overcommit(session: Session, name: str, **ratios: float | None) -> None:
    """Set how much of a host's room VMs may reserve: 2 is twice what its agent offers. For administrators.

    Without ratios, show those of the host.
    """
    wanted = any(ratio is not None for ratio in ratios.values())
    hosts = session.client.hosts
    found = hosts.set_overcommit(name, **ratios) if wanted else hosts.get(name)
    show_one(session, {"name": name} | {what: found[what] for what in ("offered", "overcommit", "capacity", "free")})


def _label_change(text: str) -> tuple[str, str | None]:
    key, sign, value = text.partition("=")
    if not sign and not key.endswith("-"):
        raise click.UsageError(f"{text!r} is not a label: write KEY=VALUE, or KEY- to remove one")
    return (key, value) if sign else (key.removesuffix("-"), None)


@host.command()
@click.argument("name", shell_complete=completion.hosts)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Remove it even while it is online; it is cut off at once.")
@fleet_command
def remove(session: Session, name: str, yes: bool, force: bool) -> None:
    """Remove a host that is gone for good; its VMs become lost. For administrators."""
    if not yes and session.is_terminal:
        click.confirm(f"Remove host {name}? Its VMs become lost", abort=True, err=True)
    session.client.hosts.remove(name, force=force)
    session.tell(f"Host '{name}' is removed. If it comes back, its VMs on disk are deleted.")


@host.command()
@click.argument("name", shell_complete=completion.hosts)
@fleet_command
def orphans(session: Session, name: str) -> None:
    """List a host's orphans: VMs that are not in the database. For administrators."""
    show_many(session, session.client.hosts.orphans(name), _ORPHANS, name="id")


@host.command(name="remove-orphan")
@click.argument("name", shell_complete=completion.hosts)
@click.argument("vm_id")
@fleet_command
def remove_orphan(session: Session, name: str, vm_id: str) -> None:
    """Delete an orphan on its host. For administrators."""
    session.client.hosts.remove_orphan(name, vm_id)
    session.tell(f"Orphan {vm_id} is being deleted by host '{name}'.")


@host.command(name="adopt-orphan")
@click.argument("name", shell_complete=completion.hosts)
@click.argument("vm_id")
@click.option("--owner", required=True, help="The user who becomes the VM's owner.")
@click.option("--name", "called", help="The VM's name (default: its former name).")
@fleet_command
def adopt_orphan(session: Session, name: str, vm_id: str, owner: str, called: str | None) -> None:
    """Add an orphan to the database as a user's VM. For administrators."""
    show_one(session, session.client.hosts.adopt_orphan(name, vm_id, owner=owner, called=called))


@host.command()
@click.option("--host", "name", shell_complete=completion.hosts, help="Only this host (default: the whole fleet).")
@fleet_command
def info(session: Session, name: str | None) -> None:
    """Show the hardware and drivers of the fleet or of a host."""
    show_one(session, session.client.request("GET", "/system/info", host=name))


@host.command()
@click.option("--host", "name", shell_complete=completion.hosts, help="Only this host (default: the whole fleet).")
@fleet_command
def metrics(session: Session, name: str | None) -> None:
    """Show the capacity and the use of the fleet or of a host."""
    show_one(session, session.client.request("GET", "/system/metrics", host=name))


@click.command()
@click.option("--host", "name", shell_complete=completion.hosts, help="Only networks of this host.")
@fleet_command
def network(session: Session, name: str | None) -> None:
    """List the networks that hosts offer."""
    show_many(session, session.client.request("GET", "/networks", host=name)["networks"], _NETWORKS)


@click.command()
@fleet_command
def health(session: Session) -> None:
    """Show whether each part of the control plane is healthy; exit with 1 if one is not."""
    found = session.client.health()
    show_one(session, found, name="status")
    if found["status"] != "healthy":
        raise SystemExit(1)


@click.command()
@fleet_command
def status(session: Session) -> None:
    """Show the fleet's versions and counts."""
    show_one(session, session.client.status(), name="api_version")


@click.command()
@click.argument("vm", required=False, shell_complete=completion.vms)
@click.option("--after", type=int, metavar="SEQ", help="Begin after the event with this number (0: all that are kept).")
@fleet_command
def events(session: Session, vm: str | None, after: int | None) -> None:
    """Show events as they happen, of a VM or of all; Ctrl-C ends it."""
    try:
        for event in session.client.events(vm, after):
            row = plain(event)
            if session.output == "table":
                told = " ".join(
                    f"{field}={value}" for field, value in event.data.items() if not isinstance(value, dict)
                )
                line = f"{row['timestamp']}  {event.seq:>8}  {event.event_type:20} {event.vm_name or ''} {told}"
                click.echo(visible(line.rstrip()))
            else:
                click.echo(as_json(row))
    except KeyboardInterrupt:
        return
