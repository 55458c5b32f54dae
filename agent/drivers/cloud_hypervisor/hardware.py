"""Media beside a VM's own disk, which can be attached and detached while it runs."""

from __future__ import annotations

from agent.drivers import places
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.cloud_hypervisor import config
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local import media as local
from agent.drivers.local.folder import LocalVmFolder
from agent.guest.disks import Judge, by_slot
from agent.media.media import MediaFolders
from core.contract.messages import VmSpec
from core.contract.vms import Disk


def attach(folder: LocalVmFolder, media: MediaFolders, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
    """At once, running or not."""
    state = folder.state()
    on = daemon.alive(folder.path) is not None
    if not on:
        local.check_resuming(state, vm)
    medium = local.take(folder, state, media, vm, request, config.IMAGE_TYPES, left, lock)

    def plug() -> None:
        api = CloudHypervisorApi(folder.path, left())
        if config.medium_name(places.number_of(vm, *medium.place)) not in config.names_plugged(api):
            paths = config.lent(folder, vm, [medium])
            api.put("vm.add-disk", config.medium_disk(vm, medium, paths))

    return local.attach(folder, medium, plug if on else None)


def known_by(folder: LocalVmFolder, vm: VmSpec, disk: Disk, timeout: float) -> Judge | None:
    """By the slot that it was plugged into."""
    name = config.medium_name(places.number_of(vm, disk.controller, disk.port, disk.device))
    slot = config.slot_of(CloudHypervisorApi(folder.path, timeout), name)
    return None if slot is None else by_slot(slot)


def detach(folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
    """At once, running or not."""

    def unplug(number: int) -> None:
        api, name = CloudHypervisorApi(folder.path, left()), config.medium_name(number)
        if name in config.names_plugged(api):
            config.unplug(api, folder.path, name, left)

    local.detach(folder, vm, place, unplug)
