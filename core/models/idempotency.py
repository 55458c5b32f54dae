"""Keys by which a client makes its retries harmless."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import JSON, Base, now


class Idempotency(Base):
    """One use of an `Idempotency-Key`: the request's fingerprint, and the operation or the answer it led to."""

    __tablename__ = "idempotency"

    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    operation_id: Mapped[str | None]
    answer: Mapped[JSON | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
