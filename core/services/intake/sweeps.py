"""Sweeps: each takes no argument, reads everything again, and is right whenever and however often it runs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core import bounded
from core.contract import channels
from core.contract.errors import Invalid
from core.contract.hosts import Heartbeat
from core.contract.messages import Failure, decode
from core.contract.states import LIVE, Kind, SchedulingState
from core.models import Host, Operation, Vm
from core.models.base import now
from core.services import events, moves, operations, problems, unheard
from core.services.context import dispatch_of

log = logging.getLogger(__name__)

_BATCH = 200
_LONGEST_PAUSE_SECONDS = 60
# The agent ends what runs past its deadline by itself; this is for agents that can't say so any more.
_DEADLINE_MARGIN = timedelta(seconds=15)


_HEARD = text(
    "UPDATE hosts SET beat = told.beat, last_seen_at = now() "
    "FROM unnest(CAST(:names AS text[]), CAST(:beats AS float8[])) AS told (name, beat) "
    "WHERE hosts.name = told.name AND hosts.beat IS DISTINCT FROM told.beat "
    "RETURNING hosts.name, told.beat - extract(epoch FROM now())"
)


def heartbeats(session: Session, offline_after: timedelta) -> None:
    """Note the hosts whose heartbeat has changed, by the database's clock; tell who goes offline or is back."""
    redis, names = dispatch_of(session).redis, list(session.scalars(select(Host.name)))
    entries = bounded.read(redis, [channels.heartbeat(name) for name in names])
    told = {}
    for name, entry in zip(names, entries, strict=True):
        if entry is None:
            continue
        try:
            told[name] = _beat(name, entry).at
        except (Invalid, ValueError, OverflowError, OSError) as error:
            log.warning("the heartbeat of host %s can't be read and is removed: %s", name, error)
            redis.delete(channels.heartbeat(name))
    heard = session.execute(_HEARD, {"names": list(told), "beats": list(told.values())})
    ahead = {name: float(seconds) for name, seconds in heard}
    _mark_offline(session, offline_after)
    problems.of_clock(session, ahead)


def _beat(name: str, entry: bytes) -> Heartbeat:
    """The heartbeat; `Invalid` or `ValueError` for what is none, or another host's."""
    beat = decode(Heartbeat, entry)
    datetime.fromtimestamp(beat.at, UTC)
    if beat.host != name:
        raise Invalid(f"claims to come from host {beat.host!r:.80}")
    return beat


def _mark_offline(session: Session, offline_after: timedelta) -> None:
    since = func.now() - offline_after
    present = (
        select(Host)
        .where(Host.removed_at.is_(None), Host.scheduling_state != SchedulingState.FENCED)
        .order_by(Host.name)
    )
    for host in session.scalars(present.where(Host.offline_since.is_(None), Host.last_seen_at < since)):
        host.offline_since = host.last_seen_at
        problems.tell(session, host, problems.CLOCK, "")
        events.of_host(
            session, "host_offline", host.name, {"host": host.name, "last_seen_at": events.iso(host.last_seen_at)}
        )
    heard = (Host.last_seen_at >= since, Host.last_seen_at > Host.offline_since)
    for host in session.scalars(present.where(*heard)):
        host.offline_since = None
        events.of_host(session, "host_online", host.name, {"host": host.name})


def resend(session: Session, pause: timedelta) -> int:
    """Send live operations again whose message may be lost, to online hosts; how many.

    Each time with a higher attempt and a longer pause. What the host's present agent has begun is not sent: it is asked
    for its last report, in case that was lost.
    """
    query = (
        select(Operation, Vm, Host.boot_id)
        .join(Vm, Vm.id == Operation.vm_id)
        .join(Host, Host.name == Operation.host_name)
        .where(Operation.state.in_(LIVE), Operation.send_at <= now(), Host.offline_since.is_(None))
        .order_by(Operation.send_at)
        .limit(_BATCH)
        .with_for_update(of=Operation, skip_locked=True)
    )
    rows = list(session.execute(query))
    sent = 0
    for operation, vm, boot_id in rows:
        if operation.begun_by == boot_id:
            seconds = max(pause.total_seconds(), (now() - operation.accepted_at).total_seconds() / 4)
            operations.ask_after(session, operation)
        else:
            operation.attempt += 1
            seconds = pause.total_seconds() * 2 ** min(operation.attempt - 2, 10)
            operations.send(session, vm, operation)
            sent += 1
        operation.send_at = now() + timedelta(seconds=min(seconds, _LONGEST_PAUSE_SECONDS))
        if operation.cancel_requested_at is not None:
            operations.send_cancel(session, operation)
    return sent


def late(session: Session) -> list[tuple[str, str]]:
    """The operations that have run past their deadline without a word from their host, each after its VM, in order."""
    query = select(Operation.vm_id, Operation.id).where(
        Operation.state.in_(LIVE), Operation.vm_id.is_not(None), Operation.deadline_at < now() - _DEADLINE_MARGIN
    )
    return [(str(vm_id), operation_id) for vm_id, operation_id in session.execute(query.order_by(Operation.vm_id))]


def expire(session: Session, vm_id: str, operation_id: str) -> None:
    """End a late operation, unless it has ended meanwhile. For a transaction of its own."""
    vm = session.get_one(Vm, vm_id, with_for_update=True, populate_existing=True)
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.state in LIVE:
        _expire(session, vm, operation)


def _expire(session: Session, vm: Vm, operation: Operation) -> None:
    failure = Failure("deadline_exceeded", f"host '{operation.host_name}' did not finish it in time", retryable=True)
    unheard.fail(session, vm, operation, failure)
    if operation.kind == Kind.MOVE:
        moves.start_again(session, vm, operation)
    operations.send_cancel(session, operation)  # its host may be at it all the same
