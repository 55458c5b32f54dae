"""Asks hosts how far their prefetches of images are; several at once, as one that does not answer costs seconds."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from msgspec import to_builtins

from core.contract.errors import CorralError, Unavailable
from core.contract.messages import build
from core.contract.prefetching import PullImage, PullImageReply
from core.database import transact
from core.services import prefetching
from core.services.prefetching import Question
from workers import asking
from workers.context import WorkerContext

log = logging.getLogger(__name__)
_THREADS = 16
_ANSWER_SECONDS = 3.0
_here = threading.Lock()  # of this process's threads one at most


def ask_hosts(context: WorkerContext) -> str:
    """Ask those that are due; what was done. Several workers may do so at once: each asks other hosts."""
    if not _here.acquire(blocking=False):
        return "this worker is asking"
    try:
        questions = transact(context.transaction, prefetching.due)
        if questions:
            with ThreadPoolExecutor(min(_THREADS, len(questions)), thread_name_prefix="prefetch") as pool:
                list(pool.map(lambda question: _ask(context, question), questions))
        return f"{len(questions)} hosts" if questions else "nothing to do"
    finally:
        _here.release()


def _ask(context: WorkerContext, question: Question) -> None:
    params = to_builtins(PullImage(question.image.name, question.image.digest, prefetching.LEASE_SECONDS))
    try:
        told = asking.ask(context.dispatch, question.host, "image_pull", None, params, _ANSWER_SECONDS, lambda: None)
        answer = build(PullImageReply, told)
    except Unavailable as error:
        log.info("prefetch %s: %s", question.operation_id, error.message)
        transact(context.transaction, lambda session: prefetching.postpone(session, question.operation_id))
        return
    except CorralError as error:
        code, message = error.code, error.message
        transact(context.transaction, lambda session: prefetching.refuse(session, question.operation_id, code, message))
        return
    transact(context.transaction, lambda session: prefetching.note(session, question.operation_id, answer))
