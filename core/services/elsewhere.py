"""VMs that are created again on another host when theirs is fenced or removed, by their restart policy.

The same VM by its id and name, from its image as that is there: what was on its disks, and its snapshots, are where it
was. Sweeps drive it, a step a VM at a time: the create where there is room, or another try later, and the start if the
VM was to run. What it has left behind is noted first (`departures`), and its `home` grows, so that nothing that is said
of it, or to it, on its former host is taken for it as it is now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.commands import Create, Start
from core.contract.errors import Conflict, Unfit
from core.contract.images import ImageManifest
from core.contract.states import DesiredState, Observed
from core.contract.vms import VmNetwork
from core.database import violates
from core.models import Host, Snapshot, Vm
from core.models.base import now
from core.placement import Demand, HostChoice, Room
from core.services import bridges, departures, events, forwards, hosts, joining, media, operations, placing, vms
from core.services.audit import records
from core.services.bridges import Wish
from core.services.context import Actor
from core.services.status import status_of

_BATCH = 100
_AGAIN = timedelta(seconds=60)


def due(session: Session) -> list[str]:
    """The VMs whose next step is due, those that have waited longest first."""
    waiting = (Vm.elsewhere_at <= now(), Vm.deleted_at.is_(None), Vm.wanted != DesiredState.DELETED)
    return list(session.scalars(select(Vm.id).where(*waiting).order_by(Vm.elsewhere_at, Vm.id).limit(_BATCH)))


def step(session: Session, vm_id: str, fleet_image: Callable[[str], ImageManifest | None]) -> None:
    """Do a VM's next step, unless it is none any more. For a transaction of its own.

    `fleet_image`: the fleet's image of a name. Any error of placing it: no host can have it now, and `postpone` is to
    follow.
    """
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    if vm.elsewhere_at is None or vm.elsewhere_at > now() or vm.deleted_at is not None:
        return
    if vm.wanted == DesiredState.DELETED or operations.live_of(session, vm) is not None:
        return
    if vm.lost_at is not None or vm.observed in (None, Observed.ABSENT):
        _make(session, vm, fleet_image(vm.image))
    else:
        _made(session, vm)


def postpone(session: Session, vm_id: str, why: str) -> None:
    """Try a VM again in a while, and say why so on it."""
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    if vm.elsewhere_at is not None:
        vm.elsewhere_at, vm.observed_reason = now() + _AGAIN, why


def _make(session: Session, vm: Vm, content: ImageManifest | None) -> None:
    before, former = status_of(vm, None), vm.host_name
    departures.note(session, vm, vm.host_name)
    hosts.release(session, vm)
    _leave_behind(session, vm)
    choice = _place(session, vm, content)
    forwards.follow(session, vm, session.get_one(Host, vm.host_name))
    actor = Actor(vm.owner_id, "", "user")
    longer = vms.pull_seconds(content, choice)
    operation = operations.begin(session, actor, vm, Create(), longer_seconds=longer)
    events.of_vm(session, "vm_made_elsewhere", vm, {"old_host": former, "new_host": vm.host_name}, operation)
    vms.status_changed(session, vm, before, status_of(vm, operation), operation)
    records.write(
        session,
        records.AuditRecord(
            action_type="vm_made_elsewhere",
            resource_type="vm",
            resource_id=vm.name,
            result=records.ACCEPTED,
            request_id="",
            user_id=vm.owner_id,
            details={"operation_id": operation.id, "vm_id": vm.id, "old_host": former, "new_host": vm.host_name},
        ),
    )


def _leave_behind(session: Session, vm: Vm) -> None:
    """What it had there, and what was seen of it there."""
    media.vm_is_gone(session, vm, None)
    session.execute(delete(Snapshot).where(Snapshot.vm_id == vm.id))
    vm.hardware = replace(vm.hardware, disks=None, adapters=None)
    vm.observed, vm.observed_generation, vm.observed_at, vm.observed_reason = None, 0, None, None
    vm.running_vcpus = vm.running_memory_mb = None
    vm.started_at = vm.stopped_at = vm.lost_at = None


def _place(session: Session, vm: Vm, content: ImageManifest | None) -> HostChoice:
    size, joins = Room(vm.vcpus, vm.memory_mb, vm.disk_gb), tuple(joining.asked(vm.hardware).values())
    demand = Demand((vm.hypervisor,), vm.image, size, joins=joins, placement=vm.placement, content=content)
    wished = wish(session, vm)
    choice = placing.reserve(session, vm.owner_id, demand, wished)
    network = bridges.joined(session, choice.host, wished, asked(vm.network), vm.id)
    vm.host_name, vm.hypervisor, vm.home = choice.host, choice.hypervisor, vm.home + 1
    vm.network = network if network.on_bridge else replace(network, mac_address=vm.network.mac_address)
    vm.image_digest = choice.digest or hosts.image_digest(session, choice.host, vm.image)
    vm.reserved, vm.held_vcpus, vm.held_memory_mb = True, vm.vcpus, vm.memory_mb
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_vms_host_name_address"):
            raise bridges.taken(network) from None
        raise
    return choice


def wish(session: Session, vm: Vm) -> Wish:
    """On a bridge of the same name, with the same address where that can be had; on no host that it has just left."""
    network = asked(vm.network)
    try:
        wished = bridges.wish(session, network)
    except (Unfit, Conflict):
        wished = bridges.wish(session, replace(network, ip=None))
    left = dict.fromkeys(departures.hosts_of(session, vm), "has what the VM left there")
    return replace(wished, unfit=wished.unfit | left)


def asked(network: VmNetwork) -> VmNetwork:
    """What was asked for of it, as far as that is known."""
    return VmNetwork(bridge=network.bridge, ip=network.ip)


def _made(session: Session, vm: Vm) -> None:
    """It is there; it runs again if it was to."""
    vm.elsewhere_at = None
    if vm.wanted in (DesiredState.RUNNING, DesiredState.PAUSED) and vm.observed == Observed.STOPPED:
        vms.begin(session, Actor(vm.owner_id, "", "user"), vm, Start(), wanted=DesiredState.RUNNING)
