"""Scans one VM after another: a family of checks is one call to the guest, and kept before the next begins."""

from __future__ import annotations

import base64
import logging
import secrets
import threading
import time

from core.contract.errors import CorralError, GuestTimeout
from core.contract.messages import JSON
from core.services.scanning import queue
from core.services.scanning.queue import ScanTask
from workers.asking import ask
from workers.context import WorkerContext
from workers.scans import evidence
from workers.scans.check import Family
from workers.scans.families import chosen

log = logging.getLogger(__name__)

# Of a process's threads; the others are for what must not wait, such as sweeps.
AT_ONCE = 2
_RENEW_SECONDS = 3.0
_DELIVERY_SECONDS = 15.0
_slots = threading.BoundedSemaphore(AT_ONCE)


class _Lost(Exception):
    """The work is no longer ours: the VM was deleted, or another worker thinks us dead."""


def scan_next(context: WorkerContext) -> str | None:
    """Scan the VM that waits longest; what was done, None when there was nothing to do or no room for it."""
    if not _slots.acquire(blocking=False):
        return None
    try:
        with context.transaction() as session:
            work = queue.take(session)
        if work is None:
            return None
        _scan(context, work)
        return f"{work.scan_id}: VM {work.vm.name}"
    finally:
        _slots.release()


def _scan(context: WorkerContext, work: ScanTask) -> None:
    families = chosen(work.scan_type, work.frameworks)
    try:
        for number, family in enumerate(families, start=1):
            if family.name not in work.done:
                found = _outcomes(context, work, family)
                with context.transaction() as session:
                    if not queue.keep(session, work, family.name, found, 100 * number // len(families)):
                        return
        with context.transaction() as session:
            queue.complete(session, work)
    except _Lost:
        log.info(
            "%s: VM %s is not scanned further: it was deleted, or another worker scans it", work.scan_id, work.vm.name
        )
    except CorralError as error:
        log.warning("%s: VM %s: %s", work.scan_id, work.vm.name, error.message)
        with context.transaction() as session:
            queue.fail(session, work, error)


def _outcomes(context: WorkerContext, work: ScanTask, family: Family) -> list[JSON]:
    mark = f"corral-{secrets.token_hex(8)}"
    stdin = base64.b64encode(evidence.script(family, mark).encode()).decode()
    params = {"command": "sh -s", "stdin_b64": stdin, "timeout_seconds": family.seconds}
    beat = _Heartbeat(context, work)
    try:
        reply = ask(
            context.dispatch, work.host, "execute", work.vm, params, family.seconds + _DELIVERY_SECONDS, beat.tick
        )
    except GuestTimeout as error:
        return evidence.not_run(family, error.message)
    output = base64.b64decode(reply["stdout_b64"]).decode(errors="replace")
    if mark not in output:
        said = base64.b64decode(reply["stderr_b64"]).decode(errors="replace").strip()
        return evidence.not_run(family, f"the guest's shell failed (exit code {reply['exit_code']}): {said}")
    return evidence.outcomes(family, mark, output)


class _Heartbeat:
    """Keeps the lease while a guest takes its time."""

    def __init__(self, context: WorkerContext, work: ScanTask) -> None:
        self._context, self._work = context, work
        self._due_at = time.monotonic() + _RENEW_SECONDS

    def tick(self) -> None:
        """Called often, renews now and then."""
        if time.monotonic() < self._due_at:
            return
        with self._context.transaction() as session:
            kept = queue.renew(session, self._work)
        if not kept:
            raise _Lost
        self._due_at = time.monotonic() + _RENEW_SECONDS
