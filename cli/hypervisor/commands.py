"""`corral hypervisor`: programs of hypervisors that come from their projects' own releases."""

from __future__ import annotations

from pathlib import Path

import click

from cli.hypervisor import installing
from cli.hypervisor.releases import RELEASES

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def hypervisor() -> None:
    """Hypervisors that this machine's packages do not have."""


@hypervisor.command()
@click.argument("name", type=click.Choice(sorted(RELEASES)))
@click.option("--from", "file", type=FILE, help="A file that was fetched elsewhere, for machines without the internet.")
@click.option("--sha256", default="", help="The sum that it has to have, where it is not known here.")
@click.option("--to", type=click.Path(path_type=Path), help="Where it goes (default: /usr/local/bin).")
@click.option("--mirror", help="An address with the files of the release, instead of the project's own.")
@click.option("--machine", help="Another kind of machine than this one: x86_64 or aarch64.")
def install(
    name: str, file: Path | None, sha256: str, to: Path | None, mirror: str | None, machine: str | None
) -> None:
    """Install a hypervisor's official static release, verified before it is put in place."""
    release = RELEASES[name]
    wanted = release.file(machine)
    source = file if file is not None else release.url(wanted, mirror)
    place = to or Path("/usr/local/bin") / release.program
    installing.install(source, sha256 or wanted.sha256, place.absolute(), click.echo)
