"""Network adapters: what QEMU has of those there are, and the cable, which can be pulled while a VM runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.drivers import nics
from agent.drivers.groups.hardware import Adapter
from agent.drivers.limits import Left
from agent.drivers.qemu import daemon
from agent.drivers.qemu.folder import Folder, Machine, State
from agent.drivers.qemu.qmp import Monitor
from agent.network.network import on_bridge
from core.contract.errors import DriverFailure, Unsupported
from core.contract.images import Manifest
from core.contract.messages import VmSpec

DEVICES = {
    "82540EM": "e1000",
    "82545EM": "e1000-82545em",
    "Am79C970A": "pcnet",
    "Am79C973": "pcnet",
    "virtio": "virtio-net-pci",
}
CABLE_SECONDS = 10.0


def asked(vm: VmSpec, image: Manifest | None) -> list[Adapter]:
    """Those that a new VM is to have. Debian's cloud kernels drive virtio alone, so their VMs have no other."""
    found = nics.asked(vm)
    if image is not None and "-cloud-" in str(image.facts.get("kernel", "")):
        found = [replace(each, type="virtio") for each in found]
    for each in found:
        _check(vm, each)
    return found


def of(state: State) -> list[Adapter]:
    """Those that a VM has, by slot."""
    if state.adapters is not None:
        return state.adapters
    mac = nics.mac_address(state.spec, 0)
    return [replace(nics.first(state.spec), mac_address=mac)]


def mode_of_first(state: State) -> str:
    """What the adapter that forwards lead to is on."""
    return nics.at(of(state), 0).mode


def change(folder: Folder, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
    """Makes it like that. It is remembered last: what was cut off is done once more."""
    state, on = folder.state(), daemon.alive(folder.path) is not None
    if adapter.enabled and adapter.mode != "none":
        _check(vm, adapter)
    after = nics.changed(vm, of(state), adapter, on=on)
    if after != of(state):
        if on:
            with Monitor(folder.path, left()) as monitor:
                _set_cable(monitor, nics.at(after, adapter.slot))
        elif state.resume is not None:
            raise DriverFailure(
                f"VM '{vm.name}' goes on from a saved memory at its next start: start and stop it first",
                code="invalid_state",
            )
        folder.change(adapters=after, machine=state.machine and replace(state.machine, adapters=after))
    return nics.at(after, adapter.slot)


def pull_cables(folder: Folder, machine: Machine) -> None:
    """Makes the cables of a machine that was just launched what they are to be."""
    pulled = [each for each in machine.adapters or [] if not each.cable_connected]
    if pulled:
        with Monitor(folder.path, CABLE_SECONDS) as monitor:
            for each in pulled:
                _set_cable(monitor, each)


def command(machine: Machine, netdevs: Mapping[int, str], *, first: bool) -> list[str]:
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


def _check(vm: VmSpec, adapter: Adapter) -> None:
    nics.check(adapter)
    if adapter.type not in DEVICES:
        raise Unsupported(f"QEMU has no adapter of type '{adapter.type}': {', '.join(DEVICES)}")
    placed = adapter.slot == 0 and on_bridge(vm)
    modes = ("none", "null", "bridged" if placed else "nat")
    if adapter.mode not in modes:
        raise Unsupported(
            f"adapter {adapter.slot} of VM '{vm.name}' can't have mode '{adapter.mode}' with QEMU, only one of "
            f"{', '.join(modes)}: a VM's first adapter is on a bridge if its network_config says so when it is made"
        )
    if placed and adapter.mode == "bridged" and adapter.network not in (None, vm.network["bridge"]):
        raise Unsupported(f"VM '{vm.name}' has its address on bridge '{vm.network['bridge']}', and on no other")
    mac = adapter.mac_address
    if adapter.slot == 0 and mac is not None and mac.lower() != nics.mac_address(vm, 0).lower():
        raise Unsupported(f"the MAC address of VM '{vm.name}' is {nics.mac_address(vm, 0)} and can't be changed")
