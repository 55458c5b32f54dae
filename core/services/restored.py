"""A restored database: made to agree with hosts, users and time, which have gone on since the backup.

Hosts tell the rest once the fleet runs: what VMs they have, and in which state (`intake.inventories`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from core.contract.messages import Failure
from core.contract.states import LIVE, Kind
from core.models import JoinToken, Operation, Vm
from core.models.base import JSON, now
from core.services import arrivals, events, unheard
from core.services.audit import records

ACTION = "restore"
# Deletes win whatever came after, and a host that has made a VM once makes no other of it.
_GO_ON = (Kind.CREATE, Kind.DELETE)
# Above every number that was sent since: an agent refuses older ones than it has seen.
_ATTEMPTS = 100
# What was given more time to live since the backup is not known any more: owners have that long to give it again.
_GRACE = timedelta(hours=1)
# More than a fleet numbers: what was seen of events since has numbers that no other event gets.
_EVENTS_A_SECOND = 10_000


@dataclass(frozen=True)
class RestoreResult:
    """The result of a restore: operations that failed, operations that go on, and join tokens that were revoked."""

    failed: int
    going_on: int
    revoked_tokens: int


def adapt(session: Session, taken_at: datetime, about: JSON) -> RestoreResult:
    """Make a record of that moment one to go on with; `about` is for its entry in the audit log."""
    live = select(Operation.vm_id, Operation.id).where(Operation.state.in_(LIVE)).order_by(Operation.vm_id)
    going_on = failed = 0
    for vm_id, operation_id in session.execute(live).all():
        vm = session.get_one(Vm, vm_id, with_for_update=True)
        operation = session.get_one(Operation, operation_id, with_for_update=True)
        if operation.kind in _GO_ON:
            _send_anew(operation)
            going_on += 1
        else:
            unheard.fail(session, vm, operation, _unknown(operation, taken_at))
            failed += 1
    _give_time(session)
    _number_on(session, taken_at)
    result = RestoreResult(failed, going_on, _revoke_tokens(session))
    _log(session, taken_at, about | vars(result))
    return result


def _send_anew(operation: Operation) -> None:
    """With the time that it had; a host that has done it says so again."""
    operation.attempt += _ATTEMPTS
    operation.begun_by = None
    operation.deadline_at = now() + (operation.deadline_at - operation.accepted_at)
    operation.send_at = now()


def _unknown(operation: Operation, taken_at: datetime) -> Failure:
    return Failure(
        arrivals.RESTORED,
        f"the control plane was restored from a backup of {events.iso(taken_at)}, when this operation was in "
        f"progress: check on VM '{operation.vm_name}' whether host '{operation.host_name}' has done it",
    )


def _give_time(session: Session) -> None:
    least = now() + _GRACE
    due = update(Vm).where(Vm.deleted_at.is_(None), Vm.expires_at < least)
    session.execute(due.values(expires_at=least).execution_options(synchronize_session=False))


def _number_on(session: Session, taken_at: datetime) -> None:
    seconds = max(0.0, (now() - taken_at).total_seconds())
    numbers = "pg_get_serial_sequence('events', 'seq')"
    last = session.scalar(text(f"SELECT nextval({numbers})")) or 0
    session.execute(select(func.setval(text(numbers), last + int((seconds + 60) * _EVENTS_A_SECOND))))


def _revoke_tokens(session: Session) -> int:
    """One that was used since would let another machine in."""
    valid = update(JoinToken).where(JoinToken.revoked_at.is_(None), JoinToken.expires_at > now())
    revoked = session.execute(valid.values(revoked_at=now()).returning(JoinToken.id))
    return len(revoked.all())


def _log(session: Session, taken_at: datetime, details: JSON) -> None:
    entry = records.AuditRecord(
        action_type=ACTION,
        resource_type="control_plane",
        resource_id=events.iso(taken_at),
        result=records.SUCCESS,
        request_id="",
        details=details,
    )
    records.write(session, entry)
