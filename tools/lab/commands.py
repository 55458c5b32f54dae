"""`python -m tools.lab`: emulated hypervisor hosts with the real VirtualBox and the real KVM."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import click

from cli.fleet.credentials import path as credentials_path
from cli.fleet.processes import StartFailed
from core import settings
from core.contract.errors import CorralError
from tools.lab import build as building
from tools.lab import recipe
from tools.lab.lab import Lab
from tools.lab.machines import run_in

HOST = click.Choice(list(recipe.HOSTS))


@click.group()
def lab() -> None:
    """Whole hypervisor hosts, emulated on this machine: lab-kvm and lab-vbox.

    `build` makes their disks from Debian's packages, once. `up` boots them, with a control plane of their own, until
    Ctrl-C. `make lab-test` tests the drivers on them. docs/lab.md has the rest.
    """


@lab.command()
def build() -> None:
    """Build what is missing: the emulator and other programs, both hosts' disks, the guests' images."""
    _end_by_signals()
    built = building.build(settings.load().lab, click.echo)
    for name, place in {building.PROGRAMS: built.programs, **built.hosts}.items():
        click.echo(f"{name:10} {place}")


@lab.command()
@click.option("--host", "hosts", type=HOST, multiple=True, default=list(recipe.HOSTS), help="Only this; repeatable.")
def up(hosts: tuple[str, ...]) -> None:
    """Boot the hosts, join them to a control plane, and run them until Ctrl-C."""
    _end_by_signals()
    built = building.build(settings.load().lab, click.echo)
    try:
        with Lab(built, _home(), click.echo, hosts) as running:
            click.echo(f"The API is at {running.fleet.url}; credentials: {credentials_path(running.fleet.home)}")
            click.echo(f"Logs are in {running.home}/<host>/.")
            click.echo(f"A line in a root shell: python -m tools.lab run {hosts[0]} 'ps'")
            threading.Event().wait()
    except StartFailed as error:
        raise CorralError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped, and nothing of it is kept but the logs")


@lab.command()
@click.argument("host", type=HOST)
@click.argument("command")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="How long it may take.")
def run(host: str, command: str, seconds: float) -> None:
    """Run a line in the root shell of a HOST that `up` has booted."""
    sys.stdout.write(run_in(_home() / host, command, seconds))


def _home() -> Path:
    return settings.load().home / "lab"


def _end_by_signals() -> None:
    """Leave by way of every `finally`: nothing that was started outlives us."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
