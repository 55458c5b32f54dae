"""Asking a VM's host something at once, without an operation: whether the caller may, and whom to ask."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.contract.messages import VmSpec
from core.models import Host
from core.services import operations, rules, vms
from core.services.context import Actor


def to_guest(session: Session, actor: Actor, ref: str) -> tuple[str, VmSpec]:
    """The host and the VM for a call that acts in the guest, which runs and can be reached."""
    actor.must_write()
    vm = vms.get(session, actor, ref)
    host = session.get_one(Host, vm.host_name)
    rules.must_be_reachable(vm, host)
    rules.must_run(vm)
    rules.must_support(vm, host, "guest")
    return host.name, operations.spec_of(vm)
