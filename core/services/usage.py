"""The usage of VMs and hosts that agents last stored in Redis; no host is called for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.orm import Session

from core import bounded
from core.contract import channels
from core.contract.errors import Invalid
from core.contract.hosts import HostUsage
from core.contract.messages import decode
from core.contract.vms import VmUsage
from core.models import Vm
from core.services.context import dispatch_of

FRESH_SECONDS = 20.0
T = TypeVar("T", HostUsage, VmUsage)


def of_vm(session: Session, vm: Vm) -> VmUsage | None:
    """What the VM uses; None when that is not known, or not any more."""
    key = channels.vm_usage(vm.host_name)
    text = dispatch_of(session).glance(lambda redis: bounded.field(redis, key, vm.id))
    return _fresh(VmUsage, text)


def of_machines(session: Session, names: Sequence[str]) -> dict[str, HostUsage]:
    """What the machines of those hosts use, by the host's name; without those that have not said so lately."""
    keys = [channels.usage(name) for name in names]
    told = dispatch_of(session).glance(lambda redis: bounded.read(redis, keys)) if keys else None
    found = zip(names, (_fresh(HostUsage, text) for text in told or ()), strict=False)
    return {name: usage for name, usage in found if usage is not None}


def _fresh(kind: type[T], text: bytes | None) -> T | None:
    if text is None:
        return None
    try:
        usage = decode(kind, text)
    except Invalid:  # of an agent of another release
        return None
    return usage if abs(time.time() - usage.at) <= FRESH_SECONDS else None
