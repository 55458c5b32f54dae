"""The image a VM is made from, in this host's store."""

from __future__ import annotations

from pathlib import Path

from core.contract import images
from core.contract.errors import CorralError, DriverFailure
from core.contract.images import Manifest
from core.contract.messages import VmSpec


def find(store: Path, vm: VmSpec) -> Manifest | None:
    """The image a VM is made from; `DriverFailure` if it isn't here, is another one by now, or does not fit."""
    if vm.image is None:
        return None
    try:
        manifest = images.read(store, vm.image.name)
    except CorralError as error:
        raise DriverFailure(error.message, code=error.code) from None
    if vm.image.digest not in ("", manifest.digest):
        raise DriverFailure(
            f"image '{vm.image.name}' was replaced on this host (it is {manifest.digest}, and was {vm.image.digest}"
            " when the VM was placed): create the VM again",
            code="image_changed",
        )
    if vm.disk_gb < manifest.disk_size_gb:
        raise DriverFailure(
            f"a disk of {vm.disk_gb} GB is too small for image '{manifest.name}': it needs {manifest.disk_size_gb} GB",
            code="invalid_request",
        )
    return manifest
