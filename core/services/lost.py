"""Lost VMs: their host is gone; they are deleted without it, lost with it, and cleaned up when it returns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict
from core.contract.messages import Failure, VmSpec
from core.contract.results import Result
from core.contract.states import LIVE, DesiredState, Kind, OperationState, RestartPolicy, SchedulingState
from core.models import Host, Operation, Vm
from core.models.base import now
from core.services import departures, desired, drains, events, fences, hosts, media, operations, outcomes, vms
from core.services.context import Actor
from core.services.identities import accounts
from core.services.status import status_of

_MOST_PURGED = 100  # at an inventory; the next has the rest


class LeftOnHost(Result, frozen=True):
    """A delete that did not reach its host: the VM is removed there when the host returns."""

    left_on_host: bool


LEFT = LeftOnHost(left_on_host=True)


def remove_host(session: Session, actor: Actor, name: str, *, force: bool = False) -> Host:
    """Give up a host that never comes back; sweeps make its VMs lost, their room free. Its agent is cut off at once.

    `Conflict` while it is there, unless with `force`.
    """
    actor.must_administer()
    drain = drains.live(session, name, lock=True)
    host = hosts.locked(session, name)
    if host.offline_since is None and not force:
        raise Conflict(
            f"host '{name}' is online; stop its agent and wait until the host is offline, or remove it by"
            " force, which cuts the host off from its VMs",
            code="invalid_state",
        )
    if drain is not None:
        drains.end(session, drain, "host_removed", f"host '{name}' was given up")
    host.removed_at, host.problems, host.home_id = now(), {}, ""
    fences.raise_fence(host)  # should it return, it begins with nothing
    host.scheduling_state, host.scheduling_reason = SchedulingState.ACTIVE, ""
    host.scheduling_since = host.scheduling_by = None
    host.offline_since = host.offline_since or now()  # nothing of it is heard any more
    media.host_is_gone(session, name)
    accounts.expel(session, name)
    events.of_host(session, "host_removed", name, {"host": name})
    return host


def bereft(session: Session) -> list[str]:
    """The VMs that `give_up` is for: on a host that was removed or is fenced, or being deleted on an offline one."""
    on_host = select(Vm.id).join(Host, Host.name == Vm.host_name)
    present, removed = Vm.deleted_at.is_(None), Host.removed_at.is_not(None)
    given_up = removed | (Host.scheduling_state == SchedulingState.FENCED)
    deleting = select(Operation.vm_id).where(Operation.state.in_(LIVE), Operation.kind == Kind.DELETE)
    queries = (
        on_host.where(given_up, present, Vm.lost_at.is_(None)),
        on_host.where(removed, Vm.reserved),
        on_host.where(Host.offline_since.is_not(None), present, Vm.id.in_(deleting)),
    )
    return sorted({vm_id for query in queries for vm_id in session.scalars(query)})


def give_up(session: Session, vm_id: str) -> None:
    """End what waits for that VM's host; the VM is deleted then if that is wanted, else lost. For a transaction alone.

    A deleted VM is counted on an offline host until it is known to be gone there; its address is not given away before.
    So is a VM that is lost on a fenced host, where it may be found again.
    """
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    host = session.get_one(Host, vm.host_name, populate_existing=True)
    if vm.deleted_at is None and (host.offline_since is not None or host.removed_at is not None):
        _give_up(session, vm, host)
    if host.removed_at is not None:
        hosts.release(session, vm)


def _give_up(session: Session, vm: Vm, host: Host) -> None:
    live, wanted = operations.live_of(session, vm), DesiredState(vm.wanted)
    before = status_of(vm, live, host)
    if live is not None and (live.kind == Kind.DELETE or _is_given_up(host)):
        _end(session, vm, live, host)
    if vm.wanted == DesiredState.DELETED:
        outcomes.gone(session, vm, live)
        return
    if _is_given_up(host) and vm.lost_at is None:
        vm.lost_at = now()
        if vm.restart_policy == RestartPolicy.ELSEWHERE:
            vm.elsewhere_at = now()
            desired.want(session, vm, wanted)  # elsewhere that may be reached yet
    vms.status_changed(session, vm, before, status_of(vm, None, host), live)


def _is_given_up(host: Host) -> bool:
    return host.removed_at is not None or host.scheduling_state == SchedulingState.FENCED


def _end(session: Session, vm: Vm, live: Operation, host: Host) -> None:
    if live.kind == Kind.DELETE:
        operations.complete(live, OperationState.SUCCEEDED, result=LEFT)
    else:
        fenced = Failure("host_fenced", f"host '{live.host_name}' was fenced")
        removed = Failure("host_removed", f"host '{live.host_name}' was removed from the fleet")
        failure = fenced if host.removed_at is None else removed
        operations.complete(live, OperationState.FAILED, failure=failure)
        outcomes.not_succeeded(session, vm, live)
    operations.tell(session, vm, live)


def returned(session: Session) -> list[str]:
    """The VMs that `find` is for: lost behind a fence that is none any more, and counted on that host still."""
    on_host = select(Vm.id).join(Host, Host.name == Vm.host_name)
    there = (Vm.deleted_at.is_(None), Vm.lost_at.is_not(None), Vm.reserved, Host.removed_at.is_(None))
    return list(session.scalars(on_host.where(*there, Host.scheduling_state != SchedulingState.FENCED).order_by(Vm.id)))


def find(session: Session, vm_id: str) -> None:
    """A lost VM is on its host as before, which will say how it is. For a transaction alone."""
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    host = session.get_one(Host, vm.host_name, populate_existing=True)
    if vm.deleted_at is not None or vm.lost_at is None or not vm.reserved or _is_given_up(host):
        return
    before = status_of(vm, None, host)
    vm.lost_at = vm.elsewhere_at = None
    vms.status_changed(session, vm, before, status_of(vm, None, host))


def leftovers(session: Session, host: str, seen: Collection[str], generation: int) -> list[VmSpec]:
    """Of what a host has, the VMs that the tables know as deleted, lost or elsewhere: nobody's any more."""
    query = select(Vm).where(
        Vm.id.in_(list(seen)),
        Vm.host_name == host,
        Vm.observed_generation < generation,  # else the inventory is older than the delete
        # One that is lost behind a fence is counted there still, and is found once that is none any more.
        Vm.deleted_at.is_not(None) | (Vm.lost_at.is_not(None) & ~Vm.reserved),
    )
    gone = [operations.spec_of(vm) for vm in session.scalars(query.order_by(Vm.id))]
    return [*gone, *departures.left_on(session, host, seen)]


def buried(session: Session, host: str, left: Sequence[VmSpec]) -> list[Vm]:
    """The VMs, locked, that were deleted without their host and are gone there too: to be released."""
    query = select(Vm).where(Vm.host_name == host, Vm.deleted_at.is_not(None), Vm.reserved)
    query = query.where(Vm.id.not_in([vm.id for vm in left])).order_by(Vm.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def purge_all(session: Session, host: str, left: Sequence[VmSpec], generation: int) -> None:
    """Have a host remove what is left there, as its inventory of that generation shows."""
    for vm in left[:_MOST_PURGED]:
        departures.purge(session, host, vm, generation)
