"""Media attached to a VM beside its own disk: listed, attached, made if missing, detached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from agent.drivers.groups.hardware import Disk, DiskRequest
from agent.drivers.virtualbox import disks, output
from agent.drivers.virtualbox.disks import Place
from agent.drivers.virtualbox.folder import Folder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.media import Media
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec

FORMATS = {".vdi": "VDI", ".vmdk": "VMDK", ".vhd": "VHD"}
_SIZE = re.compile(r"(\d+) MBytes")


def listed(manage: VBoxManage, folder: Folder, info: Mapping[str, str]) -> list[Disk]:
    """What is attached, the VM's own disk first."""
    found = [_disk(manage, folder, info, place) for place in disks.places(info) if place.medium]
    return sorted(found, key=lambda disk: not disk.own)


def attach(manage: VBoxManage, media: Media, folder: Folder, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
    """Attaches a medium, made before if it is to be; the same again is no change."""
    if request.type not in disks.TYPES:
        raise _invalid(f"'{request.type}' is not a disk's type: {', '.join(disks.TYPES)}")
    place = find(info_of(manage, folder), request.controller, request.port, request.device)
    real = media.place_for(request.medium) if request.create_if_missing else media.find(request.medium)
    if place.medium and Path(place.medium) != real:
        raise DriverFailure(f"{_name(place)} has {place.medium} already: detach it first", code="disk_slot_taken")
    if not place.medium:
        if request.type == "hdd":
            media.claim(real, vm)
            _make_missing(manage, media, real, request, timeout)
        disks.fasten(manage, folder.uuid, place, request.type, str(real))
    info = info_of(manage, folder)
    return _disk(manage, folder, info, find(info, place.controller, place.port, place.device))


def detach(manage: VBoxManage, folder: Folder, controller: str, port: int, device: int) -> None:
    """Empties a place, unless it is empty."""
    info = info_of(manage, folder)
    place = find(info, controller, port, device)
    if not place.medium:
        return
    if is_own(folder, place):
        raise _invalid(f"{_name(place)} has the VM's own disk, which stays with it")
    kind = disks.kind_of(info, place)
    disks.fasten(manage, folder.uuid, place, kind, "none")
    if kind == "hdd":
        disks.forget(manage, Path(place.medium))


def info_of(manage: VBoxManage, folder: Folder) -> Mapping[str, str]:
    """What VirtualBox knows of a VM that must be there."""
    folder.record()
    info = manage.info(folder.uuid)
    if info is None:
        raise DriverFailure(f"VM {folder.path.name} is not registered with VirtualBox", code="vm_not_found")
    return info


def find(info: Mapping[str, str], controller: str, port: int, device: int) -> Place:
    """The place that is meant; `DriverFailure` names the controllers there are."""
    there = disks.places(info)
    for place in there:
        if (place.controller, place.port, place.device) == (controller, port, device):
            return place
    known = ", ".join(f"{each.controller} {each.port}:{each.device}" for each in there)
    raise _invalid(f"the VM has no place {port}:{device} on a controller '{controller}'; there is {known}")


def is_own(folder: Folder, place: Place) -> bool:
    """Whether a medium goes with the VM."""
    return folder.path in Path(place.medium).parents


def _disk(manage: VBoxManage, folder: Folder, info: Mapping[str, str], place: Place) -> Disk:
    kind = disks.kind_of(info, place)
    facts = output.parse_item(manage.run("showmediuminfo", "disk" if kind == "hdd" else "dvd", place.medium))
    return Disk(
        place.controller,
        place.port,
        place.device,
        kind,
        place.medium,
        size_bytes=_bytes(facts.get("Capacity")) or 0,
        used_bytes=_bytes(facts.get("Size on disk")),
        format=facts.get("Storage format", "").lower(),
        own=is_own(folder, place),
    )


def _make_missing(manage: VBoxManage, media: Media, real: Path, request: DiskRequest, timeout: float) -> None:
    if media.exists(real):
        return
    kind, size_gb = FORMATS.get(real.suffix.lower()), request.size_gb
    try:
        if kind is None:
            raise _invalid(f"'{real.name}' can't be made: its name must end in {', '.join(FORMATS)}")
        if size_gb is None or size_gb < 1:
            raise _invalid(f"'{real.name}' can't be made without a size_gb of at least 1")
        size = str(size_gb * disks.MB_PER_GB)
        manage.run("createmedium", "disk", "--filename", str(real), "--size", size, "--format", kind, timeout=timeout)
    except DriverFailure:
        if not media.exists(real):
            media.disclaim(real)
        raise


def _bytes(text: str | None) -> int | None:
    size = _SIZE.match(text or "")
    return int(size[1]) << 20 if size else None


def _name(place: Place) -> str:
    return f"place {place.port}:{place.device} of '{place.controller}'"


def _invalid(message: str) -> DriverFailure:
    return DriverFailure(message, code="invalid_request")
