"""Permission to pull an image: for hosts that have, or are to have, a VM that is made of it, or prefetch it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import NotFound
from core.models import Operation, Vm
from core.services import arrivals, prefetching


def must_need(session: Session, host: str, digest: str) -> None:
    """`NotFound` for an image that the host has no use for: it can't tell whether there is such a one."""
    of_vm = select(Vm.id).where(
        Vm.host_name == host, Vm.image_digest == digest, Vm.deleted_at.is_(None), Vm.lost_at.is_(None)
    )
    coming = select(Operation.id).join(Vm, Vm.id == Operation.vm_id).where(Vm.image_digest == digest)
    if any(session.scalar(query) is not None for query in (of_vm.limit(1), coming.where(*arrivals.coming(host)))):
        return
    if not prefetching.is_wanted(session, host, digest):
        raise not_found(digest)


def not_found(digest: str) -> NotFound:
    """The error for an image that is not there, or not for who asks."""
    return NotFound(f"there is no image {digest[:80]} that this host needs", code="image_not_found")
