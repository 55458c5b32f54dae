"""VMs: read, created and changed. A change is an operation; its work is done by the VM's host."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.commands import Create, Delete, Params, Pause, Restart, Resume, Save, Start, Stop
from core.contract.errors import Conflict, Invalid
from core.contract.images import ImageManifest
from core.contract.messages import Failure
from core.contract.states import LIVE, DesiredState, Kind, Observed, OperationState, RestartPolicy, VmStatus
from core.contract.vms import Hardware, Placement, VmNetwork
from core.database import violates
from core.models import Host, Operation, Vm
from core.models.base import new_id, now
from core.placement import Demand, HostChoice, Room, Verdict
from core.services import arrivals, bridges, events, hosts, joining, lookup, media, operations, placing, rules
from core.services.accepted import Accepted, AnyOperation, Existing
from core.services.bridges import Wish
from core.services.context import Actor
from core.services.status import status_of

DEFAULT_DISK_GB = 10
SLOWEST_PULL = 1 << 20  # bytes a second of an image on its way to a host, which a create waits for
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
RESERVED = frozenset({"all"})  # of a scan's target


@dataclass(frozen=True)
class VmRequest:
    """The request for a new VM. `hypervisors` in order of preference; `host` pins one.

    `disk_gb` None: as large as its image, if that is larger than the default; `disk_field`: what the caller calls it.
    `content`: the fleet's image of that name, if it has one.
    """

    name: str
    os_type: str
    vcpus: int
    memory_mb: int
    disk_gb: int | None
    image: str
    hypervisors: tuple[str, ...]
    host: str | None = None
    disk_field: str = "disk_gb"
    network: VmNetwork = field(default_factory=VmNetwork)
    hardware: Hardware = field(default_factory=Hardware)
    expires_at: datetime | None = None
    placement: Placement = field(default_factory=Placement)
    content: ImageManifest | None = None
    restart_policy: str = RestartPolicy.NONE
    or_existing: bool = False


def create(session: Session, actor: Actor, request: VmRequest) -> Accepted:
    """A new VM on the best host with room, its size reserved there; `NoCapacity`, `Conflict`, `Invalid`.

    With `or_existing` the create of the caller's VM that has that name, if there is one.
    """
    actor.must_write()
    check_name(request.name)
    if request.or_existing and (found := _existing(session, actor.user_id, request.name)) is not None:
        return found
    free_name(session, actor.user_id, request.name)
    demand, wish = _needs(session, request)
    choice = placing.reserve(session, actor.user_id, demand, wish)
    vm_id = new_id("vm")
    network = bridges.joined(session, choice.host, wish, request.network, vm_id)
    vm = Vm(
        id=vm_id,
        name=request.name,
        owner_id=actor.user_id,
        hypervisor=choice.hypervisor,
        host_name=choice.host,
        os_type=request.os_type,
        image=request.image,
        image_digest=choice.digest or hosts.image_digest(session, choice.host, request.image),
        vcpus=request.vcpus,
        memory_mb=request.memory_mb,
        disk_gb=demand.size.disk_gb,
        placement=request.placement,
        network=network,
        hardware=request.hardware,
        wanted=DesiredState.STOPPED,
        reserved=True,
        held_vcpus=request.vcpus,
        held_memory_mb=request.memory_mb,
        expires_at=request.expires_at,
        restart_policy=request.restart_policy,
    )
    session.add(vm)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_vms_owner_id_name"):
            raise taken(request.name) from None
        if violates(error, "uq_vms_host_name_address"):
            raise bridges.taken(network) from None
        raise
    return operations.begin(session, actor, vm, Create(), longer_seconds=pull_seconds(request.content, choice))


def pull_seconds(content: ImageManifest | None, choice: HostChoice) -> float:
    """How much longer a create may take there, as the host lacks that image."""
    return content.size_bytes / SLOWEST_PULL if content is not None and choice.pulls else 0.0


def explain(session: Session, actor: Actor, request: VmRequest) -> list[Verdict]:
    """Of each host, the best first, whether `create` would place such a VM there, and why not; nothing is made."""
    return placing.verdicts(session, actor.user_id, *_needs(session, request))


def _needs(session: Session, request: VmRequest) -> tuple[Demand, Wish]:
    """What a new VM needs of a host; `Invalid` where no host could ever have it."""
    size = Room(request.vcpus, request.memory_mb, _disk_gb(session, request))
    joins = joining.asked(request.hardware)
    joining.must_be_open(session, request.hypervisors, request.host, joins)
    demand = Demand(
        request.hypervisors,
        request.image,
        size,
        request.host,
        joins=tuple(joins.values()),
        placement=request.placement,
        content=request.content,
    )
    return demand, bridges.wish(session, request.network)


def start(session: Session, actor: Actor, ref: str, *, gui: bool = False) -> Accepted:
    """Run a stopped VM; the operation succeeds once the guest can be used. `gui`: with a window, if it can have one."""
    vm, host = to_change(session, actor, ref)
    rules.may_start(vm)
    rules.must_let_start(vm, host)
    return begin(session, actor, vm, Start(gui=gui), wanted=DesiredState.RUNNING)


def stop(session: Session, actor: Actor, ref: str, *, grace_seconds: float, force: bool) -> Accepted:
    """Ask the guest to stop, and cut the power after the grace; at once with `force`."""
    vm, _ = to_change(session, actor, ref)
    rules.may_stop(vm)
    return begin(session, actor, vm, Stop(0.0 if force else grace_seconds, force), wanted=DesiredState.STOPPED)


def restart(session: Session, actor: Actor, ref: str, *, grace_seconds: float = 30, force: bool = False) -> Accepted:
    """Stop as `stop` does, then start."""
    vm, _ = to_change(session, actor, ref)
    rules.may_stop(vm)
    return begin(session, actor, vm, Restart(0.0 if force else grace_seconds, force), wanted=DesiredState.RUNNING)


def pause(session: Session, actor: Actor, ref: str) -> Accepted:
    """Have a running VM stand still, its memory kept."""
    vm, host = to_change(session, actor, ref)
    rules.may_pause(vm)
    rules.must_support(vm, host, "pause")
    return begin(session, actor, vm, Pause(), wanted=DesiredState.PAUSED)


def resume(session: Session, actor: Actor, ref: str) -> Accepted:
    """Have a paused VM go on."""
    vm, host = to_change(session, actor, ref)
    rules.may_resume(vm)
    rules.must_support(vm, host, "pause")
    return begin(session, actor, vm, Resume(), wanted=DesiredState.RUNNING)


def save(session: Session, actor: Actor, ref: str) -> Accepted:
    """Put a VM's memory away and have it off; the next start goes on from there."""
    vm, host = to_change(session, actor, ref)
    rules.may_stop(vm)
    rules.must_support(vm, host, "saved_states")
    return begin(session, actor, vm, Save(), wanted=DesiredState.STOPPED)


def delete(session: Session, actor: Actor, ref: str, *, delete_disks: bool = False) -> Accepted:
    """Remove a VM with all it has. Accepted in every state: it ends what is under way, and wins.

    Its extra disks stay as their owner's, detached, or go too with `delete_disks`.
    """
    actor.must_write()
    vm = lookup.vm(session, actor, ref, lock=True)
    other = operations.live_of(session, vm)
    if other is not None and other.kind == Kind.DELETE:
        return Accepted.of(other)
    if other is not None:
        superseded = Failure("superseded", "the VM was deleted meanwhile")
        operations.complete(other, OperationState.CANCELLED, failure=superseded)
        operations.tell(session, vm, other)
        operations.send_cancel(session, other)
        media.not_attached(session, other)
        if other.kind == Kind.MOVE:
            arrivals.undo(session, vm, other)
        session.flush()
    return begin(session, actor, vm, Delete(delete_disks=delete_disks), wanted=DesiredState.DELETED)


def to_change(session: Session, actor: Actor, ref: str) -> tuple[Vm, Host]:
    """The VM, locked, and its host: the caller may change it, nothing else is under way, the host is online."""
    actor.must_write()
    vm, host, other = lookup.to_change(session, actor, ref)
    if other is not None:
        raise operations.busy(vm, other)
    if vm.wanted == DesiredState.DELETED:
        raise Conflict(f"VM '{vm.name}' is being deleted; delete it again if that failed", code="invalid_state")
    rules.must_be_reachable(vm, host)
    return vm, host


def begin(session: Session, actor: Actor, vm: Vm, params: Params, *, wanted: DesiredState) -> Accepted:
    """Accept an operation that moves the VM towards `wanted`, with the change of status that users see."""
    before = status_of(vm, None)
    operation = operations.begin(session, actor, vm, params, wanted=wanted)
    status_changed(session, vm, before, status_of(vm, operation), operation)
    return operation


def status_changed(
    session: Session, vm: Vm, before: VmStatus, after: VmStatus, operation: AnyOperation | None = None
) -> None:
    """The event that a VM's status has changed, if it has."""
    if before != after:
        why = {} if vm.observed_reason is None else {"reason": vm.observed_reason}
        events.of_vm(session, "status_change", vm, {"old_status": before, "new_status": after, **why}, operation)


def check_name(name: str) -> None:
    """`Invalid` for what can't be a VM's name."""
    if not NAME.fullmatch(name):
        raise Invalid(
            "a VM's name must have 1 to 63 letters, digits, '.', '_' or '-', and begin with a letter or digit",
            field="name",
        )
    if name in RESERVED:
        raise Invalid(f"the name '{name}' is reserved: it means every VM", field="name")


def _existing(session: Session, owner_id: str, name: str) -> Existing | None:
    """Of two who ask for one name at once, the second finds what the first has begun."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{owner_id}/{name}", 0))))
    made = (
        select(Operation)
        .join(Vm, Vm.id == Operation.vm_id)
        .where(Vm.owner_id == owner_id, Vm.name == name, Vm.deleted_at.is_(None), Vm.wanted != DesiredState.DELETED)
        .where(Operation.kind == Kind.CREATE, Operation.state.in_((*LIVE, OperationState.SUCCEEDED)))
    )
    found = session.scalar(made)
    return None if found is None else Existing.of(found)


def free_name(session: Session, owner_id: str, name: str) -> None:
    """Raise `Conflict` for a name in use; one that only a failed create holds is free again."""
    holder = session.scalar(
        select(Vm).where(Vm.owner_id == owner_id, Vm.name == name, Vm.deleted_at.is_(None)).with_for_update()
    )
    if holder is None:
        return
    failed = not holder.reserved and holder.observed in (None, Observed.ABSENT)
    if not failed or operations.live_of(session, holder) is not None:
        raise taken(name)
    holder.deleted_at = now()
    session.flush()


def _disk_gb(session: Session, request: VmRequest) -> int:
    """The size of the disk: what was asked for if the image fits into it, else what it needs."""
    own = hosts.image_size_gb(session, request.image, request.host)
    least = own if request.content is None else request.content.disk_size_gb
    if request.disk_gb is None:
        return max(DEFAULT_DISK_GB, least)
    if request.disk_gb < least:
        raise Invalid(
            f"{request.disk_field} is {request.disk_gb}, but image '{request.image}' needs at least {least}",
            field=request.disk_field,
        )
    return request.disk_gb


def taken(name: str) -> Conflict:
    """The error for a name in use."""
    return Conflict(f"VM '{name}' already exists", vm=name)
