"""Media attached to a VM beside its own disk: listed, attached, made if missing, detached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from agent.drivers import places
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.places import Engine
from agent.drivers.virtualbox import disks, output
from agent.drivers.virtualbox.disks import DiskSlot
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.media.media import MediaFolders, UsableMedium
from core.contract import diskformats
from core.contract.diskformats import VDI, VHD, VMDK
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import Disk

FORMATS = (VDI, VMDK, VHD)
_SIZE = re.compile(r"(\d+) MBytes")


def listed(manage: VBoxManage, media: MediaFolders, folder: VirtualBoxVmFolder, info: Mapping[str, str]) -> list[Disk]:
    """What is attached, the VM's own disk first."""
    found = [_disk(manage, media, folder, info, place) for place in disks.places(info) if place.medium]
    return sorted(found, key=lambda disk: not disk.own)


def attach(
    manage: VBoxManage,
    media: MediaFolders,
    folder: VirtualBoxVmFolder,
    vm: VmSpec,
    request: DiskRequest,
    timeout: float,
) -> Disk:
    """Attaches a medium, made before if it is to be; the same again is no change."""
    if request.type not in disks.TYPES:
        raise _invalid(f"'{request.type}' is not a disk type: {', '.join(disks.TYPES)}")
    place = find(info_of(manage, folder), request.controller, request.port, request.device)
    if place.medium and Path(place.medium).name != Path(request.medium).name:
        raise _taken(place)
    found = _medium(manage, media, vm, request, place, timeout)
    if place.medium and Path(place.medium) != found.path:
        raise _taken(place)
    if not place.medium:
        disks.fasten(manage, folder.uuid, place, request.type, str(found.path))
    info = info_of(manage, folder)
    return _disk(manage, media, folder, info, find(info, place.controller, place.port, place.device))


def _medium(
    manage: VBoxManage, media: MediaFolders, vm: VmSpec, request: DiskRequest, place: DiskSlot, timeout: float
) -> UsableMedium:
    """What the request means; its format is what its record says, and VirtualBox is shown none of another."""

    def make(path: Path, kind: str, size_bytes: int) -> None:
        size = str(size_bytes)
        what = ("--filename", str(path), "--sizebyte", size, "--format", kind.upper())
        manage.run("createmedium", "disk", *what, timeout=timeout)

    engine = Engine(FORMATS, make, diskformats.size_of)
    if request.type == "dvd":
        return media.dvd(request.medium)
    if request.create_if_missing and not media.is_there(request.medium, vm):
        if place.medium:
            raise _taken(place)
        return places.make(media, vm, request, engine)
    found = media.disk(request.medium, vm)
    places.measured(found, engine)
    return found


def detach(manage: VBoxManage, folder: VirtualBoxVmFolder, controller: str, port: int, device: int) -> None:
    """Empties a place, unless it is empty."""
    info = info_of(manage, folder)
    place = find(info, controller, port, device)
    if not place.medium:
        return
    if is_own(folder, place):
        raise _invalid(f"{_name(place)} has the VM's own disk, which can't be detached")
    kind = disks.kind_of(info, place)
    disks.fasten(manage, folder.uuid, place, kind, "none")
    if kind == "hdd":
        disks.forget(manage, Path(place.medium))


def info_of(manage: VBoxManage, folder: VirtualBoxVmFolder) -> Mapping[str, str]:
    """What VirtualBox knows of a VM that must be there."""
    folder.record()
    info = manage.info(folder.uuid)
    if info is None:
        raise DriverFailure(f"VM {folder.path.name} is not registered with VirtualBox", code="vm_not_found")
    return info


def find(info: Mapping[str, str], controller: str, port: int, device: int) -> DiskSlot:
    """The place that is meant; `DriverFailure` names the controllers there are."""
    there = disks.places(info)
    for place in there:
        if (place.controller, place.port, place.device) == (controller, port, device):
            return place
    known = ", ".join(f"{each.controller} {each.port}:{each.device}" for each in there)
    raise _invalid(f"the VM has no place {port}:{device} on a controller '{controller}'; it has {known}")


def is_own(folder: VirtualBoxVmFolder, place: DiskSlot) -> bool:
    """Whether a medium goes with the VM."""
    return folder.path in Path(place.medium).parents


def _disk(
    manage: VBoxManage, media: MediaFolders, folder: VirtualBoxVmFolder, info: Mapping[str, str], place: DiskSlot
) -> Disk:
    kind = disks.kind_of(info, place)
    facts = output.parse_item(manage.run("showmediuminfo", "disk" if kind == "hdd" else "dvd", place.medium))
    return Disk(
        place.controller,
        place.port,
        place.device,
        kind,
        media.name_of(Path(place.medium)),
        size_bytes=_bytes(facts.get("Capacity")) or 0,
        used_bytes=_bytes(facts.get("Size on disk")),
        format=facts.get("Storage format", "").lower(),
        own=is_own(folder, place),
    )


def _bytes(text: str | None) -> int | None:
    size = _SIZE.match(text or "")
    return int(size[1]) << 20 if size else None


def _taken(place: DiskSlot) -> DriverFailure:
    return DriverFailure(f"{_name(place)} is taken by another medium: detach that first", code="disk_slot_taken")


def _name(place: DiskSlot) -> str:
    return f"place {place.port}:{place.device} of '{place.controller}'"


def _invalid(message: str) -> DriverFailure:
    return DriverFailure(message, code="invalid_request")
