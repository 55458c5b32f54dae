"""Media beside a VM's own disk: all on one virtio SCSI controller, to which they can be plugged while the VM runs.

QEMU opens each by the format that was found when it was attached, and nothing that its header names: a guest could
write the header of another format to a raw disk, and have QEMU open any file of the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent import process
from agent.drivers import places
from agent.drivers.groups.hardware import Disk, DiskRequest
from agent.drivers.limits import Left
from agent.drivers.places import Medium
from agent.drivers.qemu import daemon, disks
from agent.drivers.qemu.folder import STATE, Folder, State
from agent.drivers.qemu.qmp import Monitor, Refused
from agent.media import Media
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec

CONTROLLER = "scsi0"
SECONDS = 60.0


def listed(folder: Folder) -> list[Disk]:
    """The VM's own disk, and what is attached."""
    state = folder.state()
    size, used = disks.size_and_use(folder, state.disk)
    top = str(folder.layers / state.disk)
    own = Disk(*places.own_place(state.spec), "hdd", top, size, used, "qcow2", own=True)
    return [own, *(medium.disk() for medium in state.media)]


def attach(folder: Folder, media: Media, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
    """Remembered first, then plugged in if the VM runs; done again it finds what is there."""
    state = folder.state()
    on = daemon.alive(folder.path) is not None
    _check_machine(state, vm, on=on)

    def make(path: Path, kind: str, size_bytes: int) -> None:
        create = ["qemu-img", "create", "-q", "-f", kind, str(path), str(size_bytes)]
        process.run(create, min(SECONDS, left()), holding=(lock,))

    medium = places.take(media, state.media, _elsewhere(folder), vm, request, make, _measure)
    new = medium not in state.media
    if new:
        folder.change(media=[*state.media, medium])
    if on:
        try:
            with Monitor(folder.path, left()) as monitor:
                _plug(monitor, vm, medium)
        except DriverFailure:
            if new:
                folder.change(media=state.media)
            raise
    return medium.disk()


def detach(folder: Folder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
    """Unplugged, then forgotten; done again it finds what is left to do."""
    state = folder.state()
    after = places.without(vm, state.media, place)
    if daemon.alive(folder.path) is not None:
        with Monitor(folder.path, left()) as monitor:
            _unplug(monitor, places.number_of(vm, *place))
    if after != state.media:
        folder.change(media=after)


def command(state: State, media: Media, vm: VmSpec) -> list[str]:
    """QEMU's options for the controller and what is attached; `DriverFailure` for what can't be used any more."""
    # One queue: left to QEMU there would be as many as processors, and a memory fits only the machine it was taken on.
    options = ["-device", f"virtio-scsi-pci,id={CONTROLLER},num_queues=1"]
    for medium in state.media:
        _must_be_usable(media, vm, medium)
        number = places.number_of(vm, *medium.place)
        device = ",".join(f"{name}={value}" for name, value in _device(number, medium).items() if name != "driver")
        node = json.dumps(_node(number, medium))
        options += ["-blockdev", node, "-device", f"{_device(number, medium)['driver']},{device}"]
    return options


def check_memory(state: State) -> None:
    """A memory belongs to a machine, and what is attached to that is no part of a snapshot."""
    if state.media:
        names = ", ".join(Path(medium.path).name for medium in state.media)
        raise DriverFailure(
            f"a snapshot with memory is of the VM's own disk alone, and {names} is attached: detach it, or leave the "
            "memory out",
            code="invalid_state",
        )


def _check_machine(state: State, vm: VmSpec, *, on: bool) -> None:
    if on and (state.machine is None or not state.machine.scsi):
        why = "was started by an older release: stop and start it first"
    elif not on and state.resume is not None:
        why = "goes on from a saved memory at its next start: start and stop it first"
    else:
        return
    raise DriverFailure(f"VM '{vm.name}' {why}", code="invalid_state")


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


def _must_be_usable(media: Media, vm: VmSpec, medium: Medium) -> None:
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


def _node(number: int, medium: Medium) -> dict[str, Any]:
    node: dict[str, Any] = {
        "driver": medium.format,
        "node-name": _node_name(number),
        "read-only": medium.type == "dvd",
        "file": {"driver": "file", "filename": medium.path},
    }
    if medium.type == "hdd":
        node["discard"] = "unmap"
    if medium.format in ("qcow2", "vmdk"):
        node["backing"] = None
    return node


def _device(number: int, medium: Medium) -> dict[str, Any]:
    driver = "scsi-cd" if medium.type == "dvd" else "scsi-hd"
    where = {"bus": f"{CONTROLLER}.0", "scsi-id": number // 2, "lun": number % 2}
    return {"driver": driver, "id": _name(number), "drive": _node_name(number), **where}


def _plug(monitor: Monitor, vm: VmSpec, medium: Medium) -> None:
    number = places.number_of(vm, *medium.place)
    if _is_plugged(monitor, number):
        return
    _forget(monitor, number)
    monitor.ask("blockdev-add", **_node(number, medium))
    try:
        monitor.ask("device_add", **_device(number, medium))
    except Refused:
        _forget(monitor, number)
        raise


def _unplug(monitor: Monitor, number: int) -> None:
    if _is_plugged(monitor, number):
        monitor.ask("device_del", id=_name(number))
        monitor.hear("DEVICE_DELETED", device=_name(number))
    _forget(monitor, number)


def _forget(monitor: Monitor, number: int) -> None:
    """What a device had, or one that could not be plugged."""
    if any(node["node-name"] == _node_name(number) for node in monitor.ask("query-named-block-nodes", flat=True)):
        monitor.ask("blockdev-del", node_name=_node_name(number))


def _is_plugged(monitor: Monitor, number: int) -> bool:
    devices = monitor.ask("qom-list", path="/machine/peripheral")
    return any(device["name"] == _name(number) for device in devices)


def _name(number: int) -> str:
    return f"medium{number}"


def _node_name(number: int) -> str:
    return f"file{number}"
