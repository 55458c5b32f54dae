"""An image's files in a VM's folder, where neither a new image of that name nor the image's removal reaches them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.images import find
from agent.images.finding import LocalImage
from core.contract.errors import DriverFailure
from core.contract.images import ImageFile, ImageManifest
from core.contract.messages import VmSpec
from core.durable import sync_folder

SHELF = ".images"
TRIES = 3  # an image may be replaced while its files are linked one by one


def take(place: DriverFolders, vm: VmSpec, folder: Path) -> ImageManifest | None:
    """The image a VM is made from, its files in `folder`, all of one version; None for a VM without an image."""
    for _ in range(TRIES):
        image = find(place, vm)
        if image is None:
            return None
        bring(image, folder, place.vms)
        if find(place, vm) == image:
            return image.manifest
    raise DriverFailure(f"the image of VM '{vm.name}' keeps being replaced: try again", code="image_changed")


def bring(image: LocalImage, folder: Path, vms: Path) -> None:
    """Puts the image's files into `folder`, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in image.manifest.files:
        _bring(image.path(file), file, folder / file.name, vms / SHELF)
    sync_folder(folder)


def tidy(vms: Path) -> None:
    """Removes the copies that no VM has a link to any more."""
    for copy in (vms / SHELF).glob("*"):
        if copy.stat().st_nlink == 1:
            copy.unlink(missing_ok=True)


def _bring(source: Path, file: ImageFile, to: Path, shelf: Path) -> None:
    try:
        size = source.stat().st_size
    except FileNotFoundError:
        size = -1
    if size != file.size_bytes:
        raise DriverFailure(f"{source} is missing or not {file.size_bytes} bytes: build the image again")
    try:
        os.link(source, to)
    except OSError:  # another file system, or one without links: a copy by content that VMs share
        _link_copy(source, file, to, shelf)


def _link_copy(source: Path, file: ImageFile, to: Path, shelf: Path) -> None:
    shelf.mkdir(exist_ok=True)
    copy, draft = shelf / file.sha256, to.with_name(to.name + ".new")
    try:
        os.link(copy, to)
        return
    except OSError:  # not there yet, or no links at all: then each VM has a copy of its own
        shutil.copyfile(source, draft)
    try:
        os.link(draft, copy)
    except OSError:
        pass  # another VM was quicker, or no links at all
    draft.replace(to)
