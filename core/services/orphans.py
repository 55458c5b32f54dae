"""Orphans: VMs on a host that are in no table. An administrator adopts one, or has it removed."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.described import DescribeReply
from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.database import violates
from core.models import Host, User, Vm
from core.models.base import now
from core.placement import Room
from core.services import addresses, bridges, departures, desired, events, hosts, vms
from core.services.context import Actor


def page(session: Session, actor: Actor, host_name: str, limit: int | None, offset: int) -> tuple[list[str], int]:
    """The ids of a host's orphans, and how many there are."""
    actor.must_see_all()
    found = hosts.get(session, actor, host_name).orphans
    return found[offset:][:limit], len(found)


def to_ask(session: Session, actor: Actor, host_name: str, vm_id: str) -> None:
    """That its host can be asked about that orphan."""
    actor.must_administer()
    _of(hosts.get(session, actor, host_name), vm_id, session)


def remove(session: Session, actor: Actor, host_name: str, vm_id: str) -> None:
    """Have a host remove an orphan, for good; it is on the host's list until that is done."""
    actor.must_administer()
    host = hosts.locked(session, host_name)
    _of(host, vm_id, session)
    for driver in host.drivers:  # nothing says which of them it is of, and a driver passes over what it does not have
        spec = VmSpec(vm_id, vm_id, driver["name"], "", 1, 1, 1)
        departures.purge(session, host_name, spec, f"{driver['name']}-{time.time_ns()}")


def adopt(
    session: Session, actor: Actor, host_name: str, vm_id: str, seen: DescribeReply, owner: str, name: str | None = None
) -> Vm:
    """Make a record of an orphan, as its host has just described it; counted there. `name` None: the one that it had.

    `NotFound` once it is none any more, `Conflict` for a name that is taken, `NoCapacity`.
    """
    actor.must_administer()
    owner_id = session.scalar(select(User.id).where(User.username == owner))
    if owner_id is None:
        raise Invalid(f"there is no user '{owner}'", field="owner")
    called = seen.name if name is None else name
    vms.check_name(called)
    vms.free_name(session, owner_id, called)
    host = hosts.locked(session, host_name)  # of two who change its orphans one is the first
    _of(host, vm_id, session)
    known = session.get(Vm, vm_id)
    if known is not None:
        raise Conflict(
            f"VM '{vm_id}' is in the database already, as '{known.name}' on host '{known.host_name}'",
            code="invalid_state",
        )
    hosts.take_whole(session, host_name, called, Room(seen.vcpus, seen.memory_mb, seen.disk_gb))
    host.orphans = [each for each in host.orphans if each != vm_id]
    vm = _recorded(vm_id, host_name, seen, owner_id, called)
    session.add(vm)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_vms_owner_id_name"):
            raise vms.taken(called) from None
        if violates(error, "uq_vms_host_name_address"):
            raise bridges.taken(seen.network) from None
        raise
    addresses.keep(session, vm.id, seen.network.mac_address)
    events.of_vm(session, "vm_created", vm, {"vm_name": vm.name, "user_id": vm.owner_id})
    return vm


def _recorded(vm_id: str, host_name: str, seen: DescribeReply, owner_id: str, name: str) -> Vm:
    state = Observed(seen.state)
    runs = state in (Observed.RUNNING, Observed.PAUSED)
    return Vm(
        id=vm_id,
        name=name,
        owner_id=owner_id,
        hypervisor=seen.hypervisor,
        host_name=host_name,
        os_type=seen.os_type,
        image=seen.image,
        image_digest=seen.image_digest or None,
        vcpus=seen.vcpus,
        memory_mb=seen.memory_mb,
        disk_gb=seen.disk_gb,
        cpu_limit_percent=seen.cpu_limit_percent,
        memory_limit_percent=seen.memory_limit_percent,
        network=seen.network,
        hardware=replace(seen.hardware, disks=None, adapters=None),
        wanted=desired.of_observed(state),
        reserved=True,
        held_vcpus=seen.vcpus,
        held_memory_mb=seen.memory_mb,
        running_vcpus=seen.facts.vcpus if runs else None,
        running_memory_mb=seen.facts.memory_mb if runs else None,
        observed=state,
        observed_at=now(),
        observed_reason=seen.reason,
        started_at=None if seen.started_at is None else datetime.fromtimestamp(seen.started_at, UTC),
    )


def _of(host: Host, vm_id: str, session: Session) -> None:
    """That it is an orphan of that host, which is online. The list may be older than the record that was made of it."""
    known = session.get(Vm, vm_id)
    if vm_id not in host.orphans or (known is not None and known.host_name == host.name):
        raise NotFound(f"host '{host.name}' has no orphan '{vm_id}'", code="orphan_not_found")
    if host.offline_since is not None:
        raise Conflict(f"host '{host.name}' is offline; try again once it is back", code="invalid_state")
