"""Webhooks, and what is delivered to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class Webhook(Base):
    """A URL that gets a user's events. Those up to `after_seq` have deliveries.

    `failing_since`: no delivery was taken from then on, and none is tried before `held_until`. `leased_until`: a worker
    delivers to it until then.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("wh"))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    url: Mapped[str]
    types: Mapped[list[str]]
    secret: Mapped[str]
    former_secret: Mapped[str | None]
    former_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    after_seq: Mapped[int] = mapped_column(BigInteger)
    failing_since: Mapped[datetime | None]
    held_until: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]


class WebhookDelivery(Base):
    """An event on its way to a webhook; one without an event is a test. Tried at `next_try_at` while it waits."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_seq"),
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
        Index("ix_webhook_deliveries_waiting", "webhook_id", "id", postgresql_where=text("state = 'waiting'")),
        Index("ix_webhook_deliveries_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_seq: Mapped[int | None] = mapped_column(BigInteger)
    vm_id: Mapped[str | None]
    type: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    next_try_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
