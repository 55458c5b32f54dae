"""VMs whose host is gone: deleted without it, lost with it, and what is left of them when it returns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.commands import Delete
from core.contract.errors import Conflict
from core.contract.messages import Failure, VmSpec, command
from core.contract.results import Result
from core.contract.states import LIVE, DesiredState, Kind, OperationState, Standing
from core.database import after_commit
from core.models import Host, Operation, Vm
from core.models.base import now
from core.services import drains, events, hosts, media, operations, outcomes, vms
from core.services.context import Actor, dispatch_of
from core.services.identities import accounts
from core.services.status import status_of

PURGE = "purge-"
"""Begins the id of a command that no operation stands for: see `purge`."""
_PURGE_SECONDS = 3600.0
_MOST_PURGED = 100  # at an inventory; the next has the rest


class LeftOnHost(Result, frozen=True):
    """Of a delete that did not reach its host: what is left there is removed when it returns."""

    left_on_host: bool


LEFT = LeftOnHost(left_on_host=True)


def remove_host(session: Session, actor: Actor, name: str, *, force: bool = False) -> Host:
    """Give up a host that never comes back; sweeps make its VMs lost, their room free. Its agent is cut off at once.

    `Conflict` while it is there, unless with `force`.
    """
    actor.must_administer()
    drain = drains.live(session, name, lock=True)
    host = hosts.locked(session, name)
    if host.silent_since is None and not force:
        raise Conflict(
            f"host '{name}' is online; stop its agent and wait until the host is offline, or remove it by"
            " force, which cuts the host off from its VMs",
            code="invalid_state",
        )
    if drain is not None:
        drains.end(session, drain, "host_removed", f"host '{name}' was given up")
    host.removed_at, host.problems, host.home_id = now(), {}, ""
    host.standing, host.standing_since, host.standing_by, host.standing_reason = Standing.ACTIVE, None, None, ""
    host.silent_since = host.silent_since or now()  # nothing of it is heard any more
    media.host_is_gone(session, name)
    accounts.expel(session, name)
    events.of_host(session, "host_removed", name, {"host": name})
    return host


def bereft(session: Session) -> list[str]:
    """The VMs that `give_up` is for: on a host that was removed, or being deleted on one that is silent."""
    on_host = select(Vm.id).join(Host, Host.name == Vm.host_name)
    present, removed = Vm.deleted_at.is_(None), Host.removed_at.is_not(None)
    deleting = select(Operation.vm_id).where(Operation.state.in_(LIVE), Operation.kind == Kind.DELETE)
    queries = (
        on_host.where(removed, present, Vm.lost_at.is_(None)),
        on_host.where(removed, ~present, Vm.reserved),
        on_host.where(Host.silent_since.is_not(None), present, Vm.id.in_(deleting)),
    )
    return sorted({vm_id for query in queries for vm_id in session.scalars(query)})


def give_up(session: Session, vm_id: str) -> None:
    """End what waits for that VM's host; the VM is deleted then if that is wanted, else lost. For a transaction alone.

    A deleted VM is counted on a silent host until it is known to be gone there: its address is given to nobody before.
    """
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    host = session.get_one(Host, vm.host_name, populate_existing=True)
    if vm.deleted_at is None and (host.silent_since is not None or host.removed_at is not None):
        _give_up(session, vm, host)
    if host.removed_at is not None:
        hosts.release(session, vm)


def _give_up(session: Session, vm: Vm, host: Host) -> None:
    live = operations.live_of(session, vm)
    before = status_of(vm, live, host)
    if live is not None and (live.kind == Kind.DELETE or host.removed_at is not None):
        _end(session, vm, live)
    if vm.wanted == DesiredState.DELETED:
        outcomes.gone(session, vm, live)
        return
    if host.removed_at is not None:
        vm.lost_at = vm.lost_at or now()
    vms.status_changed(session, vm, before, status_of(vm, None, host), live)


def _end(session: Session, vm: Vm, live: Operation) -> None:
    if live.kind == Kind.DELETE:
        operations.complete(live, OperationState.SUCCEEDED, result=LEFT)
    else:
        failure = Failure("host_removed", f"host '{live.host_name}' was removed from the fleet")
        operations.complete(live, OperationState.FAILED, failure=failure)
        outcomes.not_succeeded(session, vm, live)
    operations.tell(session, vm, live)


def leftovers(session: Session, host: str, seen: Iterable[str], generation: int) -> list[Vm]:
    """Of what a host has, the VMs that the tables know as deleted or lost: nobody's any more."""
    query = select(Vm).where(
        Vm.id.in_(list(seen)),
        Vm.host_name == host,
        Vm.observed_generation < generation,  # else the inventory is older than the delete
        Vm.deleted_at.is_not(None) | Vm.lost_at.is_not(None),
    )
    return list(session.scalars(query.order_by(Vm.id)))


def buried(session: Session, host: str, left: Sequence[Vm]) -> list[Vm]:
    """The VMs, locked, that were deleted without their host and are gone there too: to be released."""
    query = select(Vm).where(Vm.host_name == host, Vm.deleted_at.is_not(None), Vm.reserved)
    query = query.where(Vm.id.not_in([vm.id for vm in left])).order_by(Vm.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def purge_all(session: Session, host: str, left: Sequence[Vm], generation: int) -> None:
    """Have a host remove what is left there, as its inventory of that generation shows."""
    for vm in left[:_MOST_PURGED]:
        purge(session, host, operations.spec_of(vm), generation)


def purge(session: Session, host: str, vm: VmSpec, number: object) -> None:
    """Send a delete that no operation stands for. Should it be lost or fail, a later inventory asks for another."""
    operation_id, deadline_at = f"{PURGE}{vm.id}-{number}", time.time() + _PURGE_SECONDS
    delete, dispatch = command(operation_id, 1, vm, Delete(), deadline_at), dispatch_of(session)
    after_commit(session, lambda: dispatch.command(host, delete))
