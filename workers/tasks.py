"""The control plane's tasks. None takes an argument: each re-reads the world."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from sqlalchemy import func, select

from core.contract import channels
from core.contract.errors import Unavailable
from core.dispatch import SCAN_TASK
from core.services import audit_chain, idempotency, scan_work, sweeps
from workers import plane, prometheus, scanning
from workers.app import app
from workers.plane import Plane

log = logging.getLogger(__name__)

_SWEEP_LOCK = 0x53574550
_LINK_BATCHES = 20


# Every two seconds one: without events, so that Flower shows people's tasks and not these.
@app.task(name="corral.sweep", throws=(Unavailable,), send_events=False)  # type: ignore[untyped-decorator]
def sweep() -> str:
    """One round of all sweeps; nothing while another worker is at it."""
    outcome = "failed"
    try:
        with prometheus.SWEEP_SECONDS.time():
            said, outcome = _sweep(plane.get())
    finally:
        prometheus.SWEEPS.labels(outcome).inc()
    return said


def _sweep(here: Plane) -> tuple[str, str]:
    """What was done, and the word for it."""
    with here.transaction() as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(_SWEEP_LOCK))):
            return "another worker is sweeping", "left"
        sweeps.heartbeats(session, timedelta(seconds=here.settings.silent_after_seconds))
    with here.transaction() as session:
        late = sweeps.deadlines(session)
    with here.transaction() as session:
        sent = sweeps.resend(session, timedelta(seconds=here.settings.resend_seconds))
        idempotency.sweep(session)
    _link(here)
    _ring_for_scans(here)
    here.dispatch.attempt(lambda: here.dispatch.redis.set(channels.SWEPT, time.time()))
    prometheus.LATE.inc(late)
    prometheus.RESENT.inc(sent)
    if sent or late:
        log.info("sent %d operations again, ended %d past their deadline", sent, late)
    return f"sent again: {sent}, past deadline: {late}", "done"


def _link(here: Plane) -> None:
    """Link what the audit log has got meanwhile, a batch a transaction; the next sweep goes on with the rest."""
    for _ in range(_LINK_BATCHES):
        with here.transaction() as session:
            if not audit_chain.link(session):
                return


def _ring_for_scans(here: Plane) -> None:
    """The bell of a scan may be lost, and a worker that was at it may have died."""
    with here.transaction() as session:
        waiting = scan_work.due(session)
    for _ in range(min(waiting, scanning.AT_ONCE)):
        here.dispatch.ring(SCAN_TASK)


@app.task(name=SCAN_TASK, throws=(Unavailable,))  # type: ignore[untyped-decorator]
def scan() -> str:
    """Scan the VM that waits longest, and ring for the next."""
    here = plane.get()
    done = scanning.scan_next(here)
    if done:
        here.dispatch.ring(SCAN_TASK)
    return done or "nothing to do"
