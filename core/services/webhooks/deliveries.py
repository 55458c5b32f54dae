"""Deliveries of a webhook, done and waiting: listed, sent again, tested."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, NotFound
from core.models import WebhookDelivery
from core.models.base import now
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced
from core.services.webhooks import hooks

TEST = "webhook_test"
STATES = ("waiting", "delivered", "failed")
ORDERING = Ordering(
    {"created_at": WebhookDelivery.created_at}, key=WebhookDelivery.id, by="created_at", descending=True
)


def list_of(
    session: Session, actor: Actor, hook_id: str, state: str | None, wanted: Slice
) -> tuple[list[WebhookDelivery], int]:
    """A page of a webhook's deliveries, newest first, and how many there are."""
    hooks.get(session, actor, hook_id)
    terms = [WebhookDelivery.webhook_id == hook_id]
    if state is not None:
        terms.append(WebhookDelivery.state == state)
    total = session.scalar(select(func.count()).select_from(WebhookDelivery).where(*terms)) or 0
    return list(session.scalars(sliced(select(WebhookDelivery).where(*terms), ORDERING, wanted))), total


def resend(session: Session, actor: Actor, hook_id: str, delivery_id: int) -> WebhookDelivery:
    """Deliver it once more, whatever came of it; `Conflict` while the webhook is disabled."""
    actor.must_write()
    hook = hooks.get(session, actor, hook_id, lock=True)
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.webhook_id != hook_id:
        raise NotFound(f"webhook '{hook_id}' has no delivery {delivery_id}")
    if hook.disabled_at is not None:
        raise Conflict(f"webhook '{hook_id}' is disabled: enable it first", code="invalid_state")
    hook.held_until = None
    delivery.state, delivery.attempts, delivery.next_try_at, delivery.ended_at = "waiting", 0, now(), None
    return delivery


def test(session: Session, actor: Actor, hook_id: str) -> WebhookDelivery:
    """Deliver an event of the type `webhook_test`, which nothing has caused; `Conflict` while it is disabled."""
    actor.must_write()
    hook = hooks.get(session, actor, hook_id, lock=True)
    if hook.disabled_at is not None:
        raise Conflict(f"webhook '{hook_id}' is disabled: enable it first", code="invalid_state")
    hook.held_until = None
    delivery = WebhookDelivery(webhook_id=hook_id, type=TEST, state="waiting", attempts=0, next_try_at=now())
    session.add(delivery)
    session.flush()
    return delivery
