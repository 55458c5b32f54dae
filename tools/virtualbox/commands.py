"""`python -m tools.virtualbox`: the real VBoxManage, for tests and experiments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from cli.image.log import BuildFailed
from core import settings
from tools.virtualbox import root
from tools.virtualbox.sandbox import Sandbox


@click.group()
def virtualbox() -> None:
    """The real VBoxManage, without a kernel driver: for all that needs no running VM."""


@virtualbox.command()
@click.option("--if-possible", is_flag=True, help="Where it takes rights that are missing, say so and succeed.")
def build(if_possible: bool) -> None:
    """Build a Debian root with VirtualBox, unless it is there already."""
    if if_possible and root.find(settings.load().virtualbox) is None:
        try:
            root.refuse_without_rights()
        except BuildFailed as reason:
            click.echo(f"no VirtualBox for the tests: {reason.message}")
            return
    click.echo(root.build(settings.load().virtualbox, click.echo))


@virtualbox.command(context_settings={"ignore_unknown_options": True})
@click.argument("home", type=click.Path(file_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(home: Path, arguments: tuple[str, ...]) -> None:
    """Run VBoxManage with those ARGUMENTS; what it makes is kept in the folder HOME, and only there."""
    home.mkdir(parents=True, exist_ok=True)
    with Sandbox(root.build(settings.load().virtualbox, click.echo), home.absolute()) as sandbox:
        raise SystemExit(subprocess.run([sandbox.program, *arguments], check=False).returncode)
