"""`corral hypervisor`: programs of hypervisors that come from their projects' own releases."""

from __future__ import annotations

from pathlib import Path

import click

from cli.hypervisor import installing
from cli.hypervisor.releases import RELEASES

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def hypervisor() -> None:
    """Install hypervisors that Debian does not package."""


@hypervisor.command()
@click.argument("name", type=click.Choice(sorted(RELEASES)))
@click.option("--from", "file", type=FILE, help="A file downloaded before, for a machine without internet access.")
@click.option("--sha256", default="", help="The expected SHA-256, if Corral does not know it.")
@click.option("--to", type=click.Path(path_type=Path), help="Where to install it (default: /usr/local/bin).")
@click.option("--mirror", help="A mirror to download the release from.")
@click.option("--machine", help="The target architecture: x86_64 or aarch64 (default: this machine's).")
def install(
    name: str, file: Path | None, sha256: str, to: Path | None, mirror: str | None, machine: str | None
) -> None:
    """Install a hypervisor's official static release after verifying its SHA-256."""
    release = RELEASES[name]
    wanted = release.file(machine)
    source = file if file is not None else release.url(wanted, mirror)
    place = to or Path("/usr/local/bin") / release.program
    installing.install(source, sha256 or wanted.sha256, place.absolute(), click.echo)
