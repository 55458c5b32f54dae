"""Disks and network adapters of VMs: changed by their hosts, and stored as the hosts last reported them."""

from __future__ import annotations

from dataclasses import replace

from msgspec import UNSET
from sqlalchemy.orm import Session

from core.contract.commands import AdapterSet, DiskAttach, DiskDetach, Params
from core.contract.networks import JOINS_NOTHING, joined
from core.contract.results import HardwareResult
from core.models import Host, Vm
from core.services import joining, media, operations, rules, vms
from core.services.accepted import Accepted
from core.services.context import Actor

PORTS, DEVICES, SLOTS = (0, 29), (0, 1), (0, 7)
DISK_GB = (1, 2048)


def attach(session: Session, actor: Actor, ref: str, request: DiskAttach) -> Accepted:
    """Attach a medium; the room of one that is to be made is counted now."""
    vm, _ = _to_change(session, actor, ref, "disks")
    return operations.begin(session, actor, vm, media.reserve(session, vm, request))


def detach(session: Session, actor: Actor, ref: str, controller: str, port: int, device: int) -> Accepted:
    """Empty a place, unless it is empty."""
    return _begin(session, actor, ref, "disks", DiskDetach(controller, port, device))


def set_adapter(session: Session, actor: Actor, ref: str, changes: AdapterSet) -> Accepted:
    """Change what is named of an adapter."""
    vm, host = _to_change(session, actor, ref, "adapters")
    _must_be_open(vm, host, changes)
    return operations.begin(session, actor, vm, changes)


def apply_result(vm: Vm, result: HardwareResult) -> None:
    """Take over what the host says that the VM has."""
    news = {name: found for name in ("disks", "adapters") if (found := getattr(result, name)) is not None}
    if news:
        vm.hardware = replace(vm.hardware, **news)


def _begin(session: Session, actor: Actor, ref: str, capability: str, params: Params) -> Accepted:
    vm, _ = _to_change(session, actor, ref, capability)
    return operations.begin(session, actor, vm, params)


def _must_be_open(vm: Vm, host: Host, changes: AdapterSet) -> None:
    """What the adapter is to join, as far as that is known here; a driver with other modes says so itself."""
    now = next((each for each in vm.hardware.adapters or [] if each.slot == changes.slot), None)
    mode = (now.mode if now else None) if changes.mode is UNSET else changes.mode
    network = (now.network if now and now.mode == mode else None) if changes.network is UNSET else changes.network
    if changes.enabled is False or mode is None or vm.hypervisor in JOINS_NOTHING:
        return
    joins = joined(mode, network)
    if joins is not None and joining.closed(host, vm.hypervisor, [joins]):
        raise joining.refused("mode" if changes.network is UNSET else "bridge_adapter", joins, [host])


def _to_change(session: Session, actor: Actor, ref: str, capability: str) -> tuple[Vm, Host]:
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, capability)
    return vm, host
