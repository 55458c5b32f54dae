"""Media beside a VM's own disk: all on one virtio SCSI controller, where they can be hotplugged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from agent.drivers import places
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local import media as local
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.drivers.local.handing import Handing
from agent.drivers.places import AttachedMedium
from agent.drivers.qemu.qmp import Monitor, QmpError
from agent.guest.disks import Judge, by_serial
from agent.media.media import MediaFolders
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import Disk

CONTROLLER = "scsi0"
FORMATS = ("raw", "qcow2", "vdi", "vmdk")


def attach(folder: LocalVmFolder, media: MediaFolders, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
    """At once, running or not."""
    state = folder.state()
    on = daemon.alive(folder.path) is not None
    _check_machine(state, vm, on=on)
    medium = local.take(folder, state, media, vm, request, FORMATS, left, lock)

    def plug() -> None:
        with Monitor(folder.path, left()) as monitor:
            _plug(monitor, vm, medium)

    return local.attach(folder, medium, plug if on else None)


def detach(folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
    """At once, running or not."""

    def unplug(number: int) -> None:
        with Monitor(folder.path, left()) as monitor:
            _unplug(monitor, number)

    local.detach(folder, vm, place, unplug)


def command(state: LocalVmRecord, media: MediaFolders, vm: VmSpec, handing: Handing) -> list[str]:
    """QEMU's options for the controller and what is attached; `DriverFailure` for what can't be used any more."""
    # One queue: left to QEMU there would be as many as processors, and a memory fits only the machine it was taken on.
    options = ["-device", f"virtio-scsi-pci,id={CONTROLLER},num_queues=1"]
    local.must_be_usable(media, vm, state.media)
    for medium in state.media:
        number = places.number_of(vm, *medium.place)
        device = ",".join(f"{name}={value}" for name, value in _device(number, medium).items() if name != "driver")
        node = json.dumps(_node(number, medium))
        for flags in _ways_to_open(medium):
            options += ["-add-fd", f"fd={handing.file(Path(medium.path), flags)},set={_set(number)}"]
        options += ["-blockdev", node, "-device", f"{_device(number, medium)['driver']},{device}"]
    return options


def known_by(vm: VmSpec, disk: Disk) -> Judge:
    """By its serial number, which is its name."""
    return by_serial(_name(places.number_of(vm, disk.controller, disk.port, disk.device)))


def _check_machine(state: LocalVmRecord, vm: VmSpec, *, on: bool) -> None:
    local.check_resuming(state, vm)
    if on and (state.machine is None or not state.machine.scsi):
        raise DriverFailure(
            f"VM '{vm.name}' was started by an older release: stop and start it first", code="invalid_state"
        )


def _node(number: int, medium: AttachedMedium) -> dict[str, Any]:
    node: dict[str, Any] = {
        "driver": medium.format,
        "node-name": _node_name(number),
        "read-only": medium.type == "dvd",
        "file": {"driver": "file", "filename": f"/dev/fdset/{_set(number)}"},
    }
    if medium.type == "hdd":
        node["discard"] = "unmap"
    if medium.format in ("qcow2", "vmdk"):
        node["backing"] = None
    return node


def _device(number: int, medium: AttachedMedium) -> dict[str, Any]:
    driver = "scsi-cd" if medium.type == "dvd" else "scsi-hd"
    where = {"bus": f"{CONTROLLER}.0", "scsi-id": number // 2, "lun": number % 2}
    return {"driver": driver, "id": _name(number), "serial": _name(number), "drive": _node_name(number), **where}


def _plug(monitor: Monitor, vm: VmSpec, medium: AttachedMedium) -> None:
    number = places.number_of(vm, *medium.place)
    if _is_plugged(monitor, number):
        return
    _forget(monitor, number)
    for flags in _ways_to_open(medium):
        monitor.add_to_set(_set(number), Path(medium.path), flags)
    try:
        monitor.ask("blockdev-add", **_node(number, medium))
        monitor.ask("device_add", **_device(number, medium))
    except QmpError:
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
    if any(each["fdset-id"] == _set(number) for each in monitor.ask("query-fdsets")):
        monitor.ask("remove-fd", fdset_id=_set(number))


def _is_plugged(monitor: Monitor, number: int) -> bool:
    devices = monitor.ask("qom-list", path="/machine/peripheral")
    return any(device["name"] == _name(number) for device in devices)


def _set(number: int) -> int:
    """The set of open files by which QEMU has a medium, as the paths to it are closed to QEMU."""
    return number + 1


def _ways_to_open(medium: AttachedMedium) -> list[int]:
    """QEMU takes the file of a set that is open as it would have opened it."""
    return [os.O_RDONLY] if medium.type == "dvd" else [os.O_RDWR, os.O_RDONLY]


def _name(number: int) -> str:
    return f"medium{number}"


def _node_name(number: int) -> str:
    return f"file{number}"
