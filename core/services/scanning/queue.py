"""The queue of scans, a VM at a time: a worker holds one while it says that it lives, and keeps each result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session

from core.contract.errors import CorralError
from core.contract.messages import VmSpec
from core.models import Scan, ScannedVm, ScanState, Vm
from core.models.base import JSON, now
from core.services import operations

LIVE = (ScanState.QUEUED, ScanState.RUNNING)
LEASE = timedelta(seconds=10)
MOST_ATTEMPTS = 5


@dataclass(frozen=True)
class ScanTask:
    """A VM that a worker has taken up, and the families of checks that were done before."""

    scan_id: str
    scan_type: str
    frameworks: tuple[str, ...]
    attempt: int
    host: str
    vm: VmSpec
    done: tuple[str, ...]


def due(session: Session) -> int:
    """How many VMs wait for a worker."""
    waiting = select(func.count()).select_from(ScannedVm)
    return session.scalar(waiting.where(ScannedVm.state.in_(LIVE), ScannedVm.lease_until <= now())) or 0


def take(session: Session) -> ScanTask | None:
    """The VM that waits longest, now this worker's for `LEASE`. Those that have no more chance are ended on the way."""
    query = (
        select(ScannedVm)
        .where(ScannedVm.state.in_(LIVE), ScannedVm.lease_until <= now())
        .order_by(ScannedVm.lease_until, ScannedVm.scan_id, ScannedVm.vm_id)
        .with_for_update(skip_locked=True)
        .limit(1)
    )
    while each := session.scalar(query):
        vm = session.get(Vm, each.vm_id)
        if vm is None or vm.deleted_at is not None:
            _end(session, each, ScanState.CANCELLED, "the VM was deleted")
        elif each.attempt >= MOST_ATTEMPTS:
            why = each.reason or "the worker ended"
            _end(session, each, ScanState.FAILED, f"{MOST_ATTEMPTS} attempts failed: {why}")
        else:
            return _taken(session, each, vm)
    return None


def renew(session: Session, work: ScanTask) -> bool:
    """Keep the work for another `LEASE`; False when it is no longer this worker's, as when its VM was deleted."""
    kept = update(ScannedVm).where(*_of(work)).values(lease_until=now() + LEASE).returning(ScannedVm.vm_id)
    return session.scalar(kept) is not None


def keep(session: Session, work: ScanTask, family: str, outcomes: list[JSON], percent: int) -> bool:
    """Add what a family of checks has found; False when the work is no longer this worker's."""
    each = _locked(session, work)
    if each is None:
        return False
    each.done, each.outcomes = [*each.done, family], [*each.outcomes, *outcomes]
    each.percent, each.lease_until = percent, now() + LEASE
    return True


def complete(session: Session, work: ScanTask) -> None:
    """All families are done."""
    if each := _locked(session, work):
        _end(session, each, ScanState.COMPLETED)


def fail(session: Session, work: ScanTask, error: CorralError) -> None:
    """It can't go on. What may pass is tried again soon, by whoever comes first."""
    each = _locked(session, work)
    if each is not None and error.retryable:
        each.reason, each.lease_until = error.message, now() + LEASE / 3
    elif each is not None:
        _end(session, each, ScanState.FAILED, error.message)


def vm_is_gone(session: Session, vm_id: str) -> None:
    """Cancel what is under way on a VM that was deleted."""
    query = select(ScannedVm).where(ScannedVm.vm_id == vm_id, ScannedVm.state.in_(LIVE)).with_for_update()
    for each in session.scalars(query.order_by(ScannedVm.scan_id)):
        _end(session, each, ScanState.CANCELLED, "the VM was deleted")


def _taken(session: Session, each: ScannedVm, vm: Vm) -> ScanTask:
    scan = session.get_one(Scan, each.scan_id)
    each.state, each.attempt, each.lease_until = ScanState.RUNNING, each.attempt + 1, now() + LEASE
    return ScanTask(
        scan_id=scan.id,
        scan_type=scan.scan_type,
        frameworks=tuple(scan.frameworks),
        attempt=each.attempt,
        host=vm.host_name,
        vm=operations.spec_of(vm),
        done=tuple(each.done),
    )


def _end(session: Session, each: ScannedVm, state: ScanState, reason: str | None = None) -> None:
    """A VM's part is over; the scan is when it was the last, which its locked row decides for two at once."""
    each.state, each.reason, each.ended_at = state, reason, now()
    each.percent = 100 if state == ScanState.COMPLETED else each.percent
    session.flush()
    scan = session.get_one(Scan, each.scan_id, with_for_update=True, populate_existing=True)
    live = exists().where(ScannedVm.scan_id == scan.id, ScannedVm.state.in_(LIVE))
    if not session.scalar(select(live)):
        scan.completed_at = now()


def _of(work: ScanTask) -> tuple[ColumnElement[bool], ...]:
    """The row, as long as it is this worker's."""
    return (
        ScannedVm.scan_id == work.scan_id,
        ScannedVm.vm_id == work.vm.id,
        ScannedVm.state == ScanState.RUNNING,
        ScannedVm.attempt == work.attempt,
    )


def _locked(session: Session, work: ScanTask) -> ScannedVm | None:
    return session.scalars(select(ScannedVm).where(*_of(work)).with_for_update()).one_or_none()
