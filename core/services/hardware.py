"""Disks and network adapters of VMs: changed by their hosts, and remembered as those have told them last."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from core.contract.commands import AdapterSet, DiskAttach, DiskDetach, Params
from core.contract.results import Told
from core.models import Vm
from core.services import media, operations, rules, vms
from core.services.accepted import Accepted
from core.services.context import Actor

PORTS, DEVICES, SLOTS = (0, 29), (0, 1), (0, 7)
DISK_GB = (1, 2048)
ADAPTER_TYPES = ("Am79C970A", "Am79C973", "82540EM", "82543GC", "82545EM", "virtio")
MODES = ("none", "null", "nat", "natnetwork", "bridged", "intnet", "hostonly", "generic")
DISK_TYPES = ("hdd", "dvd")


def attach(session: Session, actor: Actor, ref: str, request: DiskAttach) -> Accepted:
    """Attach a medium; the room of one that is to be made is counted now."""
    vm = _to_change(session, actor, ref, "disks")
    return operations.begin(session, actor, vm, media.reserve(session, vm, request))


def detach(session: Session, actor: Actor, ref: str, controller: str, port: int, device: int) -> Accepted:
    """Empty a place, unless it is empty."""
    return _begin(session, actor, ref, "disks", DiskDetach(controller, port, device))


def set_adapter(session: Session, actor: Actor, ref: str, changes: AdapterSet) -> Accepted:
    """Change what is named of an adapter."""
    return _begin(session, actor, ref, "adapters", changes)


def told(vm: Vm, result: Told) -> None:
    """Take over what the host says that the VM has."""
    news = {name: found for name in ("disks", "adapters") if (found := getattr(result, name)) is not None}
    if news:
        vm.hardware = replace(vm.hardware, **news)


def _begin(session: Session, actor: Actor, ref: str, capability: str, params: Params) -> Accepted:
    return operations.begin(session, actor, _to_change(session, actor, ref, capability), params)


def _to_change(session: Session, actor: Actor, ref: str, capability: str) -> Vm:
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, capability)
    return vm
