"""The time to live of VMs: a program that makes one and dies leaves nothing behind for long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.states import DesiredState
from core.models import User, Vm
from core.models.base import now
from core.services import lookup, vms
from core.services.audit import records
from core.services.context import Actor

TTL_SECONDS = (60, 366 * 24 * 3600)
_BATCH = 100


def after(ttl_seconds: int | None) -> datetime | None:
    """When a VM with that time to live is deleted; None: never by itself."""
    return None if ttl_seconds is None else now() + timedelta(seconds=ttl_seconds)


def set_ttl(session: Session, actor: Actor, ref: str, ttl_seconds: int | None) -> Vm:
    """Let a VM live that long from now on, or (None) until somebody deletes it."""
    actor.must_write()
    vm = lookup.vm(session, actor, ref, lock=True)
    vm.expires_at = after(ttl_seconds)
    return vm


def due(session: Session) -> list[str]:
    """The ids of VMs whose time is over, in the order in which rows are locked."""
    query = select(Vm.id).where(Vm.expires_at <= now(), Vm.deleted_at.is_(None), Vm.wanted != DesiredState.DELETED)
    return list(session.scalars(query.order_by(Vm.id).limit(_BATCH)))


def expire(session: Session, vm_id: str) -> None:
    """Delete a VM in its owner's name, unless it was given more time meanwhile. For a transaction of its own."""
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    if vm.expires_at is None or vm.expires_at > now() or vm.deleted_at is not None or vm.wanted == DesiredState.DELETED:
        return
    owner = session.get_one(User, vm.owner_id)
    operation = vms.delete(session, Actor(owner.id, owner.username, owner.role), vm.id)
    records.write(
        session,
        records.AuditRecord(
            action_type="vm_expire",
            resource_type="vm",
            resource_id=vm.name,
            result=records.ACCEPTED,
            request_id=operation.request_id,
            user_id=vm.owner_id,
            details={"operation_id": operation.id, "vm_id": vm.id},
        ),
    )
