"""`Idempotency-Key`: the same request twice does its work once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.errors import Conflict
from core.models import Idempotency
from core.models.base import now
from core.prepared import PREPARED

KEPT_FOR = timedelta(hours=24)


def claim(session: Session, principal: str, key: str, fingerprint: str) -> Idempotency | None:
    """None when the key is new and now the caller's, in this transaction; else its first use.

    A second request at the same moment waits here until the first has committed. `Conflict` when the key was used
    for another request.
    """
    made = session.scalar(
        insert(Idempotency)
        .values(principal=principal, key=key, fingerprint=fingerprint, created_at=now())
        .on_conflict_do_nothing(index_elements=["principal", "key"])
        .returning(Idempotency.key)
        .execution_options(**PREPARED)
    )
    if made is not None:
        return None
    first = session.scalars(select(Idempotency).where(Idempotency.principal == principal, Idempotency.key == key)).one()
    if first.fingerprint != fingerprint:
        raise Conflict("this Idempotency-Key was used for another request: use a new one", code="idempotency_mismatch")
    return first


def store(
    session: Session, principal: str, key: str, *, operation_id: str | None = None, answer: dict[str, Any] | None = None
) -> None:
    """Keep what the claimed request led to: an operation, or an answer of its own."""
    session.execute(
        update(Idempotency)
        .where(Idempotency.principal == principal, Idempotency.key == key)
        .values(operation_id=operation_id, answer=answer)
        .execution_options(**PREPARED)
    )


def forget(session: Session, principal: str, key: str) -> None:
    """Give a claimed key back, because its request failed and may be tried again."""
    session.execute(delete(Idempotency).where(Idempotency.principal == principal, Idempotency.key == key))


def sweep(session: Session) -> int:
    """Remove keys older than `KEPT_FOR`; how many."""
    result = session.execute(delete(Idempotency).where(Idempotency.created_at < now() - KEPT_FOR))
    return int(getattr(result, "rowcount", 0))
