"""Controllers, the media in their places, and the VM's own disk: from an image, or empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.images import find
from agent.drivers.limits import Left
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import FILE_ERROR, IN_USE, LOCKED, NOT_FOUND, VBoxManage, VBoxManageError
from core.contract.errors import DriverFailure
from core.contract.images import ImageManifest
from core.contract.limits import ProcessLimits
from core.contract.messages import VmSpec
from core.contract.vms import Controller
from core.units import GB

DEFAULT = Controller("SATA Controller", "sata", 4)
CONTROLLERS = ("ide", "sata", "scsi", "sas", "usb", "floppy", "pcie", "virtio")
WITH_PORTS = ("sata", "sas", "pcie", "virtio")  # the others have as many as they have
TYPES = {"hdd": "hdd", "dvd": "dvddrive"}
EMPTY = ("none", "emptydrive")
CONVERT_SECONDS, SPARE_BYTES = 3600, 64 << 20
MB_PER_GB = 1024
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._]{0,62}[A-Za-z0-9._])?")


@dataclass(frozen=True)
class DiskSlot:
    """A place on a controller, and the medium there; "" for none."""

    controller: str
    port: int
    device: int
    medium: str = ""


def controllers_of(vm: VmSpec) -> list[Controller]:
    """The storage controllers that a new VM is to have: at least one that takes a hard disk, and that one first."""
    asked = vm.hardware.storage_controllers or [DEFAULT]
    for each in asked:
        if not _NAME.fullmatch(each.name):
            raise _invalid(f"{each.name!r} is not a valid controller name: use letters, digits, blanks, '.' and '_'")
        if each.type not in CONTROLLERS:
            raise _invalid(f"'{each.type}' is not a controller type: {', '.join(CONTROLLERS)}")
    if all(each.type == "floppy" for each in asked):
        asked = [*asked, DEFAULT]
    return sorted(asked, key=lambda each: bool(each.type == "floppy"))


def add_controllers(manage: VBoxManage, uuid: str, vm: VmSpec) -> None:
    """Makes them."""
    for each in controllers_of(vm):
        ports = ["--portcount", str(each.port_count)] if each.type in WITH_PORTS else []
        manage.change(uuid, "storagectl", "--name", each.name, "--add", each.type, *ports, "--hostiocache", "on")


def make_own(
    manage: VBoxManage, place: DriverFolders, folder: VirtualBoxVmFolder, vm: VmSpec, left: Left
) -> ImageManifest | None:
    """The VM's own disk, of its full size: the image's content, or nothing yet. Returns the image."""
    image = find(place, vm)
    size_mb = vm.disk_gb * MB_PER_GB
    if image is None:
        manage.run("createmedium", "disk", "--filename", str(folder.disk), "--size", str(size_mb), timeout=left())
    else:
        copy = convert if image.manifest.format == "raw" else clone
        copy(manage, image.path(image.manifest.disk), folder.disk, left)
        # In bytes, as VBoxManage takes many times a disk's size in megabytes for a mistake. The same size is no change.
        size_bytes = str(vm.disk_gb * GB)
        manage.run("modifymedium", "disk", str(folder.disk), "--resizebyte", size_bytes, timeout=left())
    if find(place, vm) != image:
        raise DriverFailure(f"the image of VM '{vm.name}' was replaced meanwhile: try again", code="image_changed")
    fasten(manage, folder.uuid, DiskSlot(controllers_of(vm)[0].name, 0, 0), "hdd", str(folder.disk))
    return image.manifest if image is not None else None


def clone(manage: VBoxManage, source: Path, disk: Path, left: Left) -> None:
    """Copies a disk of any format that VirtualBox knows into a VDI."""
    try:
        # Another VM may be made of the same image now, and its clone end with that one's source closed under ours.
        manage.unlocked("clonemedium", "disk", str(source), str(disk), "--format", "VDI", timeout=left())
    finally:
        forget(manage, source)


def convert(manage: VBoxManage, source: Path, disk: Path, left: Left) -> None:
    """Makes a VDI of a disk that is nothing but its bytes, which VirtualBox takes for no medium."""
    limits = ProcessLimits(cpu_seconds=CONVERT_SECONDS, file_bytes=2 * source.stat().st_size + SPARE_BYTES)
    manage.alone("convertfromraw", str(source), str(disk), "--format", "VDI", timeout=left(), limits=limits)


def forget(manage: VBoxManage, medium: Path) -> None:
    """VirtualBox need not know that medium any more; it does if something uses it, and whatever that is, ends later."""
    try:
        manage.run("closemedium", "disk", str(medium))
    except VBoxManageError as refused:
        if refused.reason not in (NOT_FOUND, IN_USE, LOCKED, FILE_ERROR):
            raise


def fasten(manage: VBoxManage, uuid: str, place: DiskSlot, kind: str, medium: str) -> None:
    """Puts a medium ("none" for none) in a place."""
    where = ["--storagectl", place.controller, "--port", str(place.port), "--device", str(place.device)]
    manage.change(uuid, "storageattach", *where, "--type", TYPES[kind], "--medium", medium)


def places(info: Mapping[str, str]) -> list[DiskSlot]:
    """Every place of every controller."""
    names = [value for key, value in info.items() if re.fullmatch(r"storagecontrollername\d+", key)]
    return [
        DiskSlot(name, int(found["port"]), int(found["device"]), "" if value in EMPTY else value)
        for name in names
        for key, value in info.items()
        if (found := re.fullmatch(rf"{re.escape(name)}-(?P<port>\d+)-(?P<device>\d+)", key))
    ]


def kind_of(info: Mapping[str, str], place: DiskSlot) -> str:
    """Which drive is in a place: "hdd" or "dvd"."""
    return "dvd" if f"{place.controller}-IsEjected-{place.port}-{place.device}" in info else "hdd"


def _invalid(message: str) -> DriverFailure:
    return DriverFailure(message, code="invalid_request")
