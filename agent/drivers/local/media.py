"""Media beside a VM's own disk: which may be attached, and which are.

Each is opened by the format of its record, and nothing that its header names: a guest could write the header of another
format to a raw disk, and have its hypervisor open any file of the host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from agent.drivers import places
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.limits import Left
from agent.drivers.local import daemon, disks
from agent.drivers.local.folder import STATE, LocalVmFolder, LocalVmRecord
from agent.drivers.places import AttachedMedium, Engine
from agent.media.media import MediaFolders
from agent.system import process
from core.contract import diskformats
from core.contract.errors import DriverFailure
from core.contract.limits import ProcessLimits
from core.contract.messages import VmSpec
from core.contract.vms import Disk

SECONDS = 60.0


def listed(folder: LocalVmFolder) -> list[Disk]:
    """The VM's own disk, and what is attached."""
    state = folder.state()
    size, used = disks.size_and_use(folder, state.disk)
    kind = disks.format_of(state.disk, state.image)
    own = Disk(*places.own_place(state.spec), "hdd", state.disk, size, used, kind, own=True)
    return [own, *(medium.disk() for medium in state.media)]


def take(
    folder: LocalVmFolder,
    state: LocalVmRecord,
    media: MediaFolders,
    vm: VmSpec,
    request: DiskRequest,
    formats: Collection[str],
    left: Left,
    lock: int,
) -> AttachedMedium:
    """The medium that is meant, which may be attached to this VM; made if it was to be. `formats`: those there are."""

    def make(path: Path, kind: str, size_bytes: int) -> None:
        create = ["qemu-img", "create", "-q", "-f", kind, str(path), str(size_bytes)]
        limits = ProcessLimits(file_bytes=2 * size_bytes)
        process.run(create, min(SECONDS, left()), holding=(lock,), limits=limits)

    engine = Engine(formats, make, diskformats.size_of)
    return places.take(media, state.media, _elsewhere(folder), vm, request, engine)


def attach(folder: LocalVmFolder, medium: AttachedMedium, plug: Callable[[], None] | None) -> Disk:
    """Remembered first, then plugged in if the VM runs; done again it finds what is there."""
    state = folder.state()
    new = medium not in state.media
    if new:
        folder.change(media=[*state.media, medium])
    if plug is not None:
        try:
            plug()
        except DriverFailure:
            if new:
                folder.change(media=state.media)
            raise
    return medium.disk()


def detach(folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], unplug: Callable[[int], None]) -> None:
    """Unplugged if the VM runs, by the number of its place, then forgotten; done again it finds what is left to do."""
    state = folder.state()
    after = places.without(vm, state.media, place)
    if daemon.alive(folder.path) is not None:
        unplug(places.number_of(vm, *place))
    if after != state.media:
        folder.change(media=after)


def check_memory(state: LocalVmRecord) -> None:
    """A memory belongs to a machine, and what is attached to that is no part of a snapshot."""
    if state.media:
        names = ", ".join(medium.called for medium in state.media)
        raise DriverFailure(
            f"a snapshot with memory covers only the VM's own disk: detach {names}, or take the snapshot without "
            "memory",
            code="invalid_state",
        )


def check_resuming(state: LocalVmRecord, vm: VmSpec) -> None:
    """A memory that waits for its start fits only the machine that it was taken on."""
    if state.resume is not None:
        raise DriverFailure(
            f"VM '{vm.name}' has a saved state: start it, then stop it",
            code="invalid_state",
        )


def must_be_usable(media: MediaFolders, vm: VmSpec, attached: Collection[AttachedMedium]) -> None:
    """`DriverFailure` names the first that can't be used any more."""
    for medium in attached:
        try:
            media.must_be_usable(medium.path, vm, dvd=medium.type == "dvd")
        except DriverFailure as error:
            raise DriverFailure(
                f"{error.message}; detach it from VM '{vm.name}', or put it back", code=error.code
            ) from None


def _elsewhere(folder: LocalVmFolder) -> Iterator[str]:
    """The paths of the disks that other VMs of this host have."""
    for path in folder.path.parent.glob(f"[!.]*/{STATE}"):
        if path.parent != folder.path:
            with suppress(DriverFailure):  # a damaged VM can't be started
                state = LocalVmFolder(path.parent).read()
                yield from (each.path for each in (state.media if state else []) if each.type == "hdd")
