"""What VMs have left on hosts that they are not on any more: removed there once such a host is heard again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.hosts import Inventory
from core.contract.messages import VmSpec
from core.models import Departure, Vm
from core.models.base import now
from core.services import operations


def note(session: Session, vm: Vm) -> None:
    """The VM leaves its host now, with all that it has there."""
    values = {"hypervisor": vm.hypervisor, "home": vm.home, "left_at": now()}
    statement = insert(Departure).values(vm_id=vm.id, host_name=vm.host_name, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["vm_id", "host_name"], set_=values))


def left_on(session: Session, host: str, seen: Collection[str]) -> list[VmSpec]:
    """Of what a host has, the VMs that have left it, as they were there."""
    query = select(Vm, Departure).join(Departure, Departure.vm_id == Vm.id).where(Departure.host_name == host)
    return [
        replace(operations.spec_of(vm), hypervisor=there.hypervisor, home=there.home, forwards=[])
        for vm, there in session.execute(query.where(Vm.id.in_(list(seen))).order_by(Vm.id))
    ]


def hosts_of(session: Session, vm: Vm) -> list[str]:
    """The hosts that may have something of a VM that has left them."""
    return list(session.scalars(select(Departure.host_name).where(Departure.vm_id == vm.id)))


def seen_without(session: Session, inventory: Inventory) -> None:
    """Forget what a host tells that it has no more; of drivers that could not look it tells nothing."""
    looked = [driver.name for driver in inventory.drivers if driver.observed]
    there = [observation.vm_id for observation in inventory.vms]
    gone = delete(Departure).where(Departure.host_name == inventory.host, Departure.hypervisor.in_(looked))
    session.execute(gone.where(Departure.vm_id.not_in(there)))
