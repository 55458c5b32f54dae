"""One round of all sweeps, by one worker of the fleet at a time; a sweep that fails does not stop the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from core import database
from core.contract import channels
from core.contract.errors import Conflict, CorralError, Invalid, NoCapacity, Unavailable, Unsupported
from core.database import transact
from core.dispatch import PREFETCH_TASK, ROTATION_TASK, SCAN_TASK, WEBHOOK_TASK
from core.services import counts, drains, elsewhere, expiry, idempotency, lost, moves, prefetching, problems
from core.services.audit import chain
from core.services.identities import rotations
from core.services.intake import sweeps
from core.services.scanning import queue
from core.services.webhooks import queue as deliveries
from workers import prometheus, scanning, webhooks
from workers.context import WorkerContext

log = logging.getLogger(__name__)

LOCK = 0x53574550
_here = threading.Lock()  # of this process's threads one at most: the wakeups of a long round are answered at once
_LINK_BATCHES = 20


class SweepFailed(Exception):
    """Parts of the round failed; the next one does them again."""


def sweep(context: WorkerContext) -> str:
    """Do a round; what was done. `SweepFailed` names the parts that did not go well, once all were tried."""
    if not _here.acquire(blocking=False):
        return "this worker is sweeping"
    try:
        return _sweep(context)
    finally:
        _here.release()


def _sweep(context: WorkerContext) -> str:
    with database.exclusively(context.engine, LOCK) as mine, prometheus.SWEEP_SECONDS.time():
        if not mine:
            prometheus.SWEEPS.labels("left").inc()
            return "another worker is sweeping"
        done = {name: _try(name, part, context) for name, part in _PARTS.items()}
    failed = [name for name, count in done.items() if count is None]
    prometheus.SWEEPS.labels("failed" if failed else "done").inc()
    if failed:
        raise SweepFailed(f"failed: {', '.join(failed)}")
    context.dispatch.attempt(lambda: context.dispatch.redis.set(channels.SWEPT, time.time()))
    return ", ".join(f"{name}: {count}" for name, count in done.items() if count) or "nothing to do"


def _try(name: str, part: Callable[[WorkerContext], int], context: WorkerContext) -> int | None:
    """How much a part did, None when it failed."""
    try:
        return part(context)
    except CorralError as error:
        log.warning("sweep of %s: %s", name, error.message)
    except Exception:  # each part for itself: a fault in one must not keep the others from their work
        log.exception("sweep of %s failed unexpectedly", name)
    prometheus.SWEEP_FAILURES.labels(name).inc()
    return None


def _heartbeats(context: WorkerContext) -> int:
    offline_after = timedelta(seconds=context.settings.offline_after_seconds)
    transact(context.transaction, lambda session: sweeps.heartbeats(session, offline_after))
    return 0


def _hosts(context: WorkerContext) -> int:
    transact(context.transaction, lambda session: problems.look(session, context.settings.low_disk_mb))
    return 0


def _deadlines(context: WorkerContext) -> int:
    """Each VM in a transaction of its own: a worker that holds one never waits for another."""
    late = transact(context.transaction, sweeps.late)
    for vm_id, operation_id in late:
        transact(context.transaction, lambda session: sweeps.expire(session, vm_id, operation_id))  # noqa: B023  # at once
    prometheus.LATE.inc(len(late))
    return len(late)


def _expiries(context: WorkerContext) -> int:
    """Each VM in a transaction of its own, as above."""
    due = transact(context.transaction, expiry.due)
    for vm_id in due:
        transact(context.transaction, lambda session: expiry.expire(session, vm_id))  # noqa: B023  # at once
    return len(due)


def _lost(context: WorkerContext) -> int:
    given_up = transact(context.transaction, lost.bereft)
    for vm_id in given_up:
        transact(context.transaction, lambda session: lost.give_up(session, vm_id))  # noqa: B023  # at once
    return len(given_up)


def _found(context: WorkerContext) -> int:
    found = transact(context.transaction, lost.returned)
    for vm_id in found:
        transact(context.transaction, lambda session: lost.find(session, vm_id))  # noqa: B023  # at once
    return len(found)


def _elsewhere(context: WorkerContext) -> int:
    """Those that no host can have now are tried again later."""
    due = transact(context.transaction, elsewhere.due)
    for vm_id in due:
        try:
            transact(context.transaction, lambda session: elsewhere.step(session, vm_id, context.fleet_image))  # noqa: B023
        except (Conflict, Invalid, NoCapacity) as error:
            log.info("VM %s is not made elsewhere yet: %s", vm_id, error.message)
            why = error.message
            transact(context.transaction, lambda session: elsewhere.postpone(session, vm_id, why))  # noqa: B023
    return len(due)


def _moves(context: WorkerContext) -> int:
    """Each VM in a transaction of its own, as above."""
    stuck = transact(context.transaction, moves.stuck)
    for vm_id, operation_id in stuck:
        transact(context.transaction, lambda session: moves.settle(session, vm_id, operation_id))  # noqa: B023  # at once
    return 0


def _drains(context: WorkerContext) -> int:
    """Each VM in a transaction of its own, as above; one that does something else by now is stopped at another look."""
    begun = 0
    for operation_id in transact(context.transaction, drains.due):
        for vm_id in transact(context.transaction, lambda session: drains.to_begin(session, operation_id)):  # noqa: B023  # at once
            begun += _begun(context, operation_id, vm_id)
        transact(context.transaction, lambda session: drains.advance(session, operation_id))  # noqa: B023  # at once
    return begun


def _begun(context: WorkerContext, operation_id: str, vm_id: str) -> bool:
    try:
        transact(context.transaction, lambda session: drains.begin_one(session, operation_id, vm_id))
    except (Conflict, Invalid, NoCapacity, Unsupported) as error:
        if error.code == "conflict":  # something else is under way on it
            return False
        why = error
        transact(context.transaction, lambda session: drains.stays(session, operation_id, vm_id, why))
        return False
    except Unavailable as error:
        log.info("drain %s leaves a VM for now: %s", operation_id, error.message)
        return False
    return True


def _resend(context: WorkerContext) -> int:
    pause = timedelta(seconds=context.settings.resend_seconds)
    sent = transact(context.transaction, lambda session: sweeps.resend(session, pause))
    prometheus.RESENT.inc(sent)
    if sent:
        log.info("sent %d operations again", sent)
    return sent


def _idempotency(context: WorkerContext) -> int:
    transact(context.transaction, idempotency.sweep)
    return 0


def _link(context: WorkerContext) -> int:
    """Link what the audit log has got meanwhile, a batch a transaction; the next round goes on with the rest."""
    for _ in range(_LINK_BATCHES):
        if not transact(context.transaction, chain.link):
            break
    return 0


def _scans(context: WorkerContext) -> int:
    """The wakeup of a scan may be lost, and a worker that was at it may have died."""
    waiting = transact(context.transaction, queue.due)
    for _ in range(min(waiting, scanning.AT_ONCE)):
        context.dispatch.wake(SCAN_TASK)
    return 0


def _prefetches(context: WorkerContext) -> int:
    """Hosts are asked by a task of its own: a round of sweeps waits for nobody."""
    waiting = transact(context.transaction, prefetching.waiting)
    if waiting:
        context.dispatch.wake(PREFETCH_TASK)
    return waiting


def _rotations(context: WorkerContext) -> int:
    """They are gone on with in a task of their own: hosts are asked, which may take a while."""
    days, overlap = context.settings.host_secret_days, timedelta(seconds=context.settings.host_secret_overlap_seconds)
    oldest = timedelta(days=days) if days else None
    changed = transact(context.transaction, lambda session: rotations.sweep(session, oldest, overlap))
    if transact(context.transaction, rotations.due):
        context.dispatch.wake(ROTATION_TASK)
    return changed


def _nodes(context: WorkerContext) -> int:
    """The last part, as a server that does not answer takes its time."""
    changed = context.apply_accounts_to_nodes()
    for place, problem in context.nodes.problems.items():
        prometheus.NODE_UP.labels(place).set(not problem)
    return changed


def _webhooks(context: WorkerContext) -> int:
    """Events become deliveries here, and workers are woken to deliver them."""
    transact(context.transaction, deliveries.sweep)
    made = transact(context.transaction, deliveries.fan_out)
    waiting = transact(context.transaction, deliveries.due)
    for _ in range(min(waiting, webhooks.AT_ONCE)):
        context.dispatch.wake(WEBHOOK_TASK)
    return made


def _counts(context: WorkerContext) -> int:
    transact(context.transaction, counts.gather)
    return 0


_PARTS: dict[str, Callable[[WorkerContext], int]] = {
    "accounts of hosts": WorkerContext.apply_accounts,
    "heartbeats": _heartbeats,
    "counts of VMs": _counts,
    "problems of hosts": _hosts,
    "late operations": _deadlines,
    "expired VMs": _expiries,
    "VMs without their host": _lost,
    "VMs found again": _found,
    "VMs made elsewhere": _elsewhere,
    "moves": _moves,
    "drains": _drains,
    "prefetches of images": _prefetches,
    "operations sent again": _resend,
    "idempotency keys": _idempotency,
    "audit links": _link,
    "scans": _scans,
    "webhooks": _webhooks,
    "rotations of secrets": _rotations,
    "accounts on other Redis servers": _nodes,
}
