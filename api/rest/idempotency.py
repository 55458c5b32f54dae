"""Idempotency of requests: a transaction for the first one, and its stored answer for a repeated one."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import g, request
from sqlalchemy.orm import Session

from api.auth.identity import actor
from api.web.context import api_context
from api.web.requests import source_ip
from api.web.uploads import digest_of_uploads
from core.contract.errors import Conflict, CorralError, Invalid, NotSent, Unavailable
from core.contract.messages import JSON
from core.models import Idempotency
from core.services import idempotency, operations
from core.services.accepted import Accepted, AnyOperation, Existing
from core.services.context import Actor

_KEY = re.compile(r"[\x21-\x7e]{1,128}")

Begin = Callable[[Session, Actor], Accepted]


def idempotency_key() -> str | None:
    """The request's `Idempotency-Key`; `Invalid` for one that is none."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid(
            "an Idempotency-Key must have 1 to 128 visible ASCII characters",
            field="Idempotency-Key",
            issue="must have 1 to 128 visible ASCII characters",
        )
    return key


def claim_alone(key: str) -> Idempotency | None:
    """As `claim`, in a transaction of its own, which begins when the whole body has been read."""
    fingerprint()
    with api_context().transaction() as session:
        return claim(session, key)


def claim(session: Session, key: str) -> Idempotency | None:
    """None for a new key, now the caller's; else what it was used for. A use that has not ended is a `Conflict`."""
    first = idempotency.claim(session, principal(), key, fingerprint())
    if first is not None and first.operation_id is None and first.answer is None:
        raise Conflict(
            "the first request with this Idempotency-Key has not been answered; check whether it was carried out"
            " before you send it with a new key",
            code="idempotency_unfinished",
        )
    return first


def keep(session: Session, key: str, *, operation_id: str | None = None, answer: JSON | None = None) -> None:
    """Remember what the request with that key led to."""
    idempotency.store(session, principal(), key, operation_id=operation_id, answer=answer)


@contextmanager
def given_back_on_failure(key: str | None) -> Iterator[None]:
    """Let the request with that key be tried again when it fails.

    Not when no answer came: whether it was carried out is unknown then, and the key stays used.
    """
    try:
        yield
    except CorralError as error:
        if key and (isinstance(error, NotSent) or not isinstance(error, Unavailable)):
            with api_context().transaction() as session:
                idempotency.forget(session, principal(), key)
        raise


def begin_once(session: Session, begin: Begin) -> tuple[AnyOperation, bool]:
    """The operation of this request, begun now unless its key has begun it before, or what it makes is there.

    And whether that is so.
    """
    key = idempotency_key()
    if key is None:
        operation = begin(session, actor())
        return operation, isinstance(operation, Existing)
    first = claim(session, key)
    if first is not None and first.operation_id is not None:
        return operations.get(session, actor(), first.operation_id), True
    operation = begin(session, actor())
    keep(session, key, operation_id=operation.id)
    return operation, isinstance(operation, Existing)


def principal() -> str:
    """Whose keys these are: the caller's, or those of an address that has not said who it is."""
    caller: Actor | None = actor(required=False)
    return caller.user_id if caller else f"address:{source_ip()}"


def fingerprint() -> str:
    """What tells the present request from another with the same key."""
    if "fingerprint" not in g:
        set_fingerprint(_body())
    return str(g.fingerprint)


def set_fingerprint(body: bytes) -> None:
    """The same, for a view that has read the body itself; `body` stands for it."""
    # Keyed, as a body may hold a password: the plain hash of a weak one can be guessed.
    digest = hmac.new(api_context().secret("idempotency").encode(), digestmod=hashlib.sha256)
    for part in (request.method.encode(), request.full_path.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    g.fingerprint = digest.hexdigest()


def _body() -> bytes:
    return digest_of_uploads() if request.mimetype == "multipart/form-data" else request.get_data()


def dumped_of(first: Idempotency) -> Any:
    """What the first request was answered, as kept."""
    return (first.answer or {}).get("dumped")
