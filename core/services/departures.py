"""Departures: what VMs left on hosts that they are not on any more, removed once such a host is online again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.commands import Delete
from core.contract.hosts import Inventory
from core.contract.messages import Report, VmSpec, command
from core.contract.states import Observed, Phase
from core.database import after_commit
from core.models import Departure, Vm
from core.models.base import now
from core.services import operations
from core.services.context import dispatch_of

PURGE = "purge-"
"""Begins the id of a command that no operation stands for: see `purge`."""
_PURGE_SECONDS = 3600.0


def note(session: Session, vm: Vm, host: str) -> None:
    """What a host has of a VM by now is none any more: the VM leaves it, or does not come there after all."""
    values = {"hypervisor": vm.hypervisor, "home": vm.home, "left_at": now()}
    statement = insert(Departure).values(vm_id=vm.id, host_name=host, **values)
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


def purge(session: Session, host: str, vm: VmSpec, number: object) -> None:
    """Send a delete that no operation stands for. Should it be lost or fail, a later inventory asks for another."""
    operation_id, deadline_at = f"{PURGE}{vm.id}-{vm.home}-{number}", time.time() + _PURGE_SECONDS
    delete, dispatch = command(operation_id, 1, vm, Delete(), deadline_at), dispatch_of(session)
    after_commit(session, lambda: dispatch.command(host, delete))


def purged(session: Session, report: Report) -> None:
    """Forget what a host tells that it has removed."""
    seen = report.observation
    if report.phase is not Phase.SUCCEEDED or seen is None or seen.state is not Observed.ABSENT:
        return
    home = report.operation_id.removeprefix(f"{PURGE}{seen.vm_id}-").partition("-")[0]
    if home.isdecimal():
        gone = delete(Departure).where(Departure.vm_id == seen.vm_id, Departure.host_name == report.host)
        session.execute(gone.where(Departure.home <= int(home)))
