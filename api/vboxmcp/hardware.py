"""The hardware of a VM as VirtualBox would list it: what its host told last, else what was asked for."""

from __future__ import annotations

from api.shared.hardware import adapter_told
from core.contract.messages import JSON
from core.services.listing import VmView

_CONTROLLER = {"name": "SATA Controller", "type": "sata", "port_count": 4}
_ADAPTER = {"enabled": True, "type": "nat", "adapter_type": "virtio", "cable_connected": True}
_GIGABYTE = 2**30


def controllers_of(view: VmView) -> list[JSON]:
    """The storage controllers with what is attached to each."""
    wanted: list[JSON] = view.vm.hardware.get("storage_controllers") or [_CONTROLLER]
    disks: list[JSON] = view.vm.hardware.get("disks") or [_own(view, wanted)]
    if view.usage is not None:
        used = int(view.usage.disk_gb * _GIGABYTE)
        disks = [disk | {"used_bytes": used} if disk["own"] else disk for disk in disks]
    return [
        {**controller, "attachments": [disk for disk in disks if disk["controller"] == controller["name"]]}
        for controller in wanted
    ]


def adapters_of(view: VmView) -> list[JSON]:
    """The network adapters by slot; the VM's address is the first one's."""
    told: list[JSON] | None = view.vm.hardware.get("adapters")
    return [adapter_told(adapter) for adapter in (_asked(view) if told is None else told)]


def _own(view: VmView, controllers: list[JSON]) -> JSON:
    """The VM's own disk, where drivers put it: on the first controller that takes one."""
    fit = next((each for each in controllers if each["type"] != "floppy"), controllers[0])
    return {
        "controller": fit["name"],
        "port": 0,
        "device": 0,
        "type": "hdd",
        "medium": f"{view.vm.id}/disk",
        "size_bytes": view.vm.disk_gb * _GIGABYTE,
        "used_bytes": None,
        "own": True,
    }


def _asked(view: VmView) -> list[JSON]:
    wanted: JSON = view.vm.hardware.get("network") or {"adapter1": _ADAPTER}
    mac: str | None = view.vm.network.get("mac_address")
    return [
        {
            "slot": int(name.removeprefix("adapter")) - 1,
            "enabled": adapter["enabled"],
            "type": adapter["adapter_type"],
            "mac_address": mac if position == 0 else None,
            "cable_connected": adapter["cable_connected"],
            "mode": adapter["type"],
            "network": adapter.get("bridge_adapter"),
        }
        for position, (name, adapter) in enumerate(sorted(wanted.items()))
    ]
