"""`corral up`: the whole fleet in the foreground."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click

from cli.fleet import greeting, vms
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.processes import StartFailed
from core import settings


class _Stop(BaseException):
    """A signal asked us to end; not an Exception, so that nothing on the way swallows it."""


def _asked(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


@click.command()
@click.option("--agents", type=click.IntRange(1, 200), default=2, show_default=True, help="The number of hosts.")
@click.option(
    "--hypervisor",
    "hypervisors",
    multiple=True,
    default=["qemu"],
    show_default=True,
    help="A hypervisor that each host offers; repeatable.",
)
@click.option("--flower/--no-flower", default=True, help="Whether to start Flower, the task monitor.")
def up(agents: int, hypervisors: tuple[str, ...], flower: bool) -> None:
    """Run a whole fleet on this machine: API, worker, agents, Flower, PostgreSQL and Redis.

    All state is in CORRAL_HOME (.corral), and the next start continues with it. Ports: CORRAL_PORT (8000),
    CORRAL_FLOWER_PORT (5555). DATABASE_URL and REDIS_URL name existing servers to use. Ctrl-C stops all but the VMs.
    """
    plan = FleetPlan.of(settings.load())
    for complaint in settings.complaints():
        _say(complaint)
    with_image = any(hypervisor != "fake" for hypervisor in hypervisors)
    fleet = Fleet(replace(plan, agents=agents, hypervisors=hypervisors, flower=flower, image=with_image), say=_say)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _asked)
    try:
        _run(fleet)
    except StartFailed as error:
        raise click.ClickException(str(error)) from error
    except _Stop:
        _tell_what_runs(plan.home)


def _run(fleet: Fleet) -> None:
    with fleet:
        print(greeting.text(fleet), flush=True)
        try:
            threading.Event().wait()
        except _Stop:
            _say("stopping (Ctrl-C again: at once)")
            raise


def _say(line: str) -> None:
    print(f"corral: {line}", flush=True)


def _tell_what_runs(home: Path) -> None:
    left = vms.running(home)
    if left:
        names = ", ".join(f"{vm.name} on {vm.host}" for vm in left[:10]) + (", ..." if len(left) > 10 else "")
        _say(f"VMs that keep running: {names}. `make up` finds them again, `make down` stops them")
    _say("stopped")
