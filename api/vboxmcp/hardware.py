"""The hardware of a VM as VirtualBox would list it."""

from __future__ import annotations

from core.contract.messages import JSON
from core.models import Vm
from core.services.listing import VmView

_CONTROLLER = {"name": "SATA Controller", "type": "sata", "port_count": 4}
_ADAPTER = {"enabled": True, "type": "nat", "adapter_type": "82540EM", "cable_connected": True}
_SPEED_MBPS = 1000


def controllers_of(view: VmView) -> list[JSON]:
    """The storage controllers; the VM's disk is on the first."""
    wanted: list[JSON] = view.vm.hardware.get("storage_controllers") or [_CONTROLLER]
    first, *others = [{**controller, "attachments": []} for controller in wanted]
    return [first | {"attachments": [_disk(view.vm)]}, *others]


def adapters_of(view: VmView) -> list[JSON]:
    """The network adapters by slot; the VM's address is the first one's."""
    wanted: JSON = view.vm.hardware.get("network") or {"adapter1": _ADAPTER}
    mac: str | None = view.vm.network.get("mac_address")
    return [
        _adapter(int(name.removeprefix("adapter")) - 1, wanted[name], mac if position == 0 else None)
        for position, name in enumerate(sorted(wanted))
    ]


def _disk(vm: Vm) -> JSON:
    return {"port": 0, "device": 0, "type": "hdd", "medium": f"{vm.id}/disk", "size_gb": vm.disk_gb, "used_gb": None}


def _adapter(slot: int, adapter: JSON, mac: str | None) -> JSON:
    return {
        "slot": slot,
        "enabled": adapter["enabled"],
        "type": adapter["adapter_type"],
        "mac_address": mac.replace(":", "").upper() if mac else None,
        "cable_connected": adapter["cable_connected"],
        "speed_mbps": _SPEED_MBPS,
        "mode": adapter["type"],
    }
