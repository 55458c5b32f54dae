"""The places on a VM's controllers and the media there, for drivers that keep their own records of both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.capabilities.hardware import DiskRequest
from agent.media.media import MediaFolders, UsableMedium
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import VmSpec
from core.contract.vms import DISK_TYPES, Controller, Disk

DEFAULT = Controller("SATA Controller", "sata", 4)
MOST_PORTS = 31
SECTOR = 512  # the unit of st_blocks, whatever the file system's own is


@dataclass(frozen=True)
class Engine:
    """The disk functions of a hypervisor. `formats`: those that it has.

    `make`: an empty disk, by its path, format and size in bytes. `measure`: the size in bytes of a medium of that
    format; `Invalid` when it is no whole one.
    """

    formats: Collection[str]
    make: Callable[[Path, str, int], None]
    measure: Callable[[Path, str], int]


@dataclass(frozen=True)
class AttachedMedium:
    """A medium in its place: `path` is real, and `format` is that of the medium's record.

    `name` is what its owner calls it; empty in what older releases have kept.
    """

    controller: str
    port: int
    device: int
    type: str
    path: str
    format: str
    size_bytes: int
    name: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it is."""
        return self.controller, self.port, self.device

    def disk(self) -> Disk:
        """As drivers tell it."""
        used = used_bytes(Path(self.path))
        return Disk(*self.place, self.type, self.called, self.size_bytes, used, self.format, own=False)

    @property
    def called(self) -> str:
        """Its name, which is no path of the host's."""
        return self.name or Path(self.path).name


def controllers_of(vm: VmSpec) -> list[Controller]:
    """Those asked for, the first that takes a hard disk before the others; one if none was."""
    asked = vm.hardware.storage_controllers or [DEFAULT]
    if all(each.type == "floppy" for each in asked):
        asked = [*asked, DEFAULT]
    return sorted(asked, key=lambda each: each.type == "floppy")


def own_place(vm: VmSpec) -> tuple[str, int, int]:
    """Where the VM's own disk is."""
    return controllers_of(vm)[0].name, 0, 0


def number_of(vm: VmSpec, controller: str, port: int, device: int) -> int:
    """A number for each place of a VM; `DriverFailure` names the controllers there are."""
    known = controllers_of(vm)
    for position, each in enumerate(known):
        devices = 2 if each.type == "ide" else 1
        if each.name == controller and 0 <= port < each.port_count and 0 <= device < devices:
            return (position * MOST_PORTS + port) * 2 + device
    there = ", ".join(f"'{each.name}' with ports 0 to {each.port_count - 1}" for each in known)
    raise invalid(f"the VM has no place {port}:{device} on a controller '{controller}'; it has {there}")


def take(
    media: MediaFolders,
    attached: list[AttachedMedium],
    elsewhere: Iterable[str],
    vm: VmSpec,
    request: DiskRequest,
    engine: Engine,
) -> AttachedMedium:
    """The medium that a request means, now its owner's if it is a disk, and made if it was to be.

    One that is in that place already is returned as it is. `elsewhere`: the paths of the disks that other VMs have.
    """
    if request.type not in DISK_TYPES:
        raise invalid(f"'{request.type}' is not a disk type: {', '.join(DISK_TYPES)}")
    place = (request.controller, request.port, request.device)
    number_of(vm, *place)
    if place == own_place(vm) or any(_is_another(there, place, request) for there in attached):
        _must_be_empty(vm, attached, place)
    makes = request.type == "hdd" and request.create_if_missing and not media.is_there(request.medium, vm)
    if makes:
        _must_be_empty(vm, attached, place)
        found = make(media, vm, request, engine)
    else:
        found = media.dvd(request.medium) if request.type == "dvd" else media.disk(request.medium, vm)
    for there in attached:
        if there.place == place and (there.path, there.type) == (str(found.path), request.type):
            return there
    _must_be_empty(vm, attached, place)
    if request.type == "hdd" and str(found.path) in {*elsewhere, *(there.path for there in attached)}:
        raise DriverFailure(f"medium '{found.name}' is attached to a VM already: detach it first", code="disk_in_use")
    return AttachedMedium(*place, request.type, str(found.path), found.format, measured(found, engine), found.name)


def make(media: MediaFolders, vm: VmSpec, request: DiskRequest, engine: Engine) -> UsableMedium:
    """A new, empty disk of the VM's owner; nothing of it stays when it can't be made."""
    if request.size_gb is None or request.size_gb < 1:
        raise invalid(f"medium '{request.medium}' needs a size_gb of at least 1 to be created")
    found = media.reserve(request.medium, vm, request.medium_id)
    try:
        must_have(engine, found)
        engine.make(found.path, found.format, request.size_gb << 30)
        found.path.chmod(0o600)
    except BaseException:
        media.disclaim(found)
        raise
    return found


def measured(found: UsableMedium, engine: Engine) -> int:
    """The size in bytes of a medium, of a format that the hypervisor has."""
    must_have(engine, found)
    try:
        return engine.measure(found.path, found.format)
    except Invalid as error:
        raise invalid(f"medium '{found.name}' can't be used: {error.message}") from None


def must_have(engine: Engine, found: UsableMedium) -> None:
    """That the hypervisor has disks of that format."""
    if found.format not in engine.formats:
        raise invalid(
            f"medium '{found.name}' has format {found.format}, but this VM's hypervisor opens only "
            f"{', '.join(sorted(engine.formats))}; a new disk gets the format that its name ends in"
        )


def without(vm: VmSpec, attached: list[AttachedMedium], place: tuple[str, int, int]) -> list[AttachedMedium]:
    """What is attached once a place is empty; not the VM's own, which stays."""
    number_of(vm, *place)
    if place == own_place(vm):
        raise invalid("the VM's own disk is at that place and can't be detached")
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


def _is_another(there: AttachedMedium, place: tuple[str, int, int], request: DiskRequest) -> bool:
    """Whether there is another medium in that place than the one of the request, by its name alone."""
    return there.place == place and Path(there.called).name != Path(request.medium).name


def _must_be_empty(vm: VmSpec, attached: list[AttachedMedium], place: tuple[str, int, int]) -> None:
    there = next((f"'{each.called}'" for each in attached if each.place == place), None)
    if place == own_place(vm):
        there = "the VM's own disk"
    if there is not None:
        controller, port, device = place
        raise DriverFailure(
            f"place {port}:{device} of '{controller}' is taken by {there}: detach that first", code="disk_slot_taken"
        )
