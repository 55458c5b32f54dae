"""Inventories: recorded, and reconciled with the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, exists, false, select, true, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.hosts import Inventory
from core.contract.messages import JSON
from core.contract.states import LIVE, DesiredState, Observed, SchedulingState
from core.contract.vms import Observation
from core.models import Departure, Host, Medium, Operation, Vm
from core.models.base import now
from core.prepared import PREPARED
from core.services import arrivals, departures, desired, events, hosts, labels, lost, media, operations, problems, vms
from core.services.intake import observations
from core.services.status import status_of

# Most inventories tell nothing new: what is looked at each time are columns, and a row of the ORM only what differs.
_KNOWN = (
    select(
        Host.boot_id,
        Host.generation,
        Host.drivers,
        Host.home_id,
        Host.removed_at,
        Host.scheduling_state,
        exists().where(Departure.host_name == Host.name).label("has_departures"),
        exists().where(Medium.host_name == Host.name).label("has_media"),
    )
    .where(Host.name == bindparam("host"))
    .execution_options(**PREPARED)
)
_BOTH = union_all(
    select(Vm.id, Vm.hypervisor, Vm.observed, true().label("present")).where(
        Vm.host_name == bindparam("host"), Vm.deleted_at.is_(None), Vm.lost_at.is_(None)
    ),
    select(Vm.id, Vm.hypervisor, Vm.observed, false()).where(
        Vm.host_name == bindparam("host"), Vm.deleted_at.is_not(None), Vm.reserved
    ),
)
_COUNTED = _BOTH.order_by(_BOTH.selected_columns.id).execution_options(**PREPARED)


def record(session: Session, inventory: Inventory) -> None:
    """Apply an inventory: every VM that the tables or the host say is there, then the host's row.

    In that order, as everywhere: a VM's row is locked before its host's.
    """
    known = session.execute(_KNOWN, {"host": inventory.host}).one_or_none()
    if known is not None and (
        inventory.generation <= known.generation or known.scheduling_state == SchedulingState.FENCED
    ):
        return
    if known is not None and known.removed_at is not None and not _cleaned(session, inventory):
        return
    before, same_agent = (known.drivers, known.boot_id == inventory.boot_id) if known is not None else ([], False)
    if known is not None and _stranger(session, known, inventory):
        return
    orphans = _reconcile(session, inventory) if known is not None else {seen.vm_id for seen in inventory.vms}
    if known is not None and not same_agent:
        operations.send_again(session, inventory.host)
    values = {
        "boot_id": inventory.boot_id,
        "generation": inventory.generation,
        "offered_vcpus": inventory.vcpus,
        "offered_memory_mb": inventory.memory_mb,
        "offered_disk_gb": inventory.disk_gb,
        "drivers": [asdict(health) for health in inventory.drivers],
        "images": inventory.images,
        "facts": inventory.facts,
        "orphans": sorted(orphans),
        "removed_at": None,
        "home_id": inventory.home_id or (known.home_id if known is not None else ""),
    }
    seen_at = datetime.fromtimestamp(inventory.at, UTC)
    if known is None or known.removed_at is not None:
        values["labels"] = labels.brought(session, inventory.host)
    statement = insert(Host).values(name=inventory.host, first_seen_at=now(), last_seen_at=seen_at, **values)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_=values)
    session.execute(statement.execution_options(**PREPARED))
    if inventory.media or (known is not None and known.has_media):
        media.reconcile(session, inventory)
    if known is not None and known.has_departures:
        departures.seen_without(session, inventory)
    if known is None or known.removed_at is not None:
        events.of_host(session, "host_joined", inventory.host, {"host": inventory.host})
    elif same_agent:
        _tell_drivers(session, inventory, before)


def _stranger(session: Session, known: Any, inventory: Inventory) -> bool:
    """Whether this is said by another agent than the host's: from a home that does not have the host's VMs."""
    if not inventory.home_id or not known.home_id or inventory.home_id == known.home_id:
        return False
    problems.claim(session, inventory.host)
    return True


def _cleaned(session: Session, inventory: Inventory) -> bool:
    """Whether a host that had been given up has nothing any more of what it had then, and so may be one again."""
    seen = [observation.vm_id for observation in inventory.vms]
    left = lost.leftovers(session, inventory.host, seen, inventory.generation)
    lost.purge_all(session, inventory.host, left, inventory.generation)
    for vm in lost.buried(session, inventory.host, left):
        hosts.release(session, vm)
    return not left and all(driver.observed for driver in inventory.drivers)


def _tell_drivers(session: Session, inventory: Inventory, before: list[JSON]) -> None:
    """What has changed since the same agent told of its drivers; one that has just started has not probed them yet."""
    was = {driver["name"]: (driver["healthy"], driver["problem"]) for driver in before}
    for driver in inventory.drivers:
        if was.get(driver.name) != (driver.healthy, driver.problem):
            data = {"host": inventory.host, "driver": driver.name, "version": driver.version}
            if driver.healthy:
                events.of_host(session, "driver_healthy", inventory.host, data)
            else:
                events.of_host(session, "driver_unhealthy", inventory.host, data | {"problem": driver.problem})


def _reconcile(session: Session, inventory: Inventory) -> set[str]:
    """Adopt what was seen, mark what is gone or crashed, and return what nobody knows.

    A VM with an operation under way is left to that operation's reports. What is left of deleted VMs is removed.
    """
    seen = {observation.vm_id: observation for observation in inventory.vms}
    counted = session.execute(_COUNTED, {"host": inventory.host}).all()
    here = [row for row in counted if row.present]
    applied = [
        vm
        for observation in _news(session, inventory, here, seen)
        if (vm := _applied(session, inventory, observation)) is not None
    ]
    strangers = set(seen) - {row.id for row in here}
    left = lost.leftovers(session, inventory.host, strangers, inventory.generation) if strangers else []
    lost.purge_all(session, inventory.host, left, inventory.generation)
    buried = lost.buried(session, inventory.host, left) if len(counted) > len(here) else []
    for vm in applied:  # after them all: a host's row is locked after its VMs'
        observations.take_back(session, vm)
        hosts.recount(session, vm)
    for vm in buried:
        hosts.release(session, vm)
    coming = arrivals.on_their_way(session, inventory.host) if strangers else set()
    return strangers - {vm.id for vm in left} - coming


def _news(
    session: Session, inventory: Inventory, here: Sequence[Any], seen: Mapping[str, Observation]
) -> list[Observation]:
    """What is otherwise than the tables say, in the order of the VMs' ids."""
    unobserved = {driver.name for driver in inventory.drivers if not driver.observed}
    found = [
        seen.get(row.id) or Observation(row.id, Observed.ABSENT, reason="its host no longer has it")
        for row in here
        if row.hypervisor not in unobserved  # neither gone nor crashed: its driver could not be asked
        and _differs(row.observed, seen[row.id].state if row.id in seen else Observed.ABSENT)
    ]
    if not found:
        return []
    live = select(Operation.vm_id).where(Operation.state.in_(LIVE), Operation.host_name == inventory.host)
    busy = set(session.scalars(live))
    return [observation for observation in found if observation.vm_id not in busy]


def _differs(observed: str | None, state: Observed) -> bool:
    return observed != state and not (observed is None and state == Observed.ABSENT)


def _applied(session: Session, inventory: Inventory, seen: Observation) -> Vm | None:
    """The VM, if it was applied: before it was locked an operation may have been accepted, or it has gone elsewhere."""
    vm = session.get_one(Vm, seen.vm_id, with_for_update=True, populate_existing=True)
    if vm.host_name != inventory.host or operations.live_of(session, vm) is not None:
        return None
    before = status_of(vm, None)
    observations.observe(vm, seen, inventory.generation)
    if vm.wanted != DesiredState.DELETED and seen.state == Observed.RUNNING:
        desired.want(session, vm, DesiredState.RUNNING)
    vms.status_changed(session, vm, before, status_of(vm, None))
    return vm
