"""Media beside a VM's own disk, as its files have them: what may be attached, and what is.

Each is opened by the format that was found when it was attached, and nothing that its header names: a guest could write
the header of another format to a raw disk, and have its hypervisor open any file of the host.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from agent import process
from agent.drivers import places
from agent.drivers.groups.hardware import Disk, DiskRequest
from agent.drivers.limits import Left
from agent.drivers.local import disks
from agent.drivers.local.folder import STATE, Folder, State
from agent.drivers.places import Medium
from agent.media import Media
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec

SECONDS = 60.0


def listed(folder: Folder) -> list[Disk]:
    """The VM's own disk, and what is attached."""
    state = folder.state()
    size, used = disks.size_and_use(folder, state.disk)
    top = folder.layers / state.disk
    kind = disks.format_of(state.disk, state.image)
    own = Disk(*places.own_place(state.spec), "hdd", str(top), size, used, kind, own=True)
    return [own, *(medium.disk() for medium in state.media)]


def take(
    folder: Folder,
    state: State,
    media: Media,
    vm: VmSpec,
    request: DiskRequest,
    formats: Collection[str],
    left: Left,
    lock: int,
) -> Medium:
    """The medium that is meant, which may be attached to this VM; made if it was to be. `formats`: those there are."""

    def known(path: Path, kind: str) -> None:
        if kind not in formats:
            raise places.invalid(
                f"medium '{path.name}' should be of format {kind} by its name, which this VM's hypervisor can't open: "
                f"it has {', '.join(formats)}"
            )

    def make(path: Path, kind: str, size_bytes: int) -> None:
        known(path, kind)
        create = ["qemu-img", "create", "-q", "-f", kind, str(path), str(size_bytes)]
        process.run(create, min(SECONDS, left()), holding=(lock,))

    def measure(path: Path, kind: str) -> int:
        known(path, kind)
        return _measure(path, kind)

    return places.take(media, state.media, _elsewhere(folder), vm, request, make, measure)


def check_memory(state: State) -> None:
    """A memory belongs to a machine, and what is attached to that is no part of a snapshot."""
    if state.media:
        names = ", ".join(Path(medium.path).name for medium in state.media)
        raise DriverFailure(
            f"a snapshot with memory is of the VM's own disk alone, and {names} is attached: detach it, or leave the "
            "memory out",
            code="invalid_state",
        )


def check_resuming(state: State, vm: VmSpec) -> None:
    """A memory that waits for its start fits only the machine that it was taken on."""
    if state.resume is not None:
        raise DriverFailure(
            f"VM '{vm.name}' goes on from a saved memory at its next start: start and stop it first",
            code="invalid_state",
        )


def must_be_usable(media: Media, vm: VmSpec, attached: Collection[Medium]) -> None:
    """`DriverFailure` names the first that can't be used any more."""
    for medium in attached:
        try:
            real = media.find(medium.path)
            if medium.type == "hdd":
                media.claim(real, vm)
        except DriverFailure as error:
            raise DriverFailure(
                f"{error.message}; detach it from VM '{vm.name}', or put it back", code=error.code
            ) from None
        if str(real) != medium.path:
            raise places.invalid(f"medium '{medium.path}' is a link by now: detach it from VM '{vm.name}'")


def _elsewhere(folder: Folder) -> Iterator[str]:
    """The paths of the disks that other VMs of this host have."""
    for path in folder.path.parent.glob(f"[!.]*/{STATE}"):
        if path.parent != folder.path:
            with suppress(DriverFailure):  # a damaged VM can't be started
                state = Folder(path.parent).read()
                yield from (each.path for each in (state.media if state else []) if each.type == "hdd")


def _measure(path: Path, kind: str) -> int:
    """What the disk's size is, if it is of that format and of no other file."""
    try:
        told: JSON = json.loads(process.run(["qemu-img", "info", "-U", "--output=json", str(path)], SECONDS))
    except process.ProgramFailed as error:
        raise places.invalid(f"medium '{path.name}' can't be read: {error.said}") from None
    if told["format"] != kind:
        raise places.invalid(
            f"medium '{path.name}' should be of format {kind} by its name and use, and is {told['format']}"
        )
    inner: JSON = told.get("format-specific", {}).get("data", {})
    others = [told.get("backing-filename"), inner.get("data-file")]
    others += [each["filename"] for each in inner.get("extents", []) if each["filename"] != str(path)]
    if any(others):
        raise places.invalid(f"medium '{path.name}' is made of other files too, which can't be attached")
    return int(told["virtual-size"])
