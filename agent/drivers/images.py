"""The image a VM is made from, in this host's store."""

from __future__ import annotations

from agent.drivers.base import DriverFolders
from agent.images import finding
from agent.images.finding import LocalImage
from core.contract.errors import CorralError, DriverFailure
from core.contract.messages import VmSpec


def find(place: DriverFolders, vm: VmSpec) -> LocalImage | None:
    """The image a VM is made from; `DriverFailure` if it isn't here, is another one by now, or does not fit."""
    if vm.image is None:
        return None
    try:
        image = finding.find(place.images, place.contents, vm.image)
    except CorralError as error:
        raise DriverFailure(error.message, code=error.code) from None
    least = image.manifest.disk_size_gb
    if vm.disk_gb < least:
        raise DriverFailure(
            f"a disk of {vm.disk_gb} GB is too small for image '{image.manifest.name}': it needs {least} GB",
            code="invalid_request",
        )
    return image
