"""Delivers to webhooks, to one after the other; signed as https://www.standardwebhooks.com (1.0.0) says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
import time

import msgspec

from core.database import transact
from core.services.webhooks import queue
from core.services.webhooks.queue import DeliveryResult, Parcel
from workers import posting
from workers.context import WorkerContext

log = logging.getLogger(__name__)

# Of a process's threads; the others are for what must not wait, such as sweeps.
AT_ONCE = 2
TURN_SECONDS = 10.0  # after which another webhook has its turn
_slots = threading.BoundedSemaphore(AT_ONCE)


def deliver_next(context: WorkerContext) -> str | None:
    """Deliver to the webhook that was tried longest ago; what was done, None when there was nothing, or no room."""
    if not _slots.acquire(blocking=False):
        return None
    try:
        hook_id = transact(context.transaction, queue.take)
        if hook_id is None:
            return None
        count = _turn(context, hook_id)
        return f"{hook_id}: {count} deliveries" if count else None
    finally:
        _slots.release()


def _turn(context: WorkerContext, hook_id: str) -> int:
    count, until = 0, time.monotonic() + TURN_SECONDS
    try:
        while not count or time.monotonic() < until:
            parcel = transact(context.transaction, lambda session: queue.following(session, hook_id))
            if parcel is None:
                break
            answer = _sent(context, parcel)
            transact(context.transaction, lambda session: queue.keep(session, hook_id, parcel.delivery_id, answer))  # noqa: B023  # at once
            count += 1
    finally:
        transact(context.transaction, lambda session: queue.release(session, hook_id))
    return count


def _sent(context: WorkerContext, parcel: Parcel) -> DeliveryResult:
    moment = str(int(time.time()))
    body = msgspec.json.encode({"type": parcel.type, "timestamp": parcel.at, "data": parcel.data})
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "corral",
        "webhook-id": parcel.message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(signature(each, parcel.message_id, moment, body) for each in parcel.secrets),
    }
    try:
        return DeliveryResult(posting.post(parcel.url, body, headers, context.settings.webhook_networks))
    except posting.NotPosted as error:
        return DeliveryResult(None, str(error))


def signature(secret: str, message_id: str, moment: str, body: bytes) -> str:
    """Of a body that is sent at that moment, in seconds since the epoch; `secret` begins with `whsec_`."""
    key = base64.b64decode(secret.partition("_")[2])
    signed = hmac.new(key, f"{message_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
