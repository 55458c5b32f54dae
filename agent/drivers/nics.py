"""A VM's network adapters, for drivers that keep their own records of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from agent.network.network import on_bridge
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.vms import ADAPTER_MODES, ADAPTER_TYPES, Adapter

COUNT = 8
MAC_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def first(vm: VmSpec) -> Adapter:
    """The adapter of a VM for which none was asked: as fast as can be, where the control plane has put the VM."""
    return _placed(vm, Adapter(0, type="virtio"))


def asked(vm: VmSpec) -> list[Adapter]:
    """Those that a new VM is to have, by slot."""
    wanted = vm.hardware.network
    if not wanted:
        return changed(vm, [], first(vm), on=False)
    found: list[Adapter] = []
    for name, adapter in sorted(wanted.items()):
        each = Adapter(
            slot=slot_of(name),
            enabled=adapter.enabled,
            mode=adapter.type,
            type=adapter.adapter_type,
            cable_connected=adapter.cable_connected,
            network=adapter.bridge_adapter,
        )
        found = changed(vm, found, _placed(vm, each), on=False)
    return found


def changed(vm: VmSpec, now: list[Adapter], wanted: Adapter, *, on: bool) -> list[Adapter]:
    """The adapters once one of them is as wanted: one that is off is none. `on`: only its cable may change now."""
    check(wanted)
    before = next((each for each in now if each.slot == wanted.slot), None)
    after = _complete(vm, before, wanted) if wanted.enabled and wanted.mode != "none" else None
    recabled = replace(before, cable_connected=after.cable_connected) if before and after else before
    if on and recabled != after:
        raise DriverFailure(
            f"only cable_connected of adapter {wanted.slot} can be changed while VM '{vm.name}' is running: "
            "stop it first",
            code="invalid_state",
        )
    others = [each for each in now if each.slot != wanted.slot]
    return sorted([*others, *([after] if after else [])], key=lambda each: each.slot)


def at(adapters: list[Adapter], slot: int) -> Adapter:
    """The adapter in a slot; one that is off where there is none."""
    return next((each for each in adapters if each.slot == slot), Adapter(slot, enabled=False, mode="none"))


def check(adapter: Adapter) -> None:
    """`DriverFailure` for what no VM can have."""
    check_words(adapter)
    mac = adapter.mac_address
    if mac is not None and (not MAC_ADDRESS.fullmatch(mac) or int(mac[:2], 16) & 1):
        raise _invalid(f"'{mac}' is not a unicast MAC address such as 52:54:00:12:34:56")


def check_words(adapter: Adapter) -> None:
    """`DriverFailure` for a slot, a mode or a type that there is not."""
    if not 0 <= adapter.slot < COUNT:
        raise _invalid(f"there is no adapter slot {adapter.slot}: slots are 0 to {COUNT - 1}")
    if adapter.mode not in ADAPTER_MODES:
        raise _invalid(f"'{adapter.mode}' is not an adapter mode: {', '.join(ADAPTER_MODES)}")
    if adapter.type not in ADAPTER_TYPES:
        raise _invalid(f"'{adapter.type}' is not an adapter type: {', '.join(ADAPTER_TYPES)}")


def mac_address(vm: VmSpec, slot: int) -> str:
    """The address that the control plane gave the VM, or one that it has in that slot at each start."""
    if slot == 0 and vm.network.mac_address:
        return vm.network.mac_address
    # In QEMU's own range.
    digest = hashlib.sha256(f"{vm.id} {slot}".encode() if slot else vm.id.encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def first_mac_address(vm: VmSpec) -> str:
    """That of the first adapter, which goes into a command; `DriverFailure` for what is no address."""
    mac = mac_address(vm, 0)
    if not MAC_ADDRESS.fullmatch(mac):
        raise DriverFailure(f"'{mac}' is not a MAC address like 52:54:00:12:34:56", code="invalid_request")
    return mac


def _placed(vm: VmSpec, adapter: Adapter) -> Adapter:
    """Behind a new VM's first adapter is the network that the control plane chose for the VM."""
    if adapter.slot == 0 and adapter.mode == "nat" and on_bridge(vm):
        return replace(adapter, mode="bridged", network=vm.network.bridge)
    return adapter


def _complete(vm: VmSpec, before: Adapter | None, wanted: Adapter) -> Adapter:
    mac = wanted.mac_address or (before.mac_address if before else None) or mac_address(vm, wanted.slot)
    network = wanted.network
    if network is None and before is not None and before.mode == wanted.mode:
        network = before.network
    return replace(wanted, mac_address=mac, network=network)


def slot_of(name: str) -> int:
    """The number of `adapter1` to `adapter8`, from 0."""
    number = name.removeprefix("adapter")
    if not re.fullmatch("[1-8]", number):
        raise _invalid(f"'{name}' is not adapter1 to adapter{COUNT}")
    return int(number) - 1


def _invalid(message: str) -> DriverFailure:
    return DriverFailure(message, code="invalid_request")
