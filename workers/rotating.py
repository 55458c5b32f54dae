"""Changes hosts' secrets: a few hosts at a time are asked for their next one, and to use it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from core import database
from core.contract.errors import CorralError, Unsupported
from core.contract.messages import JSON
from core.database import transact
from core.services.identities import rotations
from core.services.identities.rotations import Rotation
from workers.asking import ask
from workers.context import WorkerContext

log = logging.getLogger(__name__)

LOCK = 0x524F5441
_here = threading.Lock()  # of this process's threads one at most
_AT_ONCE = 4
_ANSWER_SECONDS = 10.0


def rotate(context: WorkerContext) -> str:
    """Go on with each rotation that can; what was done. One worker of the fleet does so at a time."""
    if not _here.acquire(blocking=False):
        return "this worker is rotating"
    try:
        with database.exclusively(context.engine, LOCK) as mine:
            if not mine:
                return "another worker is rotating"
            hosts = transact(context.transaction, rotations.due)
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rotation") as pool:
                done = sum(pool.map(partial(_rotate, context), hosts))
            return f"{done} of {len(hosts)} secrets" if hosts else "nothing to do"
    finally:
        _here.release()


def _rotate(context: WorkerContext, host: str) -> bool:
    """Whether that host's secret was changed. What fails is told in the record, and done again later."""
    rotation = transact(context.transaction, lambda session: rotations.look(session, host))
    if rotation is None:
        return False
    try:
        if rotation.next_sha256 is None:
            rotation = _offered(context, rotation)
        next_sha256 = str(rotation.next_sha256)
        _ask(context, host, "secret_use", rotation.id, next_sha256)
        transact(context.transaction, lambda session: rotations.finish(session, rotation, next_sha256))
    except CorralError as error:
        why = error.message
        if isinstance(error, Unsupported):
            why = f"{why}: install the fleet's release there, or let the host join again"
        log.warning("the secret of host %s is not rotated yet: %s", host, why)
        transact(context.transaction, lambda session: rotations.postpone(session, rotation, why))
        return False
    except Exception:  # of one host: the others must not wait for it
        log.exception("rotating the secret of host %s failed unexpectedly", host)
        return False
    return True


def _offered(context: WorkerContext, rotation: Rotation) -> Rotation:
    made = _ask(context, rotation.host, "secret_make", rotation.id, rotation.secret_sha256)["secret_sha256"]
    transact(context.transaction, lambda session: rotations.offer(session, rotation, made))
    return replace(rotation, next_sha256=made)


def _ask(context: WorkerContext, host: str, verb: str, rotation: str, secret_sha256: str) -> JSON:
    params = {"rotation": rotation, "secret_sha256": secret_sha256}
    return ask(context.dispatch, host, verb, None, params, _ANSWER_SECONDS, lambda: None)
