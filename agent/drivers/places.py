"""Places on a VM's controllers and the media in them, for drivers that keep books of their own about both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.groups.hardware import Disk, DiskRequest
from agent.media import Media
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec

TYPES = ("hdd", "dvd")
DEFAULT = {"name": "SATA Controller", "type": "sata", "port_count": 4}
FORMATS = {".qcow2": "qcow2", ".raw": "raw", ".img": "raw", ".iso": "raw", ".vdi": "vdi", ".vmdk": "vmdk"}
OWN_FORMAT = "qcow2"  # of what has no such ending
MOST_PORTS = 31
SECTOR = 512  # the unit of st_blocks, whatever the file system's own is

Make = Callable[[Path, str, int], None]
"""Makes an empty disk: its path, format and size in bytes."""
Measure = Callable[[Path, str], int]
"""The size in bytes of a medium of that format; `DriverFailure` when it is another one."""


@dataclass(frozen=True)
class Medium:
    """What is attached in a place: `path` is real, and `format` is what it was when it was attached."""

    controller: str
    port: int
    device: int
    type: str
    path: str
    format: str
    size_bytes: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it is."""
        return self.controller, self.port, self.device

    def disk(self) -> Disk:
        """As drivers tell it."""
        return Disk(
            *self.place, self.type, self.path, self.size_bytes, used_bytes(Path(self.path)), self.format, own=False
        )


def controllers_of(vm: VmSpec) -> list[JSON]:
    """Those asked for, the first that takes a hard disk before the others; one if none was."""
    asked: list[JSON] = vm.hardware.get("storage_controllers") or [DEFAULT]
    if all(each.get("type") == "floppy" for each in asked):
        asked = [*asked, DEFAULT]
    return sorted(asked, key=lambda each: bool(each.get("type") == "floppy"))


def own_place(vm: VmSpec) -> tuple[str, int, int]:
    """Where the VM's own disk is."""
    return str(controllers_of(vm)[0]["name"]), 0, 0


def number_of(vm: VmSpec, controller: str, port: int, device: int) -> int:
    """A number for each place of a VM; `DriverFailure` names the controllers there are."""
    known = controllers_of(vm)
    for position, each in enumerate(known):
        devices = 2 if each.get("type") == "ide" else 1
        if each["name"] == controller and 0 <= port < int(each.get("port_count", 4)) and 0 <= device < devices:
            return (position * MOST_PORTS + port) * 2 + device
    there = ", ".join(f"'{each['name']}' with ports 0 to {int(each.get('port_count', 4)) - 1}" for each in known)
    raise invalid(f"the VM has no place {port}:{device} on a controller '{controller}'; there is {there}")


def take(
    media: Media,
    attached: list[Medium],
    elsewhere: Iterable[str],
    vm: VmSpec,
    request: DiskRequest,
    make: Make,
    measure: Measure,
) -> Medium:
    """The medium that a request means, now its owner's if it is a disk, and made if it was to be.

    One that is in that place already is returned as it is. `elsewhere`: the paths of the disks that other VMs have.
    """
    if request.type not in TYPES:
        raise invalid(f"'{request.type}' is not a disk's type: {', '.join(TYPES)}")
    place = (request.controller, request.port, request.device)
    number_of(vm, *place)
    real = media.place_for(request.medium) if request.create_if_missing else media.find(request.medium)
    for there in attached:
        if there.place == place and (there.path, there.type) == (str(real), request.type):
            return there
    _must_be_empty(vm, attached, place)
    if request.type == "dvd":
        return Medium(*place, "dvd", str(real), "raw", measure(media.find(request.medium), "raw"))
    if str(real) in {*elsewhere, *(there.path for there in attached)}:
        raise DriverFailure(f"'{real.name}' is attached to a VM already: detach it there first", code="disk_in_use")
    kind = FORMATS.get(real.suffix.lower(), OWN_FORMAT)
    media.claim(real, vm)
    try:
        if not media.exists(real):
            make(real, kind, _size_bytes(real, request))
    finally:
        if not media.exists(real):
            media.disclaim(real)
    return Medium(*place, "hdd", str(real), kind, measure(real, kind))


def without(vm: VmSpec, attached: list[Medium], place: tuple[str, int, int]) -> list[Medium]:
    """What is attached once a place is empty; not the VM's own, which stays."""
    number_of(vm, *place)
    if place == own_place(vm):
        raise invalid("the VM's own disk is there, which stays with it")
    return [each for each in attached if each.place != place]


def used_bytes(path: Path) -> int | None:
    """What a file takes on the host; None where there is none."""
    try:
        return path.stat().st_blocks * SECTOR
    except OSError:
        return None


def invalid(message: str) -> DriverFailure:
    """What can never be."""
    return DriverFailure(message, code="invalid_request")


def _must_be_empty(vm: VmSpec, attached: list[Medium], place: tuple[str, int, int]) -> None:
    there = next((each.path for each in attached if each.place == place), None)
    if place == own_place(vm):
        there = "the VM's own disk"
    if there is not None:
        controller, port, device = place
        raise DriverFailure(
            f"place {port}:{device} of '{controller}' has {there} already: detach it first", code="disk_slot_taken"
        )


def _size_bytes(real: Path, request: DiskRequest) -> int:
    if request.size_gb is None or request.size_gb < 1:
        raise invalid(f"'{real.name}' can't be made without a size_gb of at least 1")
    return request.size_gb << 30
