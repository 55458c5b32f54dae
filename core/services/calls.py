"""Calls to a VM's host, without an operation: whether the caller may make one, and to which host it goes."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import NotFound
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.models import Host, Vm
from core.services import lookup, operations, rules
from core.services.context import Actor

_EXEC_ID = re.compile(r"[0-9a-f]{32}")


def exec_id(text: str) -> str:
    """The id of an execution; `NotFound` for what can't be one."""
    if not _EXEC_ID.fullmatch(text):
        raise NotFound(f"execution '{text[:80]}' not found", code="exec_not_found")
    return text


def to_execs(session: Session, actor: Actor, ref: str, *, writes: bool = False) -> tuple[str, VmSpec]:
    """The host and the VM for a call about what was begun in the guest, which need not run any more."""
    if writes:
        actor.must_write()
    vm, host = lookup.placed(session, actor, ref)
    rules.must_be_reachable(vm, host)
    rules.must_exist(vm)
    rules.must_support(vm, host, "execs")
    return host.name, operations.spec_of(vm)


def to_guest(session: Session, actor: Actor, ref: str, capability: str = "guest") -> tuple[str, VmSpec]:
    """The host and the VM for a call that acts in the guest, which runs and can be reached."""
    actor.must_write()
    return _running(session, actor, ref, capability)


def to_files(session: Session, actor: Actor, ref: str, *, changes: bool) -> tuple[str, VmSpec]:
    """The same, for the files in a guest; a read-only caller may read them."""
    if changes:
        actor.must_write()
    return _running(session, actor, ref, "files")


def _running(session: Session, actor: Actor, ref: str, capability: str) -> tuple[str, VmSpec]:
    vm, host = lookup.placed(session, actor, ref)
    rules.must_be_reachable(vm, host)
    rules.must_run(vm)
    rules.must_support(vm, host, capability)
    return host.name, operations.spec_of(vm)


def to_driver(session: Session, actor: Actor, ref: str, capability: str) -> tuple[str, VmSpec]:
    """The host and the VM for a call that changes what its driver keeps of it, running or not."""
    actor.must_write()
    vm, host = lookup.placed(session, actor, ref)
    rules.must_be_reachable(vm, host)
    rules.must_exist(vm)
    rules.must_support(vm, host, capability)
    return host.name, operations.spec_of(vm)


def to_console(session: Session, actor: Actor, ref: str) -> tuple[str, VmSpec]:
    """The host and the VM for a look at its console, running or not; who may only read may look."""
    vm, host = lookup.placed(session, actor, ref)
    rules.must_be_reachable(vm, host)
    return host.name, operations.spec_of(vm)


def consoles(session: Session, actor: Actor, vm_id: str | None, limit: int) -> list[tuple[str, VmSpec]]:
    """The host and the VM of each console that shows something now: of one VM, if the caller's, or of all."""
    live = [Vm.observed.in_((Observed.RUNNING, Observed.PAUSED)), Vm.deleted_at.is_(None), Host.offline_since.is_(None)]
    whose = [] if actor.is_admin and vm_id is not None else [Vm.owner_id == actor.user_id]
    which = [] if vm_id is None else [Vm.id == vm_id]
    query = (
        select(Vm)
        .join(Host, Host.name == Vm.host_name)
        .where(*whose, *which, *live)
        .order_by(Vm.created_at)
        .limit(limit)
    )
    return [(vm.host_name, operations.spec_of(vm)) for vm in session.scalars(query)]


def to_host(session: Session, actor: Actor, ref: str, capability: str) -> tuple[str, VmSpec]:
    """The same for a call that changes nothing, of a VM in any state that its driver has that capability for."""
    vm, host = lookup.placed(session, actor, ref)
    rules.must_exist(vm)
    rules.must_be_reachable(vm, host)
    rules.must_support(vm, host, capability)
    return host.name, operations.spec_of(vm)
