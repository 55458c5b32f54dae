"""`corral doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from cli.doctor import drivers, machine, programs
from cli.doctor.checks import CheckState, MachineCheck, Needs
from cli.tables import table
from core import settings

_COLOURS = {CheckState.OK: "green", CheckState.MISSING: "red", CheckState.OPTIONAL: "yellow"}


@click.command()
@click.option(
    "--hypervisor",
    "hypervisors",
    type=click.Choice([*drivers.HYPERVISORS, "fake"]),
    multiple=True,
    default=["qemu"],
    show_default=True,
    help="A hypervisor that `corral up` is to offer here; repeatable.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def doctor(context: click.Context, hypervisors: tuple[str, ...], output: str) -> None:
    """Check what this machine lacks for `corral up`, and show the command that installs it.

    Each line says ok, missing, or optional (not found, and not needed for the given hypervisors). Nothing is installed.
    The exit code is 1 when something is missing.
    """
    checks = examine(hypervisors)
    lacking = [check for check in checks if check.state is CheckState.MISSING]
    if output == "json":
        click.echo(json.dumps({"ok": not lacking, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _show(checks)
        click.echo(f"{len(lacking)} missing for `corral up`" if lacking else "this machine has what `corral up` needs")
    context.exit(1 if lacking else 0)


def examine(hypervisors: tuple[str, ...]) -> list[MachineCheck]:
    """Every check, as `corral up` with these hypervisors and the environment's settings would find it."""
    environment = settings.load()
    wanted = Needs(
        hypervisors,
        database=not environment.database_url,
        redis=not environment.redis_url,
        builds_image=any(name != "fake" for name in hypervisors) and not machine.has_image(environment.images),
    )
    found = drivers.probe()
    return [
        machine.python(),
        machine.rights(),
        *programs.check_all(wanted),
        *drivers.check_all(found, wanted),
        machine.kvm(found, wanted),
        machine.image(environment.images, wanted),
        *machine.disks(environment),
        *machine.listening(environment),
        *machine.variables(),
    ]


def _show(checks: Sequence[MachineCheck]) -> None:
    rows = (
        [
            (check.state, _COLOURS[check.state]),
            (check.role, ""),
            (check.name, ""),
            (f"{check.found} -> {check.fix}" if check.fix else check.found, ""),
        ]
        for check in checks
    )
    click.echo(table([], rows), nl=False)
