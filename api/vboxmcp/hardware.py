"""The hardware of a VM as VirtualBox would list it: as its host last reported it, else as it was requested."""

from __future__ import annotations

from dataclasses import replace

from api.shared.hardware import adapter_body
from core.contract.messages import JSON
from core.contract.vms import Adapter, AdapterWish, Controller, Disk
from core.services.listing import VmWithStatus
from core.units import GB

_CONTROLLER = Controller("SATA Controller", "sata", 4)
_ADAPTER = AdapterWish(adapter_type="virtio")


def controllers_of(view: VmWithStatus) -> list[JSON]:
    """The storage controllers with what is attached to each."""
    wanted = view.vm.hardware.storage_controllers or [_CONTROLLER]
    disks = view.vm.hardware.disks or [_own(view, wanted)]
    if view.usage is not None:
        used = int(view.usage.disk_gb * GB)
        disks = [replace(disk, used_bytes=used) if disk.own else disk for disk in disks]
    return [
        {**vars(controller), "attachments": [disk for disk in disks if disk.controller == controller.name]}
        for controller in wanted
    ]


def adapters_of(view: VmWithStatus) -> list[JSON]:
    """The network adapters by slot; the VM's address is the first one's."""
    told = view.vm.hardware.adapters
    return [adapter_body(adapter) for adapter in (_asked(view) if told is None else told)]


def _own(view: VmWithStatus, controllers: list[Controller]) -> Disk:
    """The VM's own disk, where drivers put it: on the first controller that takes one."""
    fit = next((each for each in controllers if each.type != "floppy"), controllers[0])
    medium, size_bytes = f"{view.vm.id}/disk", view.vm.disk_gb * GB
    return Disk(fit.name, 0, 0, "hdd", medium, size_bytes, used_bytes=None, format="", own=True)


def _asked(view: VmWithStatus) -> list[Adapter]:
    wanted = view.vm.hardware.network or {"adapter1": _ADAPTER}
    return [
        Adapter(
            slot=int(name.removeprefix("adapter")) - 1,
            enabled=adapter.enabled,
            mode=adapter.type,
            type=adapter.adapter_type,
            cable_connected=adapter.cable_connected,
            mac_address=view.vm.network.mac_address if position == 0 else None,
            network=adapter.bridge_adapter,
        )
        for position, (name, adapter) in enumerate(sorted(wanted.items()))
    ]
