"""MAC addresses: random ones, of which no two VMs have the same."""

from __future__ import annotations

import secrets

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.errors import NoCapacity
from core.models import MacAddress, Vm

_TRIES = 50  # of an address space of 16 million


def keep(session: Session, vm_id: str, address: str | None) -> None:
    """The address that a VM has already; one that another has too stays that one's."""
    if address is not None:
        session.execute(insert(MacAddress).values(address=address, vm_id=vm_id).on_conflict_do_nothing())


def claim(session: Session, vm_id: str) -> str:
    """An address under QEMU's and KVM's prefix 52:54:00 for that VM: a new one, or one whose VM is deleted."""
    is_free = exists(select(Vm.id).where(Vm.id == MacAddress.vm_id, Vm.deleted_at.is_not(None)))
    for _ in range(_TRIES):
        address = "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        taken = insert(MacAddress).values(address=address, vm_id=vm_id)
        again = taken.on_conflict_do_update(
            index_elements=[MacAddress.address], set_={"vm_id": vm_id}, where=is_free
        ).returning(MacAddress.address)
        if session.scalar(again) is not None:
            return address
    raise NoCapacity("no free MAC address was found")
