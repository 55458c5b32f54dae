"""Network adapters: VBoxManage's options for them, and how VBoxManage lists them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from agent.drivers import nics
from agent.drivers.virtualbox import states
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.networks import joined
from core.contract.states import Observed
from core.contract.vms import Adapter, AdapterWish

COUNT = 8  # of a machine with the PIIX3 chipset
_NETWORKS = {  # the option that names what an adapter is on, and where `showvminfo` tells it
    "bridged": ("--bridge-adapter", "bridgeadapter"),
    "hostonly": ("--host-only-adapter", "hostonlyadapter"),
    "intnet": ("--intnet", "intnet"),
    "natnetwork": ("--nat-network", "nat-network"),
    "generic": ("--nic-generic-drv", "generic"),
}
_LISTS = {"bridged": "bridgedifs", "hostonly": "hostonlyifs"}
_NAME = re.compile(r"[^\W_](?:[\w.:@ ()#-]{0,126}[\w)])?")
_MAC = re.compile(r"[0-9A-Fa-f][02468ACEace][0-9A-Fa-f]{10}")


def wanted(vm: VmSpec) -> list[Adapter]:
    """The adapters that a new VM is to have; the VM's own address is the first one's."""
    asked = vm.hardware.network or {"adapter1": AdapterWish(adapter_type="virtio")}
    mac = vm.network.mac_address
    return [
        Adapter(
            slot=nics.slot_of(name),
            enabled=adapter.enabled,
            mode=adapter.type,
            type=adapter.adapter_type,
            cable_connected=adapter.cable_connected,
            mac_address=mac if mac and position == 0 else None,
            network=adapter.bridge_adapter,
        )
        for position, (name, adapter) in enumerate(sorted(asked.items()))
    ]


def options(manage: VBoxManage, adapter: Adapter, joinable: Collection[str]) -> list[str]:
    """For `modifyvm`; `DriverFailure` with code "invalid_request" for what can't be.

    `joinable`: the networks that an adapter may be on beside NAT, each as "mode:name".
    """
    number = str(adapter.slot + 1)
    _check(adapter)
    if not adapter.enabled:
        return [f"--nic{number}", "none"]
    found = [f"--nic{number}", adapter.mode, f"--nic-type{number}", adapter.type]
    found += [f"--cable-connected{number}", "on" if adapter.cable_connected else "off"]
    if adapter.mode in _NETWORKS:
        found += [f"{_NETWORKS[adapter.mode][0]}{number}", _network(manage, adapter, joinable)]
    if adapter.mode == "nat":  # which VirtualBox 7 does by itself, for VMs that it made
        found += [f"--nat-localhostreachable{number}", "off"]
    if adapter.mac_address is not None:
        found += [f"--mac-address{number}", adapter.mac_address.replace(":", "").upper()]
    return found


def change(
    manage: VBoxManage, uuid: str, info: Mapping[str, str], adapter: Adapter, joinable: Collection[str]
) -> Adapter:
    """Makes the adapter like that, and tells how it is. A running VM's can be put elsewhere, but stays what it is."""
    if states.observed(info.get("VMState", "")) in (Observed.RUNNING, Observed.PAUSED):
        now = next((each for each in parse(info) if each.slot == adapter.slot), None)
        _refuse_new_hardware(now, adapter)
        for order in _live(manage, adapter, joinable):
            manage.change(uuid, "controlvm", *order)
    else:
        manage.change(uuid, "modifyvm", *options(manage, adapter, joinable))
    after = parse(manage.info(uuid) or {})
    return next((each for each in after if each.slot == adapter.slot), replace(adapter, enabled=False, mode="none"))


def _refuse_new_hardware(now: Adapter | None, adapter: Adapter) -> None:
    if (
        now is None
        or not adapter.enabled
        or now.type != adapter.type
        or adapter.mac_address not in (None, now.mac_address)
    ):
        raise DriverFailure(
            f"only the network and cable_connected of adapter {adapter.slot} can be changed while the VM is running; "
            "stop it first",
            code="invalid_state",
        )


def _live(manage: VBoxManage, adapter: Adapter, joinable: Collection[str]) -> list[list[str]]:
    number = str(adapter.slot + 1)
    _check(adapter)
    network = [_network(manage, adapter, joinable)] if adapter.mode in _NETWORKS else []
    cable = "on" if adapter.cable_connected else "off"
    return [[f"nic{number}", adapter.mode, *network], [f"setlinkstate{number}", cable]]


def must_be_joinable(info: Mapping[str, str], joinable: Collection[str]) -> None:
    """`DriverFailure` for a VM with an adapter on a network that it may not be on, or no longer."""
    for each in parse(info):
        if each.mode in _NETWORKS:
            _refuse_unless_joinable(each.slot, each.mode, each.network or "", joinable)


def parse(info: Mapping[str, str]) -> list[Adapter]:
    """The adapters that a VM has, by slot."""
    return [_told(info, slot) for slot in range(COUNT) if info.get(f"nic{slot + 1}", "none") != "none"]


def _told(info: Mapping[str, str], slot: int) -> Adapter:
    number = str(slot + 1)
    mode = info[f"nic{number}"]
    name = _NETWORKS[mode][1] if mode in _NETWORKS else ""
    return Adapter(
        slot=slot,
        enabled=True,
        mode=mode,
        type=info.get(f"nictype{number}", ""),
        cable_connected=info.get(f"cableconnected{number}", "on") == "on",
        mac_address=info.get(f"macaddress{number}"),
        network=info.get(f"{name}{number}"),
    )


def _check(adapter: Adapter) -> None:
    nics.check_words(adapter)
    if adapter.network is not None and not _NAME.fullmatch(adapter.network):
        raise _invalid(f"{adapter.network!r} is not a valid network or interface name")
    if adapter.mac_address is not None and not _MAC.fullmatch(adapter.mac_address.replace(":", "")):
        raise _invalid(f"'{adapter.mac_address}' is not a unicast MAC address such as 08:00:27:12:34:56")


def _network(manage: VBoxManage, adapter: Adapter, joinable: Collection[str]) -> str:
    """What it is to be on. VBoxManage only warns of an interface that isn't there, and the VM would not start."""
    name = (joined(adapter.mode, adapter.network) or "").partition(":")[2] or None
    _refuse_unless_joinable(adapter.slot, adapter.mode, name or "", joinable)
    there = _interfaces(manage, adapter.mode) if adapter.mode in _LISTS else None
    if name is None or (there is not None and name not in there):
        known = ", ".join(there or []) or "none"
        raise _invalid(f"mode '{adapter.mode}' needs the name of an interface of this host: {known}")
    return name


def _refuse_unless_joinable(slot: int, mode: str, name: str, joinable: Collection[str]) -> None:
    if f"{mode}:{name}" in joinable:
        return
    open_ones = ", ".join(f"'{each}'" for each in sorted(joinable)) or "none"
    raise _invalid(
        f"adapter {slot} may not join '{mode}:{name}': the host's operator allows NAT and what"
        " CORRAL_VBOX_NETWORKS lists, "
        f"which is {open_ones}"
    )


def _interfaces(manage: VBoxManage, mode: str) -> list[str]:
    lines = manage.run("list", _LISTS[mode]).splitlines()
    return [line.removeprefix("Name:").strip() for line in lines if line.startswith("Name:")]


def _invalid(message: str) -> DriverFailure:
    return DriverFailure(message, code="invalid_request")
