"""`corral vm`: virtual machines and their life."""

from __future__ import annotations

from typing import Any

import click

from cli.lazy import LazyCommand, LazyGroup
from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.placing import placing, wanted
from cli.remote.progress import change, waits
from cli.remote.session import Session, fleet_command

COLUMNS = {
    "NAME": "name",
    "STATUS": "status",
    "VCPUS": "vcpus",
    "MEMORY": "memory_mb",
    "HOST": "host",
    "HYPERVISOR": "hypervisor",
    "IP": "network_config.ip",
    "CREATED": "created_at",
}
STATUSES = ("created", "running", "stopped", "paused", "failed", "unknown")
VM = click.argument("vm", metavar="VM", shell_complete=completion.vms)


class _VmGroup(LazyGroup):
    places = {
        "console": LazyCommand("cli.remote.consoles:console", "Open a VM's serial console."),
        "cp": LazyCommand("cli.remote.copying:cp", "Copy a file or a folder to or from a VM."),
        "disk": LazyCommand("cli.remote.devices:disk", "Disks and DVDs of a VM."),
        "exec": LazyCommand("cli.remote.commands:exec_", "Run a command in a VM, and exit with its exit code."),
        "execs": LazyCommand("cli.remote.commands:execs", "Executions: commands left running in VMs."),
        "files": LazyCommand("cli.remote.copying:files", "List a folder of a VM."),
        "forward": LazyCommand("cli.remote.devices:forward", "Port forwards of a VM."),
        "logs": LazyCommand("cli.remote.consoles:logs", "Show the output of a VM's serial console."),
        "move": LazyCommand("cli.remote.moving:move", "Move VMs to another host."),
        "nic": LazyCommand("cli.remote.devices:nic", "Network adapters of a VM."),
        "shell": LazyCommand("cli.remote.commands:shell", "Open a shell in a VM."),
        "snapshot": LazyCommand("cli.remote.snapshots:snapshot", "Snapshots of a VM."),
    }


@click.group(cls=_VmGroup)
def vm() -> None:
    """Virtual machines."""


@vm.command(name="list")
@click.option("--status", metavar="STATUS", help="Only VMs with this status.")
@click.option(
    "--sort", type=click.Choice(["created_at", "name", "memory_mb", "vcpus", "status"]), help="Sort by this field."
)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option("--limit", type=click.IntRange(1), help="Show at most this many.")
@click.option("--watch", is_flag=True, help="Update the list as VMs change; Ctrl-C ends it.")
@fleet_command
def list_(
    session: Session, status: str | None, sort: str | None, reverse: bool, limit: int | None, watch: bool
) -> None:
    """List VMs."""

    def found() -> Any:
        order = "desc" if reverse else None
        return session.client.vms.list(status=status, sort=sort, order=order, limit=limit)

    show_many(session, found(), COLUMNS)
    if watch:
        for _ in session.client.events():
            click.clear()
            show_many(session, found(), COLUMNS)


@vm.command()
@VM
@fleet_command
def show(session: Session, vm: str) -> None:
    """Show a VM."""
    show_one(session, session.client.vms.get(vm))


@vm.command()
@click.argument("name")
@placing
@click.option("--ip", help="The VM's address on that bridge.")
@click.option(
    "--restart-policy",
    type=click.Choice(["none", "elsewhere"]),
    help="elsewhere: recreate the VM from its image on another host when its host is fenced or removed.",
)
@click.option("--ttl", metavar="TIME", help="Delete the VM automatically after this time, such as 90s, 30m, 8h or 7d.")
@click.option("--start", is_flag=True, help="Start the VM as well.")
@waits
@fleet_command
def create(
    session: Session, name: str, start: bool, ttl: str | None, wait: bool, timeout: float | None, **options: Any
) -> None:
    """Create a VM."""
    what = f"VM '{name}' is created."
    options = wanted(options) | {"ttl_seconds": _seconds(ttl) if ttl else None}
    if start and not wait:
        raise click.UsageError("--start needs --wait: a VM can be started only once it is created")
    change(session, what, session.client.vms.create, name, wait=wait, timeout=timeout, **options)
    if start:
        change(session, f"VM '{name}' is running.", session.client.vms.start, name, wait=True, timeout=timeout)


def _verb(name: str, done: str, help_text: str) -> None:
    """A verb without options of its own."""

    @vm.command(name=name, help=help_text)
    @click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=completion.vms)
    @waits
    @fleet_command
    def command(session: Session, vms: tuple[str, ...], wait: bool, timeout: float | None) -> None:
        for each in vms:
            change(session, f"VM '{each}' {done}.", getattr(session.client.vms, name), each, wait=wait, timeout=timeout)


_verb("start", "is running", "Start VMs, and wait until their guests are usable.")
_verb("pause", "is paused", "Pause running VMs.")
_verb("resume", "goes on", "Resume paused VMs.")
_verb("save", "is saved", "Save VMs' memory to disk and stop them (VirtualBox); the next start resumes from it.")


def _ending_verb(name: str, done: str, help_text: str) -> None:
    """A verb that asks the guest to end."""

    @vm.command(name=name, help=help_text)
    @click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=completion.vms)
    @click.option("--force", is_flag=True, help="Cut the power without asking the guest.")
    @click.option(
        "--grace",
        type=click.IntRange(0, 3600),
        default=30,
        show_default=True,
        help="Seconds that the guest has to shut down.",
    )
    @waits
    @fleet_command
    def command(
        session: Session, vms: tuple[str, ...], force: bool, grace: int, wait: bool, timeout: float | None
    ) -> None:
        options: dict[str, Any] = {"force": force, "grace_seconds": grace, "wait": wait, "timeout": timeout}
        for each in vms:
            change(session, f"VM '{each}' {done}.", getattr(session.client.vms, name), each, **options)


_ending_verb("stop", "is stopped", "Stop VMs: shut down the guests, and cut the power when the grace time is over.")
_ending_verb("restart", "is running again", "Stop VMs and start them again.")


@vm.command()
@click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=completion.vms)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--disks", "delete_disks", is_flag=True, help="Delete the attached disks as well.")
@waits
@fleet_command
def delete(session: Session, vms: tuple[str, ...], yes: bool, wait: bool, **options: Any) -> None:
    """Delete VMs and their snapshots for good; attached disks stay, unless --disks."""
    if not yes and session.is_terminal:
        click.confirm(f"Delete {', '.join(vms)} for good?", abort=True, err=True)
    for each in vms:
        change(session, f"VM '{each}' is deleted.", session.client.vms.delete, each, wait=wait, **options)


@vm.command()
@VM
@click.option("--vcpus", type=int)
@click.option("--memory", "memory_mb", type=int, metavar="MB")
@click.option(
    "--cpu-limit",
    "cpu_limit_percent",
    type=int,
    metavar="PERCENT",
    help="Limit processor use to this share of the vCPUs.",
)
@click.option(
    "--memory-limit",
    "memory_limit_percent",
    type=int,
    metavar="PERCENT",
    help="Limit memory use to this share of the VM's memory.",
)
@waits
@fleet_command
def resize(session: Session, vm: str, wait: bool, timeout: float | None, **sizes: int | None) -> None:
    """Change a VM's size or limits."""
    if not any(value is not None for value in sizes.values()):
        raise click.UsageError("nothing to change: give --vcpus, --memory, --cpu-limit or --memory-limit")
    what = f"VM '{vm}' is resized."
    done = change(session, what, session.client.vms.resize, vm, wait=wait, timeout=timeout, **sizes)
    if wait and session.output == "table":
        for field, when in ((done.result or {}).get("applied") or {}).items():
            session.tell(f"  {field}: {'now' if when == 'live' else 'at its next start'}")


@vm.command()
@VM
@click.argument("time")
@fleet_command
def ttl(session: Session, vm: str, time: str) -> None:
    """Set when a VM is deleted automatically: TIME from now, such as 90s, 30m, 8h or 7d, or `forever`."""
    found = session.client.vms.set_ttl(vm, None if time == "forever" else _seconds(time))
    session.tell(
        f"VM '{vm}' is deleted automatically at {found.expires_at:%F %T} UTC."
        if found.expires_at
        else f"VM '{vm}' stays until it is deleted."
    )


def _seconds(text: str) -> int:
    """A time as people write it; a usage error for what is none."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in units:
        raise click.UsageError(f"{text!r} is not a time: give a number and s, m, h or d, such as 30m")
    return int(number) * units[unit]


@vm.command()
@VM
@fleet_command
def metrics(session: Session, vm: str) -> None:
    """Measure what a VM uses now."""
    show_one(session, session.client.vms.metrics(vm), name="vm_name")


@vm.command()
@VM
@fleet_command
def network(session: Session, vm: str) -> None:
    """Show a VM's network addresses."""
    show_one(session, session.client.vms.network(vm), name="vm_name")


@vm.command(name="guest-credentials")
@VM
@click.option("--username", "-u", required=True)
@fleet_command
def guest_credentials(session: Session, vm: str, username: str) -> None:
    """Set the account that runs commands in a VirtualBox guest; prompts for the password."""
    password = click.prompt("Password", hide_input=True, err=True)
    session.client.vms.set_guest_credentials(vm, username, password)
    session.tell(f"The account of VM '{vm}' is '{username}'.")
