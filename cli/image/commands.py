"""`corral image build` and `corral store`: the image store of this machine, by hand."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from cli.image import build as building
from cli.lazy import LazyCommand, LazyGroup
from core import images, settings
from core.contract.images import Manifest

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _ImageGroup(LazyGroup):
    places = {
        "delete": LazyCommand("cli.remote.images:delete", "Remove an image from the fleet."),
        "list": LazyCommand("cli.remote.images:list_", "List the fleet's images."),
        "show": LazyCommand("cli.remote.images:show", "Show an image of the fleet."),
        "upload": LazyCommand("cli.remote.images:upload", "Send an image to the fleet."),
    }


@click.group(cls=_ImageGroup)
def image() -> None:
    """Images that VMs are made from."""


@click.group()
def store() -> None:
    """The image store of this machine, without a fleet."""


@image.command()
@click.option("--force", is_flag=True, help="Build it even if it is there, with the packages of today.")
def build(force: bool) -> None:
    """Build linux-default from Debian's packages, unless it is there already."""
    signal.signal(signal.SIGTERM, _stop)
    building.build(settings.load().images, click.echo, force=force)


@store.command()
@click.argument("name")
@click.option("--disk", type=FILE, required=True, help="A qcow2 or raw disk; it is copied.")
@click.option("--kernel", type=FILE, help="A Linux kernel to boot directly, instead of by the disk's own loader.")
@click.option("--initrd", type=FILE, help="The kernel's initial ramdisk.")
@click.option("--cmdline", default="", help="The kernel's command line.")
@click.option("--os-type", type=click.Choice(images.OS_TYPES), default="linux", show_default=True)
@click.option("--guest-agent/--no-guest-agent", default=False, help="The QEMU guest agent starts by itself in there.")
@click.option("--description", default="", help="A line for people.")
def add(
    name: str,
    disk: Path,
    kernel: Path | None,
    initrd: Path | None,
    cmdline: str,
    os_type: str,
    guest_agent: bool,
    description: str,
) -> None:
    """Add an image of your own."""
    added = images.add(
        settings.load().images,
        name,
        disk,
        kernel=kernel,
        initrd=initrd,
        cmdline=cmdline,
        os_type=os_type,
        guest_agent=guest_agent,
        description=description,
    )
    click.echo(_line(added))


@store.command(name="list")
def list_() -> None:
    """Show what is in the store."""
    for found in images.list_all(settings.load().images):
        click.echo(_line(found))


@store.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove an image; VMs made from it stay."""
    images.remove(settings.load().images, name)


def _line(manifest: Manifest) -> str:
    kind = f"{manifest.os_type} {manifest.format} {manifest.disk_size_gb} GB"
    agent = "guest agent" if manifest.guest_agent else "no guest agent"
    return f"{manifest.name:24} {kind:24} {agent:16} {manifest.digest[:19]} {manifest.description}".rstrip()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`, so that a build that is told to end takes its programs and files along."""
    raise SystemExit(128 + signal.SIGTERM)
