"""`corral image build` and `corral store`: the image store of this machine, by hand."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from cli.image import build as building
from cli.lazy import LazyCommand, LazyGroup
from core import images, settings
from core.contract.images import ImageManifest

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _ImageGroup(LazyGroup):
    places = {
        "delete": LazyCommand("cli.remote.images:delete", "Remove an image from the fleet."),
        "list": LazyCommand("cli.remote.images:list_", "List the fleet's images."),
        "prefetch": LazyCommand("cli.remote.images:prefetch", "Have hosts pull an image before a VM needs it there."),
        "show": LazyCommand("cli.remote.images:show", "Show an image of the fleet."),
        "upload": LazyCommand("cli.remote.images:upload", "Upload an image to the fleet."),
    }


@click.group(cls=_ImageGroup)
def image() -> None:
    """Images that VMs are created from."""


@click.group()
def store() -> None:
    """The image store of this machine, without a fleet."""


@image.command()
@click.option("--force", is_flag=True, help="Build it again with today's packages, even if it exists.")
def build(force: bool) -> None:
    """Build the image linux-default from Debian's packages, unless it exists."""
    signal.signal(signal.SIGTERM, _stop)
    building.build(settings.load().images, click.echo, force=force)


@store.command()
@click.argument("name")
@click.option("--disk", type=FILE, required=True, help="A qcow2 or raw disk to copy.")
@click.option("--kernel", type=FILE, help="A Linux kernel to boot directly, instead of the disk's boot loader.")
@click.option("--initrd", type=FILE, help="The kernel's initial ramdisk.")
@click.option("--cmdline", default="", help="The kernel's command line.")
@click.option("--os-type", type=click.Choice(images.OS_TYPES), default="linux", show_default=True)
@click.option("--guest-agent/--no-guest-agent", default=False, help="The image starts the QEMU guest agent by itself.")
@click.option("--description", default="", help="A note.")
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
    """Add an image to this machine's store."""
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
    """List the images in this machine's store."""
    for found in images.list_all(settings.load().images):
        click.echo(_line(found))


@store.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove an image from this machine's store; VMs created from it stay."""
    images.remove(settings.load().images, name)


def _line(manifest: ImageManifest) -> str:
    kind = f"{manifest.os_type} {manifest.format} {manifest.disk_size_gb} GB"
    agent = "guest agent" if manifest.guest_agent else "no guest agent"
    return f"{manifest.name:24} {kind:24} {agent:16} {manifest.digest[:19]} {manifest.description}".rstrip()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`, so that a build that is told to end takes its programs and files along."""
    raise SystemExit(128 + signal.SIGTERM)
