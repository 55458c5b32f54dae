"""Network adapters in QEMU, and the cable, which can be unplugged while a VM runs."""

from __future__ import annotations

from collections.abc import Mapping

from agent.drivers.limits import Left
from agent.drivers.local.adapters import Kinds
from agent.drivers.local.folder import LocalVmFolder, VirtualMachineModel
from agent.drivers.qemu.qmp import Monitor
from core.contract.messages import VmSpec
from core.contract.vms import Adapter

DEVICES = {
    "82540EM": "e1000",
    "82545EM": "e1000-82545em",
    "Am79C970A": "pcnet",
    "Am79C973": "pcnet",
    "virtio": "virtio-net-pci",
}
CABLE_SECONDS = 10.0
KINDS = Kinds("QEMU", tuple(DEVICES))


def change(folder: LocalVmFolder, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
    """Makes it like that; of one of a running VM that is its cable."""

    def plug(_: list[Adapter], after: Adapter) -> None:
        with Monitor(folder.path, left()) as monitor:
            _set_cable(monitor, after)

    return KINDS.change(folder, vm, adapter, plug)


def pull_cables(folder: LocalVmFolder, machine: VirtualMachineModel) -> None:
    """Makes the cables of a machine that was just launched what they are to be."""
    pulled = [each for each in machine.adapters or [] if not each.cable_connected]
    if pulled:
        with Monitor(folder.path, CABLE_SECONDS) as monitor:
            for each in pulled:
                _set_cable(monitor, each)


def command(machine: VirtualMachineModel, netdevs: Mapping[int, str], *, first: bool) -> list[str]:
    """QEMU's options for the first adapter, or for all others: these come last, so that nothing else moves for them."""
    adapters = machine.adapters
    if adapters is None:
        adapters = [Adapter(0, type="virtio", mac_address=machine.mac_address)]
    options: list[str] = []
    for each in adapters:
        if (each.slot == 0) == first:
            back = ["-netdev", netdevs[each.slot]] if each.slot in netdevs else []
            joined = f",netdev={netdev_of(each.slot)}" if back else ""
            device = f"{DEVICES[each.type]},id=nic{each.slot},mac={each.mac_address},romfile={joined}"
            options += [*back, "-device", device]
    return options


def netdev_of(slot: int) -> str:
    """The name of the back end of the adapter in a slot."""
    return f"net{slot}"


def _set_cable(monitor: Monitor, adapter: Adapter) -> None:
    name = netdev_of(adapter.slot) if adapter.mode != "null" else f"nic{adapter.slot}"
    monitor.ask("set_link", name=name, up=adapter.cable_connected)
